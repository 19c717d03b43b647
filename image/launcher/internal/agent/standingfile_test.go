package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

var (
	older = role.Standing{Generation: 3, Offset: 7}
	newer = role.Standing{Generation: 4, Master: true, Offset: 12345}
)

// wrote gives a data directory in which two standings were written, one after the other.
func wrote(t *testing.T, first, second role.Standing) config.Config {
	t.Helper()
	c := disk(t)
	writeStanding(t, c, first)
	writeStanding(t, c, second)
	return c
}

func present(c config.Config) string { return filepath.Join(c.DataDir, standingName) }
func before(c config.Config) string  { return present(c) + beforeSuffix }

func names(t *testing.T, c config.Config) []string {
	t.Helper()
	entries, err := os.ReadDir(c.DataDir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestStandingIsReadBackAsItWasWritten(t *testing.T) {
	c := wrote(t, older, newer)
	require.Equal(t, newer, readStanding(c))
	require.Equal(t, []string{appendDir, standingName, standingName + beforeSuffix}, names(t, c), "no temporary file is left")
	writeStanding(t, c, older)
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, newer, readStanding(c), "redis-ha.json.before holds the previous standing")
}

// A power loss leaves files of any content where they had not reached the disk.
func TestDamagedStandingIsReplacedByTheOneBeforeOrToldToBeUnreadable(t *testing.T) {
	unreadable := role.Standing{Unreadable: true}
	whole, err := os.ReadFile(present(wrote(t, older, newer)))
	require.NoError(t, err)
	var damaged []string
	for i := range len(whole) {
		damaged = append(damaged, string(whole[:i]))
	}
	damaged = append(damaged, strings.Repeat("\x00", len(whole)))
	for _, content := range damaged {
		c := wrote(t, older, newer)
		require.NoError(t, os.WriteFile(present(c), []byte(content), 0o600))
		require.Equal(t, older, readStanding(c), "%q", content)
		require.NoError(t, os.WriteFile(before(c), []byte(content), 0o600))
		require.Equal(t, unreadable, readStanding(c), "%q", content)
		require.NoError(t, os.Remove(before(c)))
		require.Equal(t, unreadable, readStanding(c), "%q", content)
	}
	c := wrote(t, older, newer)
	require.NoError(t, os.WriteFile(before(c), nil, 0o600))
	require.Equal(t, newer, readStanding(c), "the present file is good")
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, unreadable, readStanding(c), "there is a file")
	require.NoError(t, os.Mkdir(present(c), 0o700))
	require.Equal(t, unreadable, readStanding(c), "it cannot be read at all")
}

func TestDamageIsLoggedWithWhatItMeans(t *testing.T) {
	c := wrote(t, older, newer)
	load := func() string {
		var log bytes.Buffer
		(&Server{config: c, log: slog.New(slog.NewTextHandler(&log, nil))}).loadStanding()
		return log.String()
	}
	require.Empty(t, load())
	require.NoError(t, os.WriteFile(present(c), nil, 0o600))
	text := load()
	require.Contains(t, text, "level=WARN")
	require.Contains(t, text, "the file before it is used: read the standing in "+present(c)+" (0 bytes)")
	require.NoError(t, os.WriteFile(before(c), []byte("{"), 0o600))
	text = load()
	require.Contains(t, text, "level=ERROR")
	require.Contains(t, text, "in an election every server that knows it comes first")
	require.Contains(t, text, before(c)+" (1 bytes)")
	require.NoError(t, os.RemoveAll(filepath.Join(c.DataDir, appendDir)))
	require.Empty(t, load(), "there are no data that the files could be about")
}

// The launcher can end between any two steps of a write.
func TestCrashWhileAStandingIsWrittenLeavesOneThatCanBeRead(t *testing.T) {
	c := wrote(t, older, newer)
	require.NoError(t, os.WriteFile(present(c)+newSuffix, []byte(`{"gen`), 0o600))
	require.Equal(t, newer, readStanding(c), "the new file is not whole")
	require.NoError(t, os.Rename(present(c), before(c)))
	require.Equal(t, newer, readStanding(c), "between the two renames")
	writeStanding(t, c, older)
	require.Equal(t, older, readStanding(c))
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, newer, readStanding(c), "a file that was missing has not become the file before")

	c = wrote(t, older, newer)
	require.NoError(t, os.WriteFile(present(c), nil, 0o600))
	writeStanding(t, c, newer)
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, older, readStanding(c), "nor has a damaged one")
}

