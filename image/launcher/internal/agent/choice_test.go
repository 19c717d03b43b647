package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// remembers is the answer to SENTINEL REPLICAS of a sentinel with these offsets
// of 10.0.0.2 and 10.0.0.3.
func remembers(second, third int) map[string]string {
	entry := func(ip string, offset int) string {
		return fakeredis.List("ip", ip, "port", "6379", "flags", "slave", "slave-priority", "100", "slave-repl-offset", fmt.Sprint(offset))
	}
	return map[string]string{"SENTINEL REPLICAS": "*2\r\n" + entry("10.0.0.2", second) + entry("10.0.0.3", third)}
}

func TestFailoverIsCommandedToASentinelThatKnowsWhoHoldsTheData(t *testing.T) {
	const master = "10.0.0.1"
	third := []netip.Addr{netip.MustParseAddr("10.0.0.3")}
	for name, c := range map[string]struct {
		first, second map[string]string
		foremost      []netip.Addr
		told          string
	}{
		"the second where only it knows":            {remembers(7, 5), remembers(7, 9), third, "second"},
		"the first where it knows":                  {remembers(7, 9), remembers(7, 5), third, "first"},
		"the first where it does not matter":        {remembers(7, 5), remembers(7, 9), nil, "first"},
		"the first after a while where nobody does": {remembers(7, 5), remembers(7, 5), third, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			first, _ := sentinelAt(t, "first", master, c.first)
			second, _ := sentinelAt(t, "second", master, c.second)
			told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{first, second}, first.Master, c.foremost)
			require.NoError(t, err)
			require.Equal(t, c.told, told)
		})
	}
}

func TestReplicaIsNotHeldBackForever(t *testing.T) {
	reply := "*1\r\n" + fakeredis.List("ip", "10.0.0.4", "port", "6379", "flags", "slave", "runid", "a", "slave-priority", "100",
		"info-refresh", "10", "last-ok-ping-reply", "10")
	view, _ := sentinelAt(t, "first", "10.0.0.1", map[string]string{"SENTINEL REPLICAS": reply})
	s := &Server{config: config.Config{MasterName: "mymaster", PodIP: netip.MustParseAddr("10.0.0.4")}, log: quiet}
	require.False(t, s.remembered(t.Context()), "no sentinel answers")
	s.views = []observe.SentinelView{view}
	require.True(t, s.remembered(t.Context()))
	s.heldAt = time.Now().Add(-rememberedAtMost - time.Second)
	require.False(t, s.remembered(t.Context()), "who answers at this address is not the replica that was here")
}

func TestSentinelsThatStayAreToldFirst(t *testing.T) {
	pods := []kube.Pod{{UID: "master", Node: "x"}, {UID: "other", Node: "y"}}
	views := func() (list []observe.SentinelView) {
		for _, pod := range []kube.Pod{
			{Name: "beside", Node: "x"}, {Name: "leaving", Node: "y", Terminating: true}, {Name: "first", Node: "y"}, {Name: "second", Node: "z"},
		} {
			list = append(list, observe.SentinelView{Pod: pod})
		}
		return list
	}
	names := func(list []observe.SentinelView) (out []string) {
		for _, v := range list {
			out = append(out, v.Pod.Name)
		}
		return out
	}
	require.Equal(t, []string{"first", "second", "beside", "leaving"}, names(stayingFirst(views(), "master", pods)))
	require.Equal(t, []string{"beside", "first", "second", "leaving"}, names(stayingFirst(views(), "unknown", pods)), "a node that is not known is nobody's")
}
