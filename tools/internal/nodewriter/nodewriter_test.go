package nodewriter

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSharedLibrariesAreThoseThatLddNames(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		want map[string]string
	}{
		"glibc": {
			"\tlinux-vdso.so.1 (0x00007ffc)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f55)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f56)\n",
			map[string]string{"libm.so.6": "/lib/x86_64-linux-gnu/libm.so.6", "loader": "/lib64/ld-linux-x86-64.so.2"},
		},
		"a linker that is a link": {
			"\t/lib64/ld-linux-x86-64.so.2 => /usr/lib64/ld-linux-x86-64.so.2 (0x00007f56)\n",
			map[string]string{"loader": "/usr/lib64/ld-linux-x86-64.so.2"},
		},
		"musl": {
			"\t/lib/ld-musl-x86_64.so.1 (0x7f1)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f1)\n",
			map[string]string{"libc.musl-x86_64.so.1": "/lib/ld-musl-x86_64.so.1", "loader": "/lib/ld-musl-x86_64.so.1"},
		},
	} {
		found, err := sharedLibraries(c.said)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, found, name)
	}
}

func TestMissingSharedLibraryIsNamed(t *testing.T) {
	_, err := sharedLibraries("\tlibatomic.so.1 => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f56)\n")
	assert.EqualError(t, err, "libatomic.so.1: not found")
	_, err = sharedLibraries("\tstatically linked\n")
	assert.EqualError(t, err, "ldd names no dynamic linker")
}

func TestMachineWithoutNodeIsToldWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.ErrorContains(t, Check(), "node is not on this machine; install Node.js 20 or later")
}

func TestVersionsOfLibrariesAreExact(t *testing.T) {
	versions, err := Versions()
	require.NoError(t, err)
	assert.Len(t, versions, 2)
	for name, version := range versions {
		assert.Regexp(t, regexp.MustCompile(`^\d+\.\d+\.\d+$`), version, name)
	}
}

// A lock file that names the registry of its author does not work for others.
func TestLockFileNamesNoRegistry(t *testing.T) {
	content, err := files.ReadFile("package-lock.json")
	require.NoError(t, err)
	var lock struct{ Packages map[string]map[string]any }
	require.NoError(t, json.Unmarshal(content, &lock))
	assert.Greater(t, len(lock.Packages), 2)
	for name, entry := range lock.Packages {
		assert.NotContains(t, entry, "resolved", name)
		if name != "" {
			assert.Contains(t, entry, "integrity", name)
		}
	}
}
