package role

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

func TestTerminatingPodHandsOverBeforeItLeaves(t *testing.T) {
	const budget = 55 * time.Second
	master := together(runsAsMaster(time.Hour), sentinels("a a a"))
	const busy = "this pod may be needed, and its Redis does not answer at the moment"
	busyFor := func(since time.Duration) edit {
		return local(func(l *Local) { *l = Local{Running: true, Silent: since} })
	}
	leave := func(reason string) Leaving { return Leaving{Step: Leave, Reason: reason} }
	stay := func(reason string) Leaving { return Leaving{Step: StayOn, Reason: reason} }
	for _, c := range []struct {
		name    string
		given   Observation
		leaving time.Duration
		want    Leaving
	}{
		{"a replica leaves at once", observe(follows("b"), peer("b", isMaster)), 0, leave("this pod is not the master")},
		{"a pod whose Redis does not run leaves at once", observe(), 0, leave("this pod is not the master")},
		{"a master that is busy stays", observe(sentinels("a a a"), busyFor(time.Minute)), budget - leaveReserve - 1, stay(busy)},
		{"and leaves in the end", observe(sentinels("a a a"), busyFor(time.Minute)), budget - leaveReserve, leave("this pod is not the master")},
		{"a Redis that is busy without sentinels stays", observe(sentinels("a silent silent"), busyFor(silentPatience-1)), 30 * time.Second, stay(busy)},
		{"and one that was busy before it was told to leave", observe(sentinels("a silent silent"), busyFor(time.Minute)), silentPatience - 1, stay(busy)},
		{"not for ever", observe(sentinels("a silent silent"), busyFor(silentPatience)), 30 * time.Second, leave("this pod is not the master")},
		{"a Redis that does not answer and is not the sentinels' master leaves at once",
			observe(sentinels("b b a"), busyFor(0)), 0, leave("this pod is not the master")},
		{"a replica that is busy stays while a master is leaving", observe(sentinels("b b b"), busyFor(silentPatience-1), peer("b", isMaster, isTerminating)),
			30 * time.Second, stay(busy)},
		{"a replica that is busy leaves where another is master", observe(sentinels("b b b"), busyFor(0), peer("b", isMaster)),
			0, leave("this pod is not the master")},
		{"a master that has been replaced leaves at once", observe(runsAsMaster(time.Hour), sentinels("b b a"), peer("b", isMaster)), 0,
			leave("server-b is the master")},
		{"a pod that a leaving master has handed over to waits for the sentinels and a successor of its own",
			observe(runsAsMaster(time.Second), sentinels("b b b"), peer("b", isMaster, isTerminating), peer("c", linkDown)), 0,
			stay("waiting for one of 1 server(s) to synchronise")},
		{"a master hands over to any replica in sync, of which some stay",
			observe(master, peer("b", isReplica), peer("c", isReplica, isTerminating), peer("d", isReplica), peer("e", linkDown)), 0,
			Leaving{Step: HandOver, Successors: []netip.Addr{address("b"), address("c"), address("d")}, Candidates: []netip.Addr{address("b"), address("d")}, Reason: "2 replica(s) can take over"}},
		{"a replica stays while its master is leaving, too", observe(follows("b"), peer("b", isMaster, isTerminating)), 0,
			stay("the master is leaving, too, and may need this replica until it has handed over")},
		{"a replica stays while its master is leaving and too busy to answer", observe(follows("b"), peer("b", isTerminating, isFrozen)), 30 * time.Second,
			stay("the master is leaving, too, and may need this replica until it has handed over")},
		{"a replica does not wait for a master whose Redis has ended", observe(follows("b"), peer("b", isTerminating, isDead)), 0,
			leave("this pod is not the master")},
		{"a replica does not stay when the master has handed over to another that stays",
			observe(follows("b"), peer("b", isMaster, isTerminating), peer("c", isMaster)), 0, leave("this pod is not the master")},
		{"a replica that waited for its master keeps time to stop Redis", observe(follows("b"), peer("b", isMaster, isTerminating)),
			budget - leaveReserve, leave("this pod is not the master")},
		{"a master hands over though the sentinels name one that is not master",
			observe(runsAsMaster(time.Hour), sentinels("b b b"), peer("b", isReplica)), 0,
			Leaving{Step: HandOver, Successors: []netip.Addr{address("b")}, Candidates: []netip.Addr{address("b")}, Reason: "1 replica(s) can take over"}},
		{"a master waits for a replica in sync to have its data in its file", observe(master, peer("b", isWriting)), budget - leaveReserve - handOverReserve - 1,
			stay("waiting until one of 1 replica(s) in sync has its data in its file")},
		{"but not for ever", observe(master, peer("b", isWriting)), budget - leaveReserve - handOverReserve,
			Leaving{Step: HandOver, Successors: []netip.Addr{address("b")}, Candidates: []netip.Addr{address("b")}, Reason: "1 replica(s) can take over, and have their data in memory only"}},
		{"nor where another replica has it", observe(master, peer("b", isWriting), peer("c", isReplica)), 0,
			Leaving{Step: HandOver, Successors: []netip.Addr{address("b"), address("c")}, Candidates: []netip.Addr{address("c")}, Reason: "1 replica(s) can take over"}},
		{"a master whose own copy is not in its file stays without another server",
			observe(master, local(func(l *Local) { l.Copied = true })), budget - leaveReserve - 1,
			stay("this pod has its data in memory only, until the first rewrite of its file has ended")},
		{"a master waits for a server to synchronise", observe(master, peer("b", isUnsynced), peer("c", isDead)), 44 * time.Second,
			stay("waiting for one of 2 server(s) to synchronise")},
		{"a master does not wait for servers that leave, too", observe(master, peer("b", isTerminating)), arrivalPatience + 1,
			leave("there is no other server")},
		{"a master alone waits for a controller to create a server", observe(master), arrivalPatience,
			stay("waiting for another server to be created")},
		{"a master alone leaves when no server is created", observe(master), arrivalPatience + 1, leave("there is no other server")},
		{"where volumes are kept it does not wait as long", observe(master, volumesKept), keptPatience + 1, leave("there is no other server")},
		{"but for pods of another workload, which come at once", observe(master, volumesKept), keptPatience, stay("waiting for another server to be created")},
		{"and for data that are in its memory only", observe(master, volumesKept, local(func(l *Local) { l.Copied = true })), keptPatience + 1,
			stay("this pod has its data in memory only, until the first rewrite of its file has ended")},
		{"a master keeps time to stop Redis", observe(master, peer("b", isReplica)), budget - leaveReserve + 1,
			leave("no replica could take over within the shutdown budget")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := DecideLeaving(c.given, c.leaving, budget)
			got.Rule = ""
			require.Equal(t, c.want, got)
		})
	}
}

