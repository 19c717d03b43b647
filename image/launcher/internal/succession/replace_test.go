package succession

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

func TestDeathOfAMasterIsRecordedUnlessSomebodyHasWrittenSince(t *testing.T) {
	c := launcher(t, fakerelease.New(t, "server-a"), "server-a", 0)
	fakerelease.SetRecord(t, c.api, record.Record{Master: fakerelease.Member("server-b")})
	var written record.Record
	master := &Lost{
		Lost:     role.Lost{Lost: record.Lost{Member: fakerelease.Member("server-b"), Reason: "it has ended"}},
		Recorded: func(r record.Record) { written = r },
	}
	read, recorded, err := c.recordOf(t.Context(), master)
	require.NoError(t, err)
	require.True(t, recorded)
	recorded, err = c.fenceLost(t.Context(), read, master, "uid-chosen", time.Now())
	require.NoError(t, err)
	require.True(t, recorded)
	_, err = c.fenceLost(t.Context(), read, master, "uid-chosen", time.Now())
	require.ErrorIs(t, err, kube.ErrChanged, "somebody has written since")
	require.Equal(t, "uid-chosen", written.Fence.Successor)

	fakerelease.SetRecord(t, c.api, record.Record{Master: fakerelease.Member("server-b")})
	master.Member = c.self
	_, recorded, err = c.recordOf(t.Context(), master)
	require.NoError(t, err)
	require.False(t, recorded, "its own death, of which the record knows nothing")
}

// The launcher of a dead Redis needs no record: nobody else replaces the master. The launcher of a replica does.
func TestOnlyTheLauncherOfTheDeadRedisGoesOnWithoutTheRecord(t *testing.T) {
	server := fakerelease.New(t, "server-a")
	c := launcher(t, server, "server-a", 0)
	fakerelease.SetRecord(t, c.api, record.Record{Master: c.self})
	own := &Lost{Lost: role.Lost{Lost: record.Lost{Member: c.self}}}
	read, recorded, err := c.recordOf(t.Context(), own)
	require.NoError(t, err)
	require.True(t, recorded)
	server.Deny("server-a", "update", "leases")
	recorded, err = c.fenceLost(t.Context(), read, own, "uid-chosen", time.Now())
	require.NoError(t, err)
	require.False(t, recorded)
	require.Empty(t, own.fenced.Version)
	other := &Lost{Lost: role.Lost{Lost: record.Lost{Member: fakerelease.Member("server-b")}}}
	_, err = c.fenceLost(t.Context(), read, other, "uid-chosen", time.Now())
	require.ErrorIs(t, err, ErrUnrecorded)
	server.Deny("server-a", "get", "leases")
	_, recorded, err = c.recordOf(t.Context(), own)
	require.NoError(t, err)
	require.False(t, recorded)
	_, _, err = c.recordOf(t.Context(), other)
	require.ErrorIs(t, err, ErrUnrecorded)
}

func TestReplicaThatHoldsMostReplacesADeadMaster(t *testing.T) {
	late := fakeredis.StartAt(t, "127.0.0.11:0", nil)
	c := launcher(t, fakerelease.New(t, "server-a", "server-b", "server-c"), "server-a", int(late.Addr.Port()))
	shown := func() bool { return len(c.api.Pods()) == 3 }
	require.Eventually(t, shown, bound, time.Millisecond)
	says, offset, linked, asked := "slave", 90, "up", 0
	late.AnswerBy("INFO", func(string) string {
		if asked++; asked == 1 {
			return "" // nothing comes in time
		}
		// What the kernel had received of the dead master is read meanwhile, and then the end of the connection.
		if offset = min(offset+20, 150); asked > 6 {
			linked = "down"
		}
		return fakeredis.Text(fmt.Sprintf("role:%s\r\nmaster_replid:dead\r\nmaster_host:127.0.0.10\r\nmaster_port:6379\r\nmaster_link_status:%s\r\nslave_repl_offset:%d\r\n", says, linked, offset))
	})
	foremost := func(replicas ...role.Replica) (string, error) {
		pod, err := c.foremost(t.Context(), Lost{Lost: role.Lost{Replicas: replicas}}, netip.MustParseAddr("127.0.0.10"))
		return pod.Name, err
	}
	replica := func(ip string, offset int64) role.Replica {
		return role.Replica{IP: netip.MustParseAddr(ip), Offset: offset, History: role.History{ID: "dead"}}
	}
	here, gone := replica("127.0.0.11", 100), replica("127.0.0.12", 120)
	found, err := foremost(gone, here)
	require.NoError(t, err)
	require.Equal(t, "server-b", found)
	require.Greater(t, asked, 6, "it waits until the replica has noticed the end of the master")
	_, err = foremost(gone)
	require.ErrorIs(t, err, role.ErrNoReplica, "its Redis has ended")

	fakeredis.StartAt(t, fmt.Sprintf("127.0.0.12:%d", c.config.RedisPort), map[string]string{}).AnswerBy("INFO", func(string) string { return "" })
	found, err = foremost(here, replica("127.0.0.12", 140))
	require.NoError(t, err, "a replica that is silent and held less")
	require.Equal(t, "server-b", found)
	_, err = foremost(here, replica("127.0.0.12", 160))
	require.ErrorContains(t, err, "127.0.0.12, which held most, does not answer")
	require.NotErrorIs(t, err, role.ErrNoReplica, "the next look waits for it")

	here.History.ID = "another"
	_, err = foremost(here)
	require.ErrorIs(t, err, role.ErrNoReplica, "it has restarted since the look")
	_, err = foremost(replica("127.0.0.11", 200))
	require.ErrorIs(t, err, role.ErrNoReplica, "it holds less than the look found")
	says = "master"
	_, err = foremost(replica("127.0.0.11", 100))
	require.ErrorIs(t, err, record.ErrReplaced, "it has been promoted")
}

// A silent master may die at any moment. Its launcher, if it runs, then passes connections on to the successor, which would follow itself.
func TestSilentMasterIsToldToFollowOnlyWhereItsLauncherStandsStillToo(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("frozen %t", frozen), func(t *testing.T) {
			master := fakeredis.Start(t, map[string]string{"REPLICAOF": "+OK\r\n", "CLIENT KILL": ":0\r\n"})
			c := launcher(t, fakerelease.New(t, "server-a"), "server-a", int(master.Addr.Port()))
			next := Successor{of: master.Addr, Addr: netip.MustParseAddrPort("127.0.0.12:6379"), Epoch: 9, silent: true, frozen: frozen}
			c.TellOthers(t.Context(), next)
			told := func() bool { return slices.Contains(master.Heard(), "REPLICAOF 127.0.0.12 6379") }
			if frozen {
				require.Eventually(t, told, bound, time.Millisecond)
			} else {
				require.Never(t, told, 4*observe.QuickAnswer, 10*time.Millisecond, "twice the time that such an order has")
			}
		})
	}
}
