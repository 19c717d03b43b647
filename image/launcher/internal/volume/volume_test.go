package volume

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a volume, for no longer than a test may wait.
func open(t *testing.T, dir string) *Volume {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	v, err := Open(ctx, dir, quiet)
	require.NoError(t, err)
	return v
}

func TestVolumeKeepsItsIdentity(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	require.Regexp(t, idPattern, first.ID)
	require.NoError(t, first.lock.Close())
	require.Equal(t, first.ID, open(t, dir).ID)
	require.NotEqual(t, first.ID, open(t, t.TempDir()).ID, "another volume")
}

func TestDamagedIdentityIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, idFile)
	require.NoError(t, os.WriteFile(path, make([]byte, 32), 0o640)) // as after a power loss
	v := open(t, dir)
	require.Regexp(t, idPattern, v.ID)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, v.ID, string(content))
}

func TestVolumeWithoutAnIdentityIsUsed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, idFile), 0o750))
	require.Empty(t, open(t, dir).ID)
}

func TestSecondPodWaitsForTheVolume(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	limited, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	_, err := Open(limited, dir, quiet)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "another pod still uses the data volume")

	time.AfterFunc(2*lockEvery, func() { _ = first.lock.Close() })
	require.Equal(t, first.ID, open(t, dir).ID)
}

func TestDirectoryThatIsMissingIsAnError(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "gone"), quiet)
	require.ErrorContains(t, err, "is the data directory writable?")
}
