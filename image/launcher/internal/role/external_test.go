package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// outside is the address of the external master of these tests.
var outside = netip.MustParseAddr("192.0.2.1")

// external has the release follow an external master. successor is the pod that becomes master instead; empty: none.
func external(successor string) edit {
	return func(o *Observation) {
		o.External, o.Settled, o.Initialised, o.MasterUID = External{On: true, Addr: outside}, outside, false, ""
		if successor != "" {
			o.External.Successor = uid(successor)
		}
	}
}

// followsOutside is a replica of the external master.
func followsOutside(up bool) edit {
	return local(func(l *Local) {
		*l = Local{Running: true, Answering: true, Follows: outside, LinkUp: up, Synced: up, Offset: 1000}
	})
}

// movedIn is a release that has got a master of its own.
func movedIn(o *Observation) { o.Settled = outside }

func TestServerFollowsTheExternalMaster(t *testing.T) {
	serves := replica(Serving, "replica of the external master 192.0.2.1")
	cut := replica(Uncertain, "replica of the external master 192.0.2.1, not connected to it")
	start := Decision{State: Starting, Label: ClearLabel, Action: StartReplica, Target: outside, Reason: "the external master 192.0.2.1 has the data"}
	back := Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: outside, Reason: "the external master is at 192.0.2.1"}
	check(t, []claim{
		{"when its Redis does not run", observe(external(""), wholeRelease), start},
		{"when its Redis does not run, whatever the others are", observe(external(""), sentinels("b b b"), peer("b", isMaster)), start},
		{"when its Redis does not run, and another pod succeeds that master", observe(external("b"), peer("b", isReplica)), start},
		{"unless its name does not resolve", observe(external(""), func(o *Observation) { o.External.Addr = netip.Addr{} }),
			discovering("the name of the external master does not resolve")},
		{"as a replica that goes on", observe(external(""), followsOutside(true)), serves},
		{"as a replica that goes on while its name does not resolve",
			observe(external(""), followsOutside(true), func(o *Observation) { o.External.Addr = netip.Addr{} }), serves},
		{"as a replica that has lost it", observe(external(""), followsOutside(false)), cut},
		{"as a replica, while another pod succeeds it", observe(external("b"), followsOutside(true)), serves},
		{"but claims mastership as its successor", observe(external("a"), followsOutside(true)),
			does(Claim, "", replica(Serving, "this pod succeeds the external master 192.0.2.1"))},
		{"and does not succeed it without its data", observe(external("a"), followsOutside(false)), cut},
		{"and does not succeed it while it leaves",
			observe(external("a"), followsOutside(true), func(o *Observation) { o.Self.Terminating = true }), serves},
		{"again when somebody has made it master by hand", observe(external(""), runsAsMaster(time.Hour)),
			func() Decision { d := back; d.State = Uncertain; return d }()},
		{"at its new address", observe(external(""), follows("b")), func() Decision { d := back; d.State = Serving; return d }()},
		{"as far as is known while its Redis is silent", observe(external(""), local(func(l *Local) { *l = Local{Running: true} })),
			Decision{State: Uncertain, Label: HoldLabel, Reason: "Redis does not answer; the sentinels decide whether it is down"}},
	})
}

func TestReplicaLeavesTheExternalMasterForTheFirstMaster(t *testing.T) {
	check(t, []claim{
		{"which says that it is master", observe(movedIn, followsOutside(true), recorded("b"), peer("b", isMaster)),
			does(Follow, "b", replica(Serving, "server-b has succeeded the external master"))},
		{"but not before it does", observe(movedIn, followsOutside(true), recorded("b"), peer("b", isReplica), func(o *Observation) { o.GenerationFor = claimPatience - 1 }),
			replica(Serving, "replica of 192.0.2.1")},
		{"and not for another master", observe(movedIn, followsOutside(true), recorded("b"), peer("c", isMaster)),
			replica(Serving, "replica of 192.0.2.1")},
		{"and another replica becomes it where it is lost before it has served", observe(movedIn, followsOutside(true), sentinels("none none none"), recorded("gone"), holds(wasReplica(0, 0)),
			peer("b", isReplica, reports(wasReplica(0, 0))), peer("c", isReplica, reports(wasReplica(0, 0)))),
			does(Claim, "", Decision{State: Serving, Label: SlaveLabel,
				Reason: "the release has left the external master, and its first master does not serve; this pod holds the most advanced data"})},
		{"and waits no longer than others for a server that is missing", observe(movedIn, followsOutside(true), sentinels("none none none"), recorded("gone"),
			holds(wasReplica(0, 0)), peer("b", isReplica, reports(wasReplica(0, 0))), func(o *Observation) { o.Masterless = electionPatience }),
			does(Claim, "", Decision{State: Serving, Label: SlaveLabel,
				Reason: "the release has left the external master, and its first master does not serve; this pod holds the most advanced data"})},
		{"and becomes it where that was not finished", observe(movedIn, followsOutside(true), recorded("a")),
			does(Claim, "", replica(Serving, "this pod succeeds the external master, and is not master yet"))},
	})
}