// inSet makes a peer the pod of a StatefulSet with a number and a revision, in sync at an offset.
func inSet(number int, revision string, offset int64) func(*Peer) {
	return func(p *Peer) {
		isReplica(p)
		p.Ordinal, p.Revision, p.Offset = number, revision, offset
	}
}

func TestMasterHandsOverToAPodThatHasBeenRolled(t *testing.T) {
	master := together(runsAsMaster(time.Hour), sentinels("a a a"), func(o *Observation) { o.Self.Ordinal, o.Self.Revision = 2, "old" })
	const offset = 10 * nearForemost
	for name, c := range map[string]struct {
		given Observation
		want  string // pods, the best first
	}{
		"a rolled pod before the foremost":       {observe(master, peer("b", inSet(0, "old", offset)), peer("c", inSet(3, "new", offset-100))), "c b"},
		"the lower number of two rolled pods":    {observe(master, peer("b", inSet(10, "new", offset)), peer("c", inSet(3, "new", offset-100))), "c b"},
		"the lowest number where none is rolled": {observe(master, peer("b", inSet(1, "old", offset)), peer("c", inSet(0, "old", offset-100))), "c b"},
		"not a rolled pod that is far behind":    {observe(master, peer("b", inSet(0, "old", offset)), peer("c", inSet(3, "new", offset-nearForemost-1))), "b c"},
		"not a rolled pod that tells nothing": {observe(master, peer("b", inSet(0, "old", offset)),
			peer("c", inSet(3, "new", offset), func(p *Peer) { p.Status = nil })), "b c"},
		"the foremost of the pods of a Deployment": {observe(master, func(o *Observation) { o.Self.Revision = "" },
			peer("b", inSet(0, "", offset-1)), peer("c", inSet(0, "", offset))), "c b"},
		"a pod of the other workload in a release that moves": {observe(master, peer("b", inSet(0, "old", offset)), peer("c", inSet(9, "", offset-1))), "c b"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []netip.Addr
			for _, pod := range strings.Fields(c.want) {
				want = append(want, address(pod))
			}
			require.Equal(t, want, DecideLeaving(c.given, 0, 55*time.Second).Candidates)
		})
	}
}

