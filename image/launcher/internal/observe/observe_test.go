package observe

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// here is the address at which the processes of these tests listen.
var here = netip.MustParseAddr("127.0.0.1")

// freePort gives a port at which nothing listens.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().(*net.TCPAddr).Port
}

func TestErrorInReplyTellsNothingAboutRoles(t *testing.T) {
	s := fakeredis.Start(t, map[string]string{"INFO": "-BUSY a script runs\r\n"})
	_, err := NewLinks("").To(here, int(s.Addr.Port())).Info(t.Context())
	require.Equal(t, role.Unknown, ReachOf(err))
	require.Equal(t, role.Answered, ReachOf(nil))
	_, err = NewLinks("").To(here, freePort(t)).Info(t.Context())
	require.Equal(t, role.Refused, ReachOf(err))
}

func TestConnectionsToAddressesOfNobodyAreDropped(t *testing.T) {
	l := NewLinks("")
	own, kept, dropped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	local, one, two := l.To(own, 1), l.To(kept, 1), l.To(dropped, 1)
	require.Same(t, one, l.To(kept, 1))
	require.NotSame(t, one, l.To(kept, 2))
	l.Keep(own, []kube.Pod{{IP: kept}})
	require.Same(t, local, l.To(own, 1))
	require.Same(t, one, l.To(kept, 1))
	require.NotSame(t, two, l.To(dropped, 1))
}

func TestEveryElementIsAskedAtOnce(t *testing.T) {
	var meet sync.WaitGroup
	numbers := []int{1, 2, 3}
	meet.Add(len(numbers))
	Each(numbers, func(n *int) { meet.Done(); meet.Wait(); *n *= 10 })
	require.Equal(t, []int{10, 20, 30}, numbers)
}
