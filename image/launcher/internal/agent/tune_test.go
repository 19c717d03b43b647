package agent

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

func TestSentinelMayPromoteAReplicaInSyncAndNobodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		local role.Local
		now   int // replica-priority before
		want  string
	}{
		"a replica in sync gets the normal priority": {role.Local{Synced: true}, 0, "CONFIG SET replica-priority 100"},
		"it keeps it": {role.Local{Synced: true}, 100, ""},
		"a replica that waits for a copy loses it": {role.Local{}, 100, "CONFIG SET replica-priority 0"},
		"a master loses it, before it is replaced": {role.Local{Master: true}, 100, "CONFIG SET replica-priority 0"},
	} {
		t.Run(name, func(t *testing.T) {
			redis := fakeredis.Start(t, map[string]string{"CONFIG": "+OK\r\n"})
			s := &Server{config: config.Config{PodIP: redis.Addr.Addr(), RedisPort: int(redis.Addr.Port())}, log: quiet, links: observe.NewLinks(""), priority: c.now}
			s.info.Priority = c.now
			plan := role.Plan{Seen: role.Observation{Local: c.local}, Promotable: c.local.Synced}
			s.prioritise(t.Context(), plan)
			s.prioritise(t.Context(), plan)
			var told []string
			for _, command := range redis.Heard() {
				if strings.HasPrefix(strings.ToUpper(command), "CONFIG") {
					told = append(told, command)
				}
			}
			if c.want == "" {
				require.Empty(t, told)
				return
			}
			require.NotEmpty(t, told)
			require.Equal(t, strings.ToLower(c.want), strings.ToLower(told[0]))
			if c.local.Master {
				require.Len(t, told, 1, "Redis does not tell the priority of a master, so the launcher remembers it")
			}
		})
	}
}

// A refusal is an answer: the kubelet must not restart a Redis that has as many clients as it takes.
func TestRedisThatRefusesTheLauncherIsAlive(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("-ERR max number of clients reached\r\n"))
			_ = connection.Close()
		}
	}()
	addr := netip.MustParseAddrPort(listener.Addr().String())
	s := &Server{config: config.Config{PodIP: addr.Addr(), RedisPort: int(addr.Port())}, log: quiet, links: observe.NewLinks(""), child: &process.Child{}}
	own := s.askOwn(t.Context())
	require.True(t, own.Running && own.Full && !own.Answered)
	require.True(t, s.full)
}
