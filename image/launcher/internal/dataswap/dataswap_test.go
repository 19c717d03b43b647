package dataswap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// swap gives a volume with old data, and new data beside them.
func swap(t *testing.T) (s Swap, from string) {
	t.Helper()
	s = Swap{Volume: t.TempDir(), Data: "data"}
	from = s.path("new")
	for directory, content := range map[string]string{s.path("data"): "old", from: "new"} {
		require.NoError(t, os.Mkdir(directory, 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(directory, "file"), []byte(content), 0o640))
	}
	return s, from
}

// data gives the content of the data.
func (s Swap) data(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.path(s.Data), "file"))
	require.NoError(t, err)
	return string(content)
}

func TestNewDataCountFromCommitOn(t *testing.T) {
	s, from := swap(t)
	require.NoError(t, s.Begin(from))
	require.Equal(t, "new", s.data(t))
	require.NoError(t, s.Commit())
	undone, err := s.Undo()
	require.NoError(t, err)
	require.False(t, undone)
	require.Equal(t, "new", s.data(t))
	require.NoError(t, s.Discard())
	entries, err := os.ReadDir(s.Volume)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but the data is left")
}

func TestOldDataComeBackBeforeCommit(t *testing.T) {
	s, from := swap(t)
	require.NoError(t, s.Begin(from))
	undone, err := s.Undo()
	require.NoError(t, err)
	require.True(t, undone)
	require.Equal(t, "old", s.data(t))
	entries, err := os.ReadDir(s.Volume)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but the data is left")
}

// A crash may come between any two steps of Begin and Undo.
func TestOldDataComeBackAfterACrashAtAnyStep(t *testing.T) {
	for name, crash := range map[string]func(s Swap, from string) error{
		"before the old data are aside": func(s Swap, _ string) error { return os.WriteFile(s.path(journal), nil, 0o640) },
		"before the new data are there": func(s Swap, from string) error {
			return os.Rename(s.path("data"), s.path("data"+beforeSuffix))
		},
		"while the new data are removed": func(s Swap, from string) error {
			if err := s.Begin(from); err != nil {
				return err
			}
			return os.Remove(filepath.Join(s.path("data"), "file"))
		},
		"when the old data are back": func(s Swap, from string) error {
			if _, err := s.Undo(); err != nil {
				return err
			}
			return os.WriteFile(s.path(journal), nil, 0o640)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, from := swap(t)
			require.NoError(t, crash(s, from))
			require.NoError(t, os.WriteFile(s.path(journal), nil, 0o640))
			undone, err := s.Undo()
			require.NoError(t, err)
			require.True(t, undone)
			require.Equal(t, "old", s.data(t))
		})
	}
}

func TestVolumeWithoutDataIsEmptyAgain(t *testing.T) {
	s, from := swap(t)
	require.NoError(t, os.RemoveAll(s.path("data")))
	require.NoError(t, s.Begin(from))
	undone, err := s.Undo()
	require.NoError(t, err)
	require.True(t, undone)
	entries, err := os.ReadDir(s.path("data"))
	require.NoError(t, err)
	require.Empty(t, entries)
}
