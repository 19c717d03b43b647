package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
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
		return started(t, s, addr, false)
	}
}

// started starts redis-server, waits for its end, and gives what it was configured with.
func started(t *testing.T, s *Server, master netip.AddrPort, external bool) string {
	require.NoError(t, s.start(master, external))
	<-s.child.Done()
	text, err := os.ReadFile(filepath.Join(s.config.RunDir, "redis.conf"))
	require.NoError(t, err)
	return string(text)
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

func TestReplicaOfAnExternalMasterLoadsItsSavedCopy(t *testing.T) {
	outside := netip.MustParseAddrPort("192.0.2.1:6380")
	s, _ := starter(t)
	s.config.Password, s.config.External = "ours", config.External{Host: "old", Port: 6380, Password: "theirs"}
	saved := place(t, s, savedCopy)
	text := started(t, s, outside, true)
	for _, directive := range []string{"appendonly no", `masterauth "theirs"`, `requirepass "ours"`, "replicaof 192.0.2.1 6380"} {
		require.Contains(t, text, "\n"+directive+"\n")
	}
	require.NoFileExists(t, saved)
	require.NotContains(t, started(t, s, outside, true), "\nappendonly no\n", "the second start")
}

// The successor of an external master may still have the password of that master when it becomes a replica again.
func TestFormerMasterFollowsItsSuccessorWithThePasswordOfTheRelease(t *testing.T) {
	for name, c := range map[string]struct {
		external config.External
		want     []string
	}{
		"a release that began with an external master": {config.External{Host: "old", Port: 6380, Password: "theirs"}, []string{"config set masterauth ours"}},
		"a release that began with an external master that encrypts": {
			config.External{Host: "old", Port: 6380, Password: "theirs", TLS: true}, []string{"config set masterauth ours tls-replication no"},
		},
		"another release": {config.External{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			redis := fakeredis.Start(t, map[string]string{
				"CONFIG": "+OK\r\n", "REPLICAOF": "+OK\r\n", "INFO": fakeredis.Text("role:slave\r\nmaster_link_status:up\r\n"),
			})
			s := &Server{
				config: config.Config{PodIP: redis.Addr.Addr(), RedisPort: int(redis.Addr.Port()), Password: "ours", External: c.external},
				log:    quiet, links: observe.NewLinks(""),
			}
			require.NoError(t, s.rejoin(t.Context(), s.local(), netip.MustParseAddrPort("127.0.0.2:6379")))
			var told []string
			followed := false
			for _, command := range redis.Heard() {
				command = strings.ToLower(command)
				followed = followed || strings.Contains(command, "of 127.0.0.2 6379")
				if strings.HasPrefix(command, "config set") {
					require.False(t, followed, "the password comes first")
					told = append(told, command)
				}
			}
			require.True(t, followed)
			require.Equal(t, c.want, told)
		})
	}
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