// A StatefulSet rolls the pods from the highest number down. A master with the highest number is rolled before there is another rolled pod.
func TestRollOutOfAStatefulSetHandsOverOnce(t *testing.T) {
	for servers := 2; servers <= 5; servers++ {
		for first := range servers {
			revisions := slices.Repeat([]string{"old"}, servers)
			master, handOvers := first, 0
			for leaving := servers - 1; leaving >= 0; leaving-- {
				if leaving == master {
					master = successorInSet(master, revisions)
					handOvers++
				}
				revisions[leaving] = "new"
			}
			want := 1
			if first == servers-1 {
				want = 2
			}
			require.Equal(t, want, handOvers, "%d servers, of which server %d is master", servers, first)
		}
	}
}

// successorInSet gives the number of the pod that a leaving master of a StatefulSet hands over to.
func successorInSet(master int, revisions []string) int {
	o := observe(runsAsMaster(time.Hour), sentinels("a a a"), func(o *Observation) {
		o.Self.Ordinal, o.Self.Revision = master, revisions[master]
	})
	for number, revision := range revisions {
		if number != master {
			peer(string(rune('b'+number)), inSet(number, revision, 1000+int64(number)))(&o)
		}
	}
	for number := range revisions {
		if number != master && address(string(rune('b'+number))) == DecideLeaving(o, 0, 55*time.Second).Candidates[0] {
			return number
		}
	}
	return -1
}

func TestLeavingPodWhoseRedisDiedAsMasterIsFailedOver(t *testing.T) {
	const budget = 55 * time.Second
	died := together(sentinels("a a a"), recorded("a"), labelled(Master))
	for _, c := range []struct {
		name    string
		given   Observation
		leaving time.Duration
		action  Action
		want    Leaving
	}{
		{"a replica in sync lives", observe(died, peer("b", linkDown)), 0, FailOver,
			Leaving{Step: StayOn, Reason: "Redis has died as master; waiting for a replica to be promoted"}},
		{"the replica does not answer at the moment", observe(died, peer("b", isReplica, isFrozen)), 0, Wait,
			Leaving{Step: StayOn, Reason: "Redis has died as master; waiting for a replica to be promoted"}},
		{"a replica was promoted", observe(died, peer("b", isMaster)), 0, Wait,
			Leaving{Step: PassOn, Successors: []netip.Addr{address("b")}, Reason: "server-b has replaced this pod after its Redis died"}},
		{"a master of the past has woken up", observe(died, generation(5), peer("b", isMaster, reports(wasMaster(3, 9))), peer("c", linkDown, reports(wasReplica(5, 9)))), 0, FailOver,
			Leaving{Step: StayOn, Reason: "Redis has died as master; waiting for a replica to be promoted"}},
		{"no replica is in sync", observe(died, peer("b", isUnsynced)), 0, Wait, Leaving{Step: Leave, Reason: "Redis has died, and no replica in sync lives"}},
		{"nobody promotes the replica", observe(died, peer("b", linkDown), waiting(deathPatience+1)), 0, FailOver,
			Leaving{Step: Leave, Reason: "Redis has died, and no replica was promoted in time"}},
		{"the budget is spent", observe(died, peer("b", linkDown)), budget - leaveReserve + 1, FailOver,
			Leaving{Step: Leave, Reason: "Redis has died, and no replica was promoted in time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := DecideLeft(c.given, true)
			require.Equal(t, Stopping, d.State)
			require.Equal(t, c.action, d.Action, d.Reason)
			leaving := DecideLeavingAfterDeath(c.given, c.leaving, budget)
			leaving.Rule = ""
			require.Equal(t, c.want, leaving)
		})
	}
	require.Equal(t, Decision{State: Stopping, Reason: "terminating, and Redis does not run"}, unruled(DecideLeft(observe(died, peer("b", linkDown)), false)))
}

