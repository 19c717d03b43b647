package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// remembers is the answer to SENTINEL REPLICAS of a sentinel with these offsets
// of 10.0.0.2 and 10.0.0.3.
func remembers(second, third int) map[string]string {
	entry := func(ip string, offset int) string {
		words := []string{"ip", ip, "port", "6379", "flags", "slave", "slave-priority", "100", "slave-repl-offset", fmt.Sprint(offset)}
		out := fmt.Sprintf("*%d\r\n", len(words))
		for _, word := range words {
			out += text(word)
		}
		return out
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
			told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{first, second}, first.Master, c.foremost)
			require.NoError(t, err)
			require.Equal(t, c.told, told)
		})
	}
}

func TestChoiceIsSentinels(t *testing.T) {
	replica := func(host, priority, offset int, id string) redisnode.KnownReplica {
		return redisnode.KnownReplica{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), 6379), Priority: priority, Offset: int64(offset), RunID: id,
		}
	}
	down := replica(6, 100, 99, "a")
	down.Down = true
	unlinked := replica(7, 100, 99, "a")
	unlinked.Disconnected = true
	for name, c := range map[string]struct {
		known []redisnode.KnownReplica
		host  int
	}{
		"the most data":            {[]redisnode.KnownReplica{replica(2, 100, 5, "a"), replica(3, 100, 6, "b")}, 3},
		"before that the priority": {[]redisnode.KnownReplica{replica(2, 10, 5, "b"), replica(3, 100, 6, "a")}, 2},
		"after that the run ID":    {[]redisnode.KnownReplica{replica(2, 100, 5, "b"), replica(3, 100, 5, "a")}, 3},
		"nobody without priority":  {[]redisnode.KnownReplica{replica(2, 0, 9, "a"), replica(3, 100, 5, "b")}, 3},
		"nobody without a link":    {[]redisnode.KnownReplica{unlinked, replica(3, 100, 5, "b")}, 3},
		"nobody who is down":       {[]redisnode.KnownReplica{down, replica(3, 100, 5, "b")}, 3},
	} {
		require.Equal(t, byte(c.host), choice(c.known).As4()[3], name)
	}
	require.False(t, choice(nil).IsValid())
}

func TestHandOverIsOrderedFromASentinelThatChoosesAReplicaInSync(t *testing.T) {
	replica := func(host byte, offset int, linked bool) redisnode.KnownReplica {
		return redisnode.KnownReplica{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 6379), Priority: 100, Offset: int64(offset), Linked: linked,
		}
	}
	outsider := func(change func(*redisnode.KnownReplica)) redisnode.KnownReplica {
		r := replica(4, 9, true)
		change(&r)
		return r
	}
	second, third := replica(2, 5, true), replica(3, 6, true)
	for name, c := range map[string]struct {
		known []redisnode.KnownReplica
		want  bool
	}{
		"all that it knows are":                     {[]redisnode.KnownReplica{second, third}, true},
		"one that it does not know matters nothing": {[]redisnode.KnownReplica{second}, true},
		"another one that holds more":               {[]redisnode.KnownReplica{second, third, replica(4, 9, false)}, false},
		"another one that may hold more":            {[]redisnode.KnownReplica{second, third, replica(4, 1, true)}, false},
		"another one that holds less for good":      {[]redisnode.KnownReplica{second, third, replica(4, 1, false)}, true},
		"another one that is down":                  {[]redisnode.KnownReplica{second, outsider(func(r *redisnode.KnownReplica) { r.Down = true })}, true},
		"another one without a connection":          {[]redisnode.KnownReplica{second, outsider(func(r *redisnode.KnownReplica) { r.Disconnected = true })}, true},
		"another one that is never promoted":        {[]redisnode.KnownReplica{second, outsider(func(r *redisnode.KnownReplica) { r.Priority = 0 })}, true},
		"none":                                      {nil, false},
	} {
		require.Equal(t, c.want, choosesAmong(c.known, []netip.Addr{second.Addr.Addr(), third.Addr.Addr()}), name)
	}
}

