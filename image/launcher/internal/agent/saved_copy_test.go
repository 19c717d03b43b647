package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
)

// starter is a launcher whose redis-server ends at once, and gives what that redis-server was configured with.
func starter(t *testing.T) (s *Server, start func(master string) string) {
	c := config.Config{Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
	s = &Server{config: c, log: quiet, guard: &writepause.Guard{}}
	return s, func(master string) string {
		var addr netip.AddrPort
		if master != "" {
			addr = netip.MustParseAddrPort(master)
		}
		require.NoError(t, s.start(addr))
		<-s.child.Done()
		text, err := os.ReadFile(filepath.Join(c.RunDir, "redis.conf"))
		require.NoError(t, err)
		return string(text)
	}
}

// place writes a file into the data directory.
func place(t *testing.T, s *Server, name string) string {
	path := filepath.Join(s.config.DataDir, name)
	require.NoError(t, os.WriteFile(path, []byte("REDIS0011"), 0o600))
	return path
}

func TestSavedCopyIsLoadedOnceAndByAReplicaOnly(t *testing.T) {
	const off = "\nappendonly no\n"
	s, start := starter(t)
	saved := place(t, s, savedCopy)
	require.Contains(t, start("127.0.0.2:6379"), off)
	require.NoFileExists(t, saved, "the append-only file has later data from now on")
	require.NotContains(t, start("127.0.0.2:6379"), off, "the second start")

	place(t, s, savedCopy)
	require.NotContains(t, start(""), off, "a master")
	require.NotContains(t, start("127.0.0.2:6379"), off, "the master has written its append-only file since")

	place(t, s, dumpFile)
	require.NotContains(t, start("127.0.0.2:6379"), off, "a file that Redis has written for another reason")
}

func TestUnfinishedFilesOfAnEarlierRedisAreRemoved(t *testing.T) {
	s, start := starter(t)
	var gone, kept []string
	for _, name := range []string{"temp-17.rdb", "temp-1764480000.17.rdb", "temp-rewriteaof-17.aof", "temp-rewriteaof-bg-17.aof"} {
		gone = append(gone, place(t, s, name))
	}
	for _, name := range []string{"dump.rdb", "temperatures.rdb", "redis-ha.json"} {
		kept = append(kept, place(t, s, name))
	}
	start("127.0.0.2:6379")
	for _, path := range gone {
		require.NoFileExists(t, path)
	}
	for _, path := range kept {
		require.FileExists(t, path)
	}
}