func TestStandingOfDataThatAreGoneIsNeverUsedAgain(t *testing.T) {
	c := wrote(t, newer, role.Standing{Empty: true})
	require.Equal(t, role.Standing{Empty: true}, readStanding(c))
	require.NoFileExists(t, before(c))
	require.NoError(t, os.WriteFile(present(c), nil, 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(c))

	writeStanding(t, c, role.Standing{Empty: true})
	writeStanding(t, c, newer)
	require.NoError(t, os.WriteFile(present(c), nil, 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(c), "nor that there were none")
	require.NoError(t, os.WriteFile(before(c), []byte(`{"empty":true}`), 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(c))
}

func TestWriteThatFailsLeavesTheStandingThatWasThere(t *testing.T) {
	c := wrote(t, older, newer)
	var log bytes.Buffer
	f := newStandingFile(c, slog.New(slog.NewTextHandler(&log, nil)))
	_, err := f.read()
	require.NoError(t, err)
	last := role.Standing{Generation: 5, Offset: 1}
	fail := func(failure string) {
		t.Helper()
		f.hand(last)
		f.wait()
		on, known := f.onDisk()
		require.True(t, known)
		require.Equal(t, newer, on, "what did not reach the disk is not on it")
		require.Equal(t, newer, readStanding(c))
		require.Contains(t, log.String(), failure)
	}
	for range 2 {
		require.NoError(t, os.Symlink("/dev/full", present(c)+newSuffix))
		fail("no space left on device")
	}
	require.Equal(t, 1, strings.Count(log.String(), "could not be written"), "it is told once")
	f.flush = func(*os.File) error { return os.ErrDeadlineExceeded }
	fail("i/o timeout")

	f.flush = (*os.File).Sync
	f.hand(last)
	f.wait()
	on, known := f.onDisk()
	require.True(t, known)
	require.Equal(t, last, on)
	require.Equal(t, last, readStanding(c))
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, newer, readStanding(c))
}

// The file may be lost with the power until its name has reached the disk.
func TestStandingWhoseNameHasNotReachedTheDiskIsWrittenAgain(t *testing.T) {
	c := wrote(t, older, newer)
	f := newStandingFile(c, quiet)
	_, _ = f.read()
	last := role.Standing{Generation: 5, Offset: 1}
	f.flush = func(file *os.File) error {
		if file.Name() == c.DataDir {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	f.hand(last)
	f.wait()
	_, known := f.onDisk()
	require.False(t, known)
	_, known = f.latest()
	require.False(t, known)
	f.flush = (*os.File).Sync
	f.hand(last)
	f.wait()
	_, known = f.onDisk()
	require.True(t, known)
	require.NoError(t, os.Remove(present(c)))
	require.Equal(t, newer, readStanding(c))
}

// slowDisk makes every flush wait until release is called, and tells of each that begins.
func slowDisk(t *testing.T, f *standingFile) (begun <-chan string, release func()) {
	names, released := make(chan string, 100), make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	f.flush = func(file *os.File) error {
		names <- filepath.Base(file.Name())
		<-released
		return file.Sync()
	}
	return names, release
}

func TestLoopDoesNotWaitForABusyDisk(t *testing.T) {
	s := keeper(t)
	begun, release := slowDisk(t, s.disk())
	at := func(generation int64) {
		s.setRecord(record.Record{Generation: generation, Master: record.Member{UID: "uid-a"}})
		s.keepStanding(role.Observation{Self: role.Member{UID: "uid-a"}, MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true}})
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		for generation := range int64(5) {
			s.memory.Own = generation + 1
			at(generation + 1)
			if generation == 0 {
				<-begun
			}
		}
	}()
	select {
	case <-returned:
	case <-time.After(bound):
		t.Fatal("keepStanding waits for the disk")
	}
	_, known := s.disk().onDisk()
	require.False(t, known, "nothing has reached the disk")
	latest, _ := s.disk().latest()
	require.EqualValues(t, 5, latest.Generation)
	release()
	require.EqualValues(t, 5, written(s).Generation)
	on, known := s.disk().onDisk()
	require.True(t, known)
	require.EqualValues(t, 5, on.Generation)
	require.NoError(t, os.Remove(present(s.config)))
	require.EqualValues(t, 1, readStanding(s.config).Generation, "what is out of date is not written")
}

func TestRedisIsNotStartedBeforeThatThereAreNoDataIsOnDisk(t *testing.T) {
	s := &Server{config: disk(t), log: quiet}
	s.memory.Worth.Standing = role.Standing{Empty: true}
	begun, release := slowDisk(t, s.disk())
	returned := make(chan struct{})
	go func() { defer close(returned); s.keepEmpty() }()
	require.Equal(t, standingName+newSuffix, <-begun)
	select {
	case <-returned:
		t.Fatal("it has not waited")
	default:
	}
	release()
	<-returned
	require.Equal(t, filepath.Base(s.config.DataDir), <-begun)
	require.Equal(t, role.Standing{Empty: true}, readStanding(s.config))
}

// onDisk gives the standing that has reached the disk, and whether it is known to.
func (f *standingFile) onDisk() (role.Standing, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.on, f.known
}
