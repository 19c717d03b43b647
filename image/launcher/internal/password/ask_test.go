package password

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// telling starts a launcher that gives a text as its status, and gives its port.
func telling(t *testing.T, status string) int {
	t.Helper()
	launcher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, status) }))
	t.Cleanup(launcher.Close)
	_, port, err := net.SplitHostPort(launcher.Listener.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return number
}

// A pod may have the address of a pod that is gone, and be of another release, which asks for no password. A new pod must not open its Redis then.
func TestNewPodLearnsFromPodsOfItsReleaseOnly(t *testing.T) {
	redis := fakeredis.Start(t, map[string]string{
		"auth": "+OK\r\n", "PING": "+PONG\r\n",
		"ACL GETUSER": "*4\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$6\r\nnopass\r\n$9\r\npasswords\r\n*0\r\n",
	})
	peers := []Peer{{Pod: "a", UID: "uid-a", Addr: redis.Addr}}
	until := noon.Add(time.Minute)
	nodes := Ask(t.Context(), begun("new", noon), peers, telling(t, `{"uid": "uid-a", "password": {"until": "2026-11-30T12:01:00Z"}}`))
	require.Equal(t, []Node{{Pod: "a", Answered: true, Wanted: true, Accepts: []old{{Until: until}}}}, nodes)
	nodes = Ask(t.Context(), begun("new", noon), peers, telling(t, `{"uid": "of another release"}`))
	require.Equal(t, []Node{{Pod: "a"}}, nodes)
	nodes = Ask(t.Context(), begun("new", noon), peers, 1)
	require.Equal(t, []Node{{Pod: "a"}}, nodes, "its launcher does not answer")
}

func TestNewPodAsksPodsThatStay(t *testing.T) {
	c := config.Config{PodUID: "uid-a", RedisPort: 6379, SentinelPort: 26379}
	pod := func(name string, last byte) kube.Pod {
		return kube.Pod{Name: name, UID: "uid-" + name, IP: netip.AddrFrom4([4]byte{10, 0, 0, last}), Server: true}
	}
	leaving, sentinel := pod("b", 2), pod("c", 3)
	leaving.Terminating, sentinel.Sentinel = true, true
	pods := []kube.Pod{pod("a", 1), leaving, sentinel, {Name: "d"}}
	asked := Peer{Pod: "c", UID: "uid-c", Addr: netip.MustParseAddrPort("10.0.0.3:26379")}
	require.Equal(t, []Peer{asked}, Peers(pods, c, true))
	require.Equal(t, []Peer{
		{Pod: "a", UID: "uid-a", Addr: netip.MustParseAddrPort("10.0.0.1:6379"), Own: true},
		{Pod: "b", UID: "uid-b", Addr: netip.MustParseAddrPort("10.0.0.2:6379"), Leaving: true}, asked,
	}, Peers(pods, c, false))
}
