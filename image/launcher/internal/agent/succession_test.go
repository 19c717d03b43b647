package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// One pod at a time replaces a dead master, and a master that hands over and dies is replaced at once.
func TestDeathOfAMasterIsRecordedByOneWhoReplacesIt(t *testing.T) {
	other, self := member("server-b"), member("server-a")
	now, past := time.Now(), time.Now().Add(-role.CarrierPatience)
	fenced := func(m kube.Member, f kube.Fence) kube.Record {
		f.UID = m.UID
		return kube.Record{Master: m, Generation: 3, Fence: &f}
	}
	for name, c := range map[string]struct {
		record kube.Record
		dead   kube.Member
		want   error
	}{
		"its own":                                        {kube.Record{Master: self}, self, nil},
		"its own, which is not recorded":                 {kube.Record{Master: other}, self, errNotElected},
		"its own, which a replica has fenced":            {fenced(self, kube.Fence{By: "server-c", At: now}), self, errReplaced},
		"its own, again":                                 {fenced(self, kube.Fence{Successor: "uid-server-c", At: now}), self, nil},
		"another's":                                      {kube.Record{Master: other, Generation: 3}, other, nil},
		"another's, again":                               {fenced(other, kube.Fence{By: "server-a", At: now}), other, nil},
		"another's, which has come back":                 {kube.Record{Master: other, Generation: 4}, other, errReplaced},
		"another's, which has been replaced":             {kube.Record{Master: member("server-c"), Generation: 3}, other, errReplaced},
		"another's, which a replica has fenced":          {fenced(other, kube.Fence{By: "server-c", At: now}), other, errReplaced},
		"another's, which a replica has fenced long ago": {fenced(other, kube.Fence{By: "server-c", At: past}), other, nil},
		"another's, which handed over":                   {fenced(other, kube.Fence{Successor: "uid-server-c", At: now}), other, nil},
		"another's, which has told a sentinel":           {fenced(other, kube.Fence{At: now}), other, errReplaced},
		"another's, which has told one long ago":         {fenced(other, kube.Fence{At: past}), other, nil},
		"another's, when a replica has told a sentinel":  {kube.Record{Master: other, Generation: 3, Order: &kube.Order{By: "server-c", At: now}}, other, errReplaced},
	} {
		t.Run(name, func(t *testing.T) {
			s := launcher(t, release(t, "server-a"), "server-a")
			record(t, s, c.record)
			master := dead{Member: c.dead, reason: "it has ended", recorded: s.observed.setRecord}
			if c.dead == other {
				master.generation = 3
			}
			read, err := s.campaigner().recordOf(t.Context(), master)
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.NoError(t, s.campaigner().fenceDead(t.Context(), read, master, "uid-chosen", now))
				require.ErrorIs(t, s.campaigner().fenceDead(t.Context(), read, master, "uid-chosen", now), kube.ErrChanged, "somebody has written since")
				written, err := s.api.Record(t.Context())
				require.NoError(t, err)
				require.Equal(t, "uid-chosen", written.Fence.Successor)
				require.Equal(t, c.dead != self, written.Fence.By != "")
			}
		})
	}
}

func TestReplicaThatHoldsMostReplacesADeadMaster(t *testing.T) {
	s := launcher(t, release(t, "server-a", "server-b", "server-c"), "server-a")
	shown := func() bool { return len(s.api.Pods()) == 3 }
	require.Eventually(t, shown, bound, time.Millisecond)
	says, offset, linked, asked := "slave", 90, "up", 0
	late := speakAt(t, "127.0.0.11:0", nil)
	s.config.RedisPort = int(late.addr.Port())
	late.answerBy("INFO", func(string) string {
		if asked++; asked == 1 {
			return "" // nothing comes in time
		}
		// What the kernel had received of the dead master is read meanwhile, and then the end of the connection.
		if offset = min(offset+20, 150); asked > 6 {
			linked = "down"
		}
		return text(fmt.Sprintf("role:%s\r\nmaster_replid:dead\r\nmaster_host:127.0.0.10\r\nmaster_port:6379\r\nmaster_link_status:%s\r\nslave_repl_offset:%d\r\n", says, linked, offset))
	})
	foremost := func(replicas ...role.Replica) (string, error) {
		pod, err := s.campaigner().foremost(t.Context(), netip.MustParseAddr("127.0.0.10"), replicas)
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
	require.ErrorIs(t, err, errNotElected, "its Redis has ended")

	speakAt(t, fmt.Sprintf("127.0.0.12:%d", s.config.RedisPort), map[string]string{}).answerBy("INFO", func(string) string { return "" })
	found, err = foremost(here, replica("127.0.0.12", 140))
	require.NoError(t, err, "a replica that is silent and held less")
	require.Equal(t, "server-b", found)
	_, err = foremost(here, replica("127.0.0.12", 160))
	require.ErrorContains(t, err, "127.0.0.12, which held most, does not answer")
	require.NotErrorIs(t, err, errNotElected, "the next look waits for it")

	here.History.ID = "another"
	_, err = foremost(here)
	require.ErrorIs(t, err, errNotElected, "it has restarted since the look")
	_, err = foremost(replica("127.0.0.11", 200))
	require.ErrorIs(t, err, errNotElected, "it holds less than the look found")
	says = "master"
	_, err = foremost(replica("127.0.0.11", 100))
	require.ErrorIs(t, err, errReplaced, "it has been promoted")
}
