package agent

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

// onVolume is a server whose data volume is in dir.
func onVolume(dir string) *Server {
	return &Server{config: config.Config{Persistence: true, DataDir: dir}, log: slog.New(slog.DiscardHandler)}
}

func TestServerTellsTheIdentityOfItsVolume(t *testing.T) {
	dir := t.TempDir()
	s := onVolume(dir)
	require.NoError(t, s.openVolume(t.Context(), nil))
	require.NotEmpty(t, s.self.Volume)
	require.Equal(t, s.volume.ID, s.self.Volume)
	require.Equal(t, s.self.Volume, s.member(nil).Volume)

	dir = t.TempDir()
	s = onVolume(dir)
	s.config.Persistence = false
	require.NoError(t, s.openVolume(t.Context(), nil))
	require.Empty(t, s.self.Volume)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "without persistence")
}

// The pod before may still run. This pod does nothing before it has the volume, and ends when it is told to.
func TestServerThatIsToldToEndWhileItWaitsForItsVolumeEnds(t *testing.T) {
	dir := t.TempDir()
	first, err := volume.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NotEmpty(t, first.ID) }() // it keeps the lock until here
	limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stop := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { close(stop) })
	require.NoError(t, onVolume(dir).Run(limited, stop))
	require.NoError(t, limited.Err(), "it waits on")

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, onVolume(dir).Run(ended, nil), context.Canceled)
}
