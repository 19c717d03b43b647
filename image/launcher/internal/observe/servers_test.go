package observe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

const (
	masterInfo = "role:master\r\nmaster_replid:m\r\nmaster_repl_offset:7\r\n"
	inSyncInfo = "role:slave\r\nmaster_replid:m\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:7\r\n"
	aloneInfo  = "role:slave\r\nmaster_replid:m\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:3\r\nslave_repl_offset:7\r\n"
)

// launcherAt starts a launcher with this status, and counts the questions for it.
func launcherAt(t *testing.T, status string) (port int, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(status))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port, asked
}

func TestLauncherOfAServerIsAskedAlwaysOrOnlyWhereRedisDoesNotSettleIt(t *testing.T) {
	pods := []kube.Pod{{Name: "server-b", UID: "uid-b", IP: here, Server: true}}
	for name, c := range map[string]struct {
		info, status string
		asked        bool // by a sentinel's launcher
		want         role.Peer
	}{
		"a replica in sync": {inSyncInfo, `{"uid":"uid-b"}`, false, role.Peer{Redis: role.Answered, LinkUp: true, Offset: 7}},
		"a replica without its master": {aloneInfo, `{"uid":"uid-b","synced":true}`, true,
			role.Peer{Redis: role.Answered, Offset: 7, Status: &role.Status{UID: "uid-b", Synced: true}}},
		"a master": {masterInfo, `{"uid":"uid-b"}`, true, role.Peer{Redis: role.Answered, Master: true, Offset: 7, Status: &role.Status{UID: "uid-b"}}},
		"a launcher that passes connections on to the master": {masterInfo, `{"uid":"uid-b","passing":true}`, true,
			role.Peer{Redis: role.Refused, Status: &role.Status{UID: "uid-b", Passing: true}}},
		"a launcher of another pod": {masterInfo, `{"uid":"uid-x","passing":true}`, true, role.Peer{Redis: role.Answered, Master: true, Offset: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			redis := fakeredis.Start(t, map[string]string{"INFO": fakeredis.Text(c.info)})
			port, asked := launcherAt(t, c.status)
			a := Asker{Config: config.Config{PodUID: "uid-a", RedisPort: int(redis.Addr.Port()), HTTPPort: port}, Links: NewLinks("")}

			found := a.Servers(t.Context(), pods)
			require.Equal(t, c.asked, asked.Load() == 1)
			require.Len(t, found, 1)
			requireRole(t, c.want, found[0])

			before := asked.Load()
			found = a.Peers(t.Context(), pods)
			require.Equal(t, before+1, asked.Load(), "a server's launcher always asks")
			if c.want.Status == nil && !c.asked {
				c.want.Status = &role.Status{UID: "uid-b"}
			}
			requireRole(t, c.want, found[0])
			if c.want.Redis == role.Answered {
				require.Equal(t, "m", found[0].History.ID)
			}
		})
	}
}

// requireRole compares what both kinds of launchers use.
func requireRole(t *testing.T, want, got role.Peer) {
	t.Helper()
	require.Equal(t, "server-b", got.Name)
	require.Equal(t, want.Redis, got.Redis)
	require.Equal(t, want.Master, got.Master)
	require.Equal(t, want.LinkUp, got.LinkUp)
	require.Equal(t, want.Offset, got.Offset)
	require.Equal(t, want.Status, got.Status)
}

func TestServerThatRefusesConnectionsHasNoLauncherToAskForASentinel(t *testing.T) {
	port, asked := launcherAt(t, `{"uid":"uid-b"}`)
	a := Asker{Config: config.Config{PodUID: "uid-a", RedisPort: freePort(t), HTTPPort: port}, Links: NewLinks("")}
	pods := []kube.Pod{{Name: "server-b", UID: "uid-b", IP: here, Server: true}}
	require.Equal(t, role.Refused, a.Servers(t.Context(), pods)[0].Redis)
	require.Zero(t, asked.Load())
	peer := a.Peers(t.Context(), pods)[0]
	require.Equal(t, role.Refused, peer.Redis)
	require.Equal(t, role.Answered, peer.Launcher)
}

func TestPeersAreTheOtherServersAndServersThoseWithAnAddress(t *testing.T) {
	a := Asker{Config: config.Config{PodUID: "uid-a", RedisPort: freePort(t), HTTPPort: freePort(t)}, Links: NewLinks("")}
	pods := []kube.Pod{
		{Name: "server-c", UID: "uid-c", Server: true},
		{Name: "server-b", UID: "uid-b", IP: here, Server: true},
		{Name: "sentinel-a", UID: "uid-s", IP: here, Sentinel: true},
		{Name: "server-a", UID: "uid-a", IP: here, Server: true},
	}
	names := func(peers []role.Peer) (out []string) {
		for _, p := range peers {
			out = append(out, p.Name)
		}
		return out
	}
	peers := a.Peers(t.Context(), pods)
	require.Equal(t, []string{"server-b", "server-c"}, names(peers))
	require.Equal(t, role.Refused, peers[0].Redis)
	require.Equal(t, role.Unknown, peers[1].Redis, "it has no address yet")
	require.Equal(t, []string{"server-a", "server-b"}, names(a.Servers(t.Context(), pods)))
}

// The link that a replica reports may be to a process of its master that has ended.
func TestReplicaAsksItsMasterForItsHistory(t *testing.T) {
	master := fakeredis.Start(t, map[string]string{"INFO": fakeredis.Text(masterInfo)})
	port, asked := launcherAt(t, `{"standing":{"generation":3,"epoch":4,"master":true}}`)
	a := Asker{Config: config.Config{RedisPort: int(master.Addr.Port()), HTTPPort: port}, Links: NewLinks("")}
	require.Equal(t, role.Told{History: "m"}, a.Master(t.Context(), here, "another"))
	require.Zero(t, asked.Load())
	told := a.Master(t.Context(), here, "m")
	require.EqualValues(t, 3, told.Master.Generation)
	require.EqualValues(t, 4, told.AtLeast.Epoch)
	a.Config.HTTPPort = freePort(t)
	require.Equal(t, role.Told{History: "m"}, a.Master(t.Context(), here, "m"), "its launcher does not answer")
	require.Zero(t, a.Master(t.Context(), netip.MustParseAddr("127.0.0.2"), "m"), "nothing listens there")
}

func TestPodThatHasNotRunMayHaveDataWhereVolumesAreKept(t *testing.T) {
	pods := []kube.Pod{
		{Name: "server-1", UID: "uid-1", Server: true, Phase: corev1.PodPending},
		{Name: "server-0", UID: "uid-0", Server: true, Phase: corev1.PodRunning, IP: here},
	}
	neverRan := func(c config.Config) []bool {
		var found []bool
		for _, p := range (Asker{Config: c, Links: NewLinks("")}).Members(pods) {
			found = append(found, p.NeverRan)
		}
		return found
	}
	require.Equal(t, []bool{false, true}, neverRan(config.Config{Persistence: true}), "by name")
	require.Equal(t, []bool{false, false}, neverRan(config.Config{Persistence: true, VolumesKept: true}))
}

func TestMembersAreTheServersWithTheirNumbersAndRevisions(t *testing.T) {
	members := Asker{Links: NewLinks("")}.Members([]kube.Pod{{Name: "server-4", Server: true, Revision: "new", Ordinal: 4}, {Name: "sentinel"}})
	require.Equal(t, []role.Member{{Name: "server-4", Revision: "new", Ordinal: 4}}, members)
}