func TestReserveForStoppingNeverTakesMoreThanAThirdOfTheBudget(t *testing.T) {
	master := observe(runsAsMaster(time.Hour), peer("b", isReplica))
	require.Equal(t, HandOver, DecideLeaving(master, 10*time.Second, 15*time.Second).Step)
	require.Equal(t, Leave, DecideLeaving(master, 10*time.Second+1, 15*time.Second).Step)
}

func TestPauseEndsBeforeSentinelsFindTheMasterDown(t *testing.T) {
	require.Equal(t, 1500*time.Millisecond, PauseLimit(time.Hour), "longer than that no client should wait")
	require.Equal(t, 1500*time.Millisecond, PauseLimit(3*time.Second))
	require.Equal(t, time.Second, PauseLimit(2*time.Second))
	require.Equal(t, 500*time.Millisecond, PauseLimit(1500*time.Millisecond))
	for downAfter := config.ShortestDownAfter; downAfter < time.Minute; downAfter += 100 * time.Millisecond {
		require.LessOrEqual(t, PauseLimit(downAfter), downAfter-time.Second, "the sentinels would find the master down")
		require.GreaterOrEqual(t, PauseLimit(downAfter), 500*time.Millisecond, "in less than that no failover is done")
	}
}

func TestMasterNeedsItsReplicasUnlessItCanSeeThatItIsNotCutOff(t *testing.T) {
	type setting struct {
		n  int
		ok bool
	}
	for name, c := range map[string]struct {
		configured, online int
		majority, fresh    bool
		want               setting
		masterFor          time.Duration
	}{
		"nothing is needed where nothing is configured":                              {0, 0, false, false, setting{0, true}, time.Minute},
		"as many as are configured where they are online":                            {1, 2, false, false, setting{1, true}, time.Minute},
		"as many as are configured, not as are online":                               {2, 3, true, true, setting{2, true}, time.Minute},
		"as many as are left where sentinels and API answer":                         {2, 1, true, true, setting{1, true}, time.Minute},
		"none where none is left and sentinels and API answer":                       {1, 0, true, true, setting{0, true}, time.Minute},
		"the present setting stays where the API does not answer":                    {1, 0, true, false, setting{0, false}, time.Minute},
		"the present setting stays where there is no majority":                       {1, 0, false, true, setting{0, false}, time.Minute},
		"as many as are configured where the master may be cut off":                  {2, 1, false, false, setting{2, true}, time.Minute},
		"as many as are configured, though nobody else answers":                      {2, 2, false, false, setting{2, true}, time.Minute},
		"the present setting stays where nobody can have agreed on a new master yet": {2, 0, false, false, setting{0, false}, time.Second},
		"as many as are configured as soon as they are back online ":                 {1, 1, true, true, setting{1, true}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := replicasNeeded(c.configured, c.online, c.majority, c.fresh, c.masterFor)
			require.Equal(t, c.want, setting{n, ok})
		})
	}
}

func TestStatesAndActionsHaveNames(t *testing.T) {
	var states, actions []string
	for s := Booting; s <= Stopped; s++ {
		states = append(states, s.String())
	}
	for a := Wait; a <= CallOff; a++ {
		actions = append(actions, a.String())
	}
	require.Equal(t, []string{"booting", "discovering", "starting", "serving", "uncertain", "stopping", "stopped"}, states)
	require.Equal(t, []string{"wait", "start-replica", "claim", "follow", "fail-over", "nudge", "replace-dead", "replace-silent", "call-off"}, actions)
}

func TestEverySentinelKnowsAReplicaThatStays(t *testing.T) {
	peers := []Peer{server("b", isReplica), server("c", isReplica, isTerminating), server("d", linkDown)}
	list := func(pods ...string) (ips []netip.Addr) {
		for _, p := range pods {
			ips = append(ips, address(p))
		}
		return ips
	}
	require.True(t, SentinelsKnow([][]netip.Addr{list("b", "c"), list("b")}, peers))
	require.True(t, SentinelsKnow(nil, peers), "none answers")
	require.False(t, SentinelsKnow([][]netip.Addr{list("b"), list("c")}, peers), "one knows only a replica that is leaving")
	require.False(t, SentinelsKnow([][]netip.Addr{list("b"), list("d")}, peers), "one knows only a replica that has lost its link")
	require.False(t, SentinelsKnow([][]netip.Addr{list("b"), {}}, peers), "one knows none")
}
