package agent

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// launcherAt starts what answers for a launcher, on a free port of an address of
// its own.
func launcherAt(t *testing.T, address string) (*web.Server, int) {
	t.Helper()
	free, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	server := web.New(prometheus.NewRegistry())
	server.SetRelease(func(netip.Addr) (in, known bool) { return true, true })
	require.NoError(t, server.Serve(t.Context(), address, port))
	return server, port
}

func replicaOf(address string) role.Local {
	return role.Local{Running: true, Answering: true, LinkUp: true, Follows: netip.MustParseAddr(address)}
}

// told waits for the news that the watched launcher has ended.
func told(t *testing.T, w *masterWatch) {
	t.Helper()
	select {
	case <-w.alerts:
	case <-time.After(bound):
		require.FailNow(t, "the end of the master's launcher was not told")
	}
}

func TestEndOfTheLauncherOfTheMasterIsToldOnce(t *testing.T) {
	master, port := launcherAt(t, "127.0.0.1")
	w := newMasterWatch(make(chan struct{}, 1))
	w.follow(t.Context(), replicaOf("127.0.0.1"), port)
	w.follow(t.Context(), role.Local{Running: true}, port) // a look without an answer changes nothing
	require.Eventually(t, func() bool { return master.Watched() == 1 }, bound, time.Millisecond)
	require.Empty(t, w.alerts, "it has not ended")
	master.Leave()
	told(t, w)
	time.Sleep(watchPause + 100*time.Millisecond) // the claim is about the next attempt
	require.Empty(t, w.alerts, "one that leaves is not told of again")
}

func TestOnlyTheMasterThatIsFollowedIsWatched(t *testing.T) {
	first, port := launcherAt(t, "127.0.0.1")
	w := newMasterWatch(make(chan struct{}, 1))
	w.follow(t.Context(), replicaOf("127.0.0.1"), port)
	require.Eventually(t, func() bool { return first.Watched() == 1 }, bound, time.Millisecond)
	for name, local := range map[string]role.Local{
		"another master":   replicaOf("127.0.0.9"),
		"master itself":    {Running: true, Answering: true, Master: true},
		"Redis has ended":  {},
		"the same as ever": replicaOf("127.0.0.1"),
	} {
		w.follow(t.Context(), replicaOf("127.0.0.1"), port)
		require.Eventually(t, func() bool { return first.Watched() == 1 }, bound, time.Millisecond)
		w.follow(t.Context(), local, port)
		want := 0
		if name == "the same as ever" {
			want = 1
		}
		require.Eventually(t, func() bool { return first.Watched() == want }, bound, time.Millisecond, name)
	}
	require.Empty(t, w.alerts, "nobody has ended")
}
