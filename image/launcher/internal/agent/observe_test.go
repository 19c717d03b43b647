package agent

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// A sentinel that is gone without a refusal, as a deleted pod is, once used up
// the time for the servers too: a master that had died then found no replica and
// started again.
func TestServersAnswerWhileASentinelTakesAllTheTimeThereIs(t *testing.T) {
	sentinel, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = sentinel.Close() }()
	replica := speak(t, map[string]string{
		"INFO": text("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:7\r\n"),
	})
	s := &Server{
		config: config.Config{
			PodUID: "uid-a", MasterName: "mymaster", RedisPort: int(replica.addr.Port()), HTTPPort: 1,
			SentinelPort: sentinel.Addr().(*net.TCPAddr).Port,
		},
		log: quiet, links: newLinks(""),
	}
	here := netip.MustParseAddr("127.0.0.1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.False(t, s.ask(ctx, []kube.Pod{
		{Name: "sentinel", UID: "uid-s", IP: here, Sentinel: true, Ready: true},
		{Name: "server-b", UID: "uid-b", IP: here, Server: true, Ready: true},
	}, role.Local{}, false))
	require.Equal(t, role.Unknown, s.observed.views[0].Reach)
	require.Len(t, s.observed.peers, 1)
	require.Equal(t, role.Answered, s.observed.peers[0].Redis)
	require.EqualValues(t, 7, s.observed.peers[0].Offset)
}