func TestSentinelsForgetTheReplicaThatWasHere(t *testing.T) {
	fresh := redisnode.KnownReplica{
		Addr: netip.MustParseAddrPort("10.0.0.4:6379"), RunID: "a", Priority: 100, InfoAge: 900 * time.Millisecond, PongAge: 200 * time.Millisecond,
	}
	for name, c := range map[string]struct {
		change func(*redisnode.KnownReplica)
		want   bool
	}{
		"it has just answered":                               {func(*redisnode.KnownReplica) {}, true},
		"it would still be chosen without another answer":    {func(r *redisnode.KnownReplica) { r.InfoAge, r.PongAge = 5*time.Second, 1250*time.Millisecond }, true},
		"it would not be asked with the first ping":          {func(r *redisnode.KnownReplica) { r.InfoAge, r.PongAge = time.Second, 5*time.Second }, true},
		"it would be asked, and not be chosen before that":   {func(r *redisnode.KnownReplica) { r.InfoAge, r.PongAge = 1001*time.Millisecond, 1251*time.Millisecond }, false},
		"it was never to be promoted":                        {func(r *redisnode.KnownReplica) { r.Priority = 0 }, false},
		"the sentinel has heard nothing of it":               {func(r *redisnode.KnownReplica) { r.RunID = "" }, false},
		"it is another":                                      {func(r *redisnode.KnownReplica) { r.Addr = netip.MustParseAddrPort("10.0.0.5:6379") }, false},
		"the link of the sentinel is gone, which comes back": {func(r *redisnode.KnownReplica) { r.Disconnected = true }, true},
	} {
		known := fresh
		c.change(&known)
		other := redisnode.KnownReplica{Addr: netip.MustParseAddrPort("10.0.0.9:6379"), RunID: "b", Priority: 100}
		require.Equal(t, c.want, promotesUnasked([]redisnode.KnownReplica{other, known}, fresh.Addr.Addr()), name)
	}
}

func TestReplicaIsNotHeldBackForever(t *testing.T) {
	entry := []string{
		"ip", "10.0.0.4", "port", "6379", "flags", "slave", "runid", "a", "slave-priority", "100", "info-refresh", "10", "last-ok-ping-reply", "10",
	}
	reply := fmt.Sprintf("*1\r\n*%d\r\n", len(entry))
	for _, word := range entry {
		reply += text(word)
	}
	view, _ := sentinelAt(t, "first", "10.0.0.1", map[string]string{"SENTINEL REPLICAS": reply})
	s := &Server{config: config.Config{MasterName: "mymaster", PodIP: netip.MustParseAddr("10.0.0.4")}, log: quiet}
	require.False(t, s.remembered(t.Context()), "no sentinel answers")
	s.views = []sentinelView{view}
	require.True(t, s.remembered(t.Context()))
	s.heldAt = time.Now().Add(-rememberedAtMost - time.Second)
	require.False(t, s.remembered(t.Context()), "who answers at this address is not the replica that was here")
}

func TestSentinelsThatStayAreToldFirst(t *testing.T) {
	pods := []kube.Pod{{UID: "master", Node: "x"}, {UID: "other", Node: "y"}}
	views := func() (list []sentinelView) {
		for _, pod := range []kube.Pod{
			{Name: "beside", Node: "x"}, {Name: "leaving", Node: "y", Terminating: true}, {Name: "first", Node: "y"}, {Name: "second", Node: "z"},
		} {
			list = append(list, sentinelView{pod: pod})
		}
		return list
	}
	names := func(list []sentinelView) (out []string) {
		for _, v := range list {
			out = append(out, v.pod.Name)
		}
		return out
	}
	require.Equal(t, []string{"first", "second", "beside", "leaving"}, names(stayingFirst(views(), "master", pods)))
	require.Equal(t, []string{"beside", "first", "second", "leaving"}, names(stayingFirst(views(), "unknown", pods)), "a node that is not known is nobody's")
}
