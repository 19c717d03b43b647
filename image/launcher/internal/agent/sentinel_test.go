package agent

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// closedPort is a port of 127.0.0.1 on which nobody listens.
func closedPort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestPodAnswersIfItsSentinelOrItsLauncherDoes(t *testing.T) {
	port := func(address string) int { return int(netip.MustParseAddrPort(address).Port()) }
	sentinel := port(fakeredis.Start(t, map[string]string{"SENTINEL MASTER": "-ERR No such master with that name\r\n"}).Addr.String())
	frozen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer frozen.Close()
	launcher := func(code int) int {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte("{}")) }))
		t.Cleanup(server.Close)
		return port(server.Listener.Addr().String())
	}
	for name, c := range map[string]struct {
		sentinel, launcher int
		want               bool
	}{
		"nothing listens":                 {closedPort(t), closedPort(t), false},
		"both are frozen":                 {port(frozen.Addr().String()), port(frozen.Addr().String()), false},
		"the sentinel answers":            {sentinel, closedPort(t), true},
		"the launcher answers":            {closedPort(t), launcher(http.StatusOK), true},
		"the launcher has no status yet":  {closedPort(t), launcher(http.StatusServiceUnavailable), true},
		"the sentinel refuses a password": {port(fakeredis.Start(t, map[string]string{"SENTINEL": "-NOAUTH Authentication required.\r\n"}).Addr.String()), closedPort(t), true},
	} {
		s := &Sentinel{config: config.Config{SentinelPort: c.sentinel, HTTPPort: c.launcher, MasterName: "mymaster"}, links: observe.NewLinks("")}
		require.Equal(t, c.want, s.answers(t.Context(), kube.Pod{IP: netip.MustParseAddr("127.0.0.1")}), name)
	}
	require.False(t, (&Sentinel{}).answers(t.Context(), kube.Pod{}), "it has no address")
}

func TestSentinelOfAPodThatShouldHaveEndedEndsAndGivesItsIdentityBack(t *testing.T) {
	server := release(t, "sentinel-a")
	c := configured(t, server, "sentinel-a")
	registry := prometheus.NewRegistry()
	s := NewSentinel(c, nil, nil, nil, connect(t, server, c), web.New(registry), NewMetrics(registry), quiet)
	_, _, err := s.identity.Take(t.Context())
	require.NoError(t, err)
	s.id = "taken"
	child, err := process.Start("sleep", "60")
	require.NoError(t, err)
	s.child = child
	require.False(t, s.outlived())
	require.NoError(t, server.MarkDeleted("sentinel-a", -time.Minute))
	require.Eventually(t, s.outlived, bound, time.Millisecond)
	require.NoError(t, s.turn(t.Context()))
	<-child.Done()
	require.Empty(t, s.id)
	slots, err := s.api.Slots(t.Context())
	require.NoError(t, err)
	require.Empty(t, slots.Holders)
	require.NoError(t, s.turn(t.Context()))
	require.Empty(t, s.id, "it takes no other one")
}