// followingLooker is a looker whose release follows an external master.
func followingLooker(t *testing.T) *looker {
	l := newLooker(t, there)
	l.memory = NewMemory(Standing{Empty: true}, now)
	l.facts.Settings.External = External{On: true, Addr: outside}
	l.answers.Views = []View{{Reach: Answered}}
	l.answers.Record = record.Record{}
	l.facts.Own = Own{Running: true, Answered: true, Follows: outside, Look: Look{LinkUp: true, History: History{ID: "h"}, Offset: 7}}
	return l
}

func TestExternalMasterIsNotAskedForALauncher(t *testing.T) {
	l := followingLooker(t)
	for range 20 {
		require.Equal(t, "external-master-serves", l.look().Rule)
		require.False(t, l.asked.Master.IsValid(), "it does not know the password of the release")
	}
	require.Equal(t, Standing{Offset: 7}, l.memory.Worth.Standing, "the data of an external master are of no generation")
}

func TestExternalMasterEndsWithTheFirstMasterOfTheRelease(t *testing.T) {
	l := followingLooker(t)
	l.look()
	l.answers.Record = record.Record{Successor: &record.Successor{Member: record.Member{UID: "uid-a"}, Until: now.Add(time.Hour)}}
	l.memory.ReadAgain()
	require.Equal(t, Claim, l.look().Action)
	l.answers.Record = record.Record{Initialised: true, Generation: 1, Master: record.Member{Name: "b", UID: "uid-b", IP: there.String()}}
	l.memory.ReadAgain()
	require.False(t, l.look().Seen.External.On)
}

func TestExternalMasterIsNotFollowedByDataOfTheRelease(t *testing.T) {
	l := followingLooker(t)
	l.facts.Own = Own{}
	l.memory = NewMemory(Standing{Generation: 3}, now)
	require.NotEqual(t, StartReplica, l.look().Action, "the volume has what a master of the release has written")

	l = followingLooker(t)
	l.facts.Own = Own{}
	l.answers.Peers = []Peer{{Member: Member{Name: "b", UID: "uid-b", IP: there}, Redis: Refused, Launcher: Answered, Status: &Status{Standing: Standing{Generation: 3}}}}
	require.NotEqual(t, StartReplica, l.look().Action, "the volume of another server has")

	l = followingLooker(t)
	l.facts.Own = Own{}
	require.Equal(t, StartReplica, l.look().Action)
}

func TestExternalMasterIsNotFollowedWithoutTheRecord(t *testing.T) {
	l := followingLooker(t)
	l.facts.Own = Own{}
	l.answers.RecordFailed = true
	require.Equal(t, Wait, l.look().Action, "the release may have a master of its own")
}

// The external master accepts writes again by then. What it has accepted meanwhile would be lost.
func TestExternalMasterIsNotSucceededAfterTheEndOfTheOrder(t *testing.T) {
	l := followingLooker(t)
	l.look()
	l.answers.Record = record.Record{Successor: &record.Successor{Member: record.Member{UID: "uid-a"}, Until: l.at}}
	l.memory.ReadAgain()
	require.Equal(t, "external-master-serves", l.look().Rule)
}

func TestDataOfUnknownWorthAreNotReplacedByThoseOfTheExternalMaster(t *testing.T) {
	l := followingLooker(t)
	l.facts.Own = Own{}
	l.memory = NewMemory(Standing{Unreadable: true}, now)
	require.Equal(t, "external-master-unknown-data", l.look().Rule)
}

// Sentinels of the external master find its replicas, and promote one of them where they may.
func TestReplicaOfTheExternalMasterIsNotPromotable(t *testing.T) {
	l := followingLooker(t)
	l.look()
	require.True(t, l.memory.Held.InSync)
	require.False(t, l.look().Promotable)
}

// The external master is gone after the cut-over, and a pod of the release has got its address.
func TestPodOfTheReleaseAtTheAddressOfTheExternalMasterIsOfTheRelease(t *testing.T) {
	l := followingLooker(t)
	l.facts.Settings.External.Addr = there
	l.facts.Own.Follows = there
	l.answers.Record = record.Record{Initialised: true, Generation: 1, Master: record.Member{Name: "b", UID: "uid-b", IP: there.String()}}
	l.answers.Peers = []Peer{{Member: Member{Name: "b", UID: "uid-b", IP: there}, Redis: Answered, Master: true}}
	plan := l.look()
	require.NotEqual(t, "external-master-left", plan.Rule, "this replica follows the master of the release")
	require.False(t, plan.Seen.Settled.IsValid())
	require.Equal(t, there, l.asked.Master, "the master of the release is asked what its data are worth")
}
