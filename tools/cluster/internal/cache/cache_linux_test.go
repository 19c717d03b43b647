package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeyDependsOnEveryInput(t *testing.T) {
	sums := map[string]string{}
	add := func(name string, key *Key) {
		for other, sum := range sums {
			assert.NotEqual(t, sum, key.Sum(), "%s and %s", name, other)
		}
		sums[name] = key.Sum()
	}
	add("one kind", NewKey("a"))
	add("another kind", NewKey("b"))
	add("one text", NewKey("a").Text("xy"))
	add("two texts", NewKey("a").Text("x", "y"))
	add("the other way round", NewKey("a").Text("y", "x"))
	assert.Equal(t, NewKey("a").Text("x").Sum(), NewKey("a").Text("x").Sum())
	assert.Len(t, NewKey("a").Sum(), 16)
}

func TestTreeSeesNamesContentsAndModes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		require.NoError(t, os.Chmod(path, mode))
	}
	sum := func() string {
		key := NewKey("tree")
		require.NoError(t, key.Tree(dir, SourceFiles))
		return key.Sum()
	}
	write("go.mod", "module x", 0o644)
	write("sub/main.go", "package main", 0o644)
	before := sum()
	write("sub/main_test.go", "package main", 0o644)
	write("notes.txt", "not a source", 0o644)
	assert.Equal(t, before, sum(), "what a build does not read")
	write("sub/main.go", "package other", 0o644)
	changed := sum()
	assert.NotEqual(t, before, changed, "content")
	write("sub/main.go", "package other", 0o755)
	assert.NotEqual(t, changed, sum(), "mode")
}

func TestMountsBelow(t *testing.T) {
	table := `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:5 / /home/me/.cache/redis-ha/tmp/debian-1/root/proc rw - proc proc rw
31 30 0:6 / /home/me/.cache/redis-ha/tmp/debian-1/root/proc/sys/fs/binfmt_misc rw - binfmt_misc none rw
32 22 0:7 / /home/me/.cache/redis-ha/tmpfs rw - tmpfs none rw
33 22 0:8 / /home/me/.cache/redis-ha/tmp/with\040space rw - tmpfs none rw
`
	assert.Equal(t, []string{
		"/home/me/.cache/redis-ha/tmp/debian-1/root/proc/sys/fs/binfmt_misc",
		"/home/me/.cache/redis-ha/tmp/debian-1/root/proc",
		"/home/me/.cache/redis-ha/tmp/with space",
	}, mountsBelow(table, "/home/me/.cache/redis-ha/tmp"))
}

func TestCleanRemovesUnfinishedWorkOnly(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err := Open()
	require.NoError(t, err)
	unfinished, err := dir.Temp("work")
	require.NoError(t, err)
	finished := dir.Path("bin", "program")
	require.NoError(t, os.WriteFile(finished, nil, 0o755))
	require.NoError(t, dir.Clean())
	assert.NoDirExists(t, unfinished)
	assert.FileExists(t, finished)
}

func TestNewLogKeepsTheLatest(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err := Open()
	require.NoError(t, err)
	for i := range keptLogs + 3 {
		log := dir.Path("logs", fmt.Sprintf("2020%02d.log", i))
		require.NoError(t, os.WriteFile(log, nil, 0o644))
		earlier := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(log, earlier, earlier))
	}
	file, err := dir.NewLog()
	require.NoError(t, err)
	defer file.Close()
	logs, err := filepath.Glob(dir.Path("logs", "*.log"))
	require.NoError(t, err)
	assert.Len(t, logs, keptLogs)
	assert.FileExists(t, file.Name())
}
