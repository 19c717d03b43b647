package role

import (
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func replica(state State, reason string) Decision {
	return Decision{State: state, Label: SlaveLabel, Reason: reason}
}

func does(action Action, target string, d Decision) Decision {
	d.Action = action
	if target != "" {
		d.Target = address(target)
	}
	return d
}

func TestReplicaStaysWithItsMaster(t *testing.T) {
	cut := replica(Uncertain, "replica of 10.0.0.2, not connected to it")
	check(t, []claim{
		{"that all sentinels name", observe(follows("b"), sentinels("b b b"), peer("b", isMaster)), replica(Serving, "replica of 10.0.0.2")},
		{"while nobody else claims to be master", observe(follows("b"), sentinels("silent none b")), replica(Serving, "replica of 10.0.0.2")},
		{"when the link breaks", observe(lostLink("b", time.Hour), sentinels("b b b"), peer("b", isDead)), cut},
		{"while the sentinels have not had time to move it",
			observe(follows("b"), local(func(l *Local) { l.Astray = wrongMasterPatience }), sentinels("c c c"), peer("c", isMaster)),
			replica(Serving, "replica of 10.0.0.2")},
		{"while the pod that the sentinels name is not master",
			observe(follows("b"), local(func(l *Local) { l.Astray = time.Hour }), sentinels("c c c"), peer("c", isReplica)),
			replica(Serving, "replica of 10.0.0.2")},
		{"while it is still connected, though another is the only master",
			observe(follows("b"), sentinels("silent silent c"), peer("c", isMaster)), replica(Serving, "replica of 10.0.0.2")},
		{"while sentinels may remember a master", observe(lostLink("b", time.Hour), sentinels("silent silent none")), cut},
		{"while a sentinel remembers a master", observe(lostLink("b", time.Hour), sentinels("none none b")), cut},
		{"for as long as Sentinel takes to find it down",
			observe(lostLink("b", 3*time.Second), sentinels("none none none"), wholeRelease, holds(wasReplica(1, 1))), cut},
	})
}

func TestReplicaMovesToTheMasterThatIsTrue(t *testing.T) {
	cut := replica(Uncertain, "server-c is the only master")
	check(t, []claim{
		{"the master that the sentinels name",
			observe(follows("b"), local(func(l *Local) { l.Astray = wrongMasterPatience + 1 }), sentinels("c c b"), peer("c", isMaster)),
			does(Follow, "c", replica(Serving, "the sentinels name server-c"))},
		{"the only one there is", observe(lostLink("b", wrongMasterPatience+1), sentinels("silent silent c"), peer("c", isMaster)),
			does(Follow, "c", cut)},
		{"the recorded master, of which the sentinels do not know yet",
			observe(lostLink("b", 0), sentinels("b b b"), peer("b", isDead), peer("c", isMaster), recorded("c"), replaced("b")),
			does(Follow, "c", replica(Uncertain, "server-c has replaced the master that the sentinels still name"))},
		{"but not back to its old master when the new one has replaced that in the record",
			observe(lostLink("b", 0), sentinels("b b b"), peer("b", isMaster), peer("c", isMaster), recorded("c"), replaced("b")),
			replica(Uncertain, "replica of 10.0.0.2, not connected to it")},
		{"but to none of two", observe(lostLink("b", time.Hour), sentinels("silent silent c"), peer("c", isMaster), peer("d", isMaster)),
			replica(Uncertain, "replica of 10.0.0.2, not connected to it")},
	})
}

// The named server, which would wait for the one with more data, is no help.
func TestReplicaIsElectedWhereTheSentinelsNameAReplicaWithLessData(t *testing.T) {
	why := "the sentinels name 10.0.0.3, nobody is master; "
	unmoved := replica(Uncertain, "replica of 10.0.0.2, not connected to it")
	cut := together(lostLink("b", lostPatience+1), sentinels("c c c"), recorded("b"), holds(wasReplica(2, 1000)), servers(2))
	less := peer("c", linkDown, reports(wasReplica(2, 999)))
	check(t, []claim{
		{"where its data are the most advanced", observe(cut, less),
			does(Claim, "", replica(Uncertain, why+"this pod holds the most advanced data"))},
		{"and where the named one is gone", observe(cut, peer("d", linkDown, reports(wasReplica(1, 1)))),
			does(Claim, "", replica(Uncertain, why+"this pod holds the most advanced data"))},
		{"not where the named one holds more", observe(cut, peer("c", linkDown, reports(wasReplica(2, 1001)))),
			replica(Uncertain, why+"server-c holds the most advanced data")},
		{"not before Sentinel has had time", observe(cut, less, lostLink("b", lostPatience)), unmoved},
		{"not while another is master", observe(cut, less, peer("d", isMaster)), unmoved},
		{"not while a sentinel is at work", observe(cut, less, sentinels("c c* c")), unmoved},
		{"not where the named one may be master", observe(cut, peer("c", isFrozen)), unmoved},
	})
}

func TestReplicaThatTheSentinelsNameIsElectedLikeAnyServer(t *testing.T) {
	why := "the sentinels name this pod and nobody else is master; "
	waits := func(reason string) Decision { return replica(Uncertain, reason) }
	unmoved := waits("replica of 10.0.0.2, not connected to it")
	cut := together(lostLink("b", promotionPatience+1), sentinels("a a a"), holds(wasReplica(1, 1000)), servers(2))
	check(t, []claim{
		{"where its data are the most advanced", observe(cut, peer("c", linkDown, reports(wasReplica(1, 999)))),
			does(Claim, "", waits(why+"this pod holds the most advanced data"))},
		{"not where a live replica holds more", observe(cut, peer("c", linkDown, reports(wasReplica(1, 1001)))),
			waits(why + "server-c holds the most advanced data")},
		{"not where a stopped server holds more", observe(cut, peer("c", isStopped, reports(wasMaster(1, 1)))),
			waits(why + "server-c holds the most advanced data")},
		{"not empty where a stopped server holds anything",
			observe(cut, holds(nothing), local(func(l *Local) { l.Synced = false }), peer("c", isStopped, reports(wasReplica(0, 1)))),
			waits(why + "server-c holds the most advanced data")},
		{"not while another is master", observe(cut, peer("c", isMaster)), unmoved},
		{"not before Sentinel has had time", observe(cut, lostLink("b", promotionPatience)), unmoved},
	})
}

func TestReplicaNudgesSentinelsThatDoNotReplaceADeadMaster(t *testing.T) {
	down := together(lostLink("b", time.Minute), peer("b", isDead), func(o *Observation) { o.MasterDown = requestPatience + 1 })
	waits := replica(Uncertain, "replica of 10.0.0.2, not connected to it")
	check(t, []claim{
		{"after some time", observe(down, sentinels("b! b! b!")),
			does(Nudge, "b", replica(Uncertain, "the master has been down for long and the sentinels do not replace it"))},
		{"not before", observe(down, sentinels("b! b! b!"), func(o *Observation) { o.MasterDown = requestPatience }), waits},
		{"not when the master has just come back and the sentinels have not seen it yet",
			observe(down, sentinels("b! b! b!"), linkedFor("b", requestPatience)), replica(Serving, "replica of 10.0.0.2")},
		{"but is connected to a master that the sentinels cannot reach",
			observe(down, sentinels("b! b! b!"), linkedFor("b", requestPatience+1)),
			does(Nudge, "b", replica(Serving, "the master has been down for long and the sentinels do not replace it"))},
		{"not while one of them is doing it", observe(down, sentinels("b! b! b*")), waits},
		{"not where another replica holds more", observe(down, sentinels("b! b! b!"), peer("c", linkDown, at(1001))), waits},
		{"not where another replica holds as much and comes first by name",
			observe(down, sentinels("b! b! b!"), peer("c", linkDown, func(p *Peer) { p.Name = "server-0" })), waits},
		{"but is elected where no replica has ever synchronised, which sentinels do not promote",
			observe(down, sentinels("b! b! b!"), wholeRelease, local(func(l *Local) { l.Synced = false })),
			does(Claim, "", replica(Uncertain, "the sentinels' master has not come back and no replica lives; this pod holds the most advanced data"))},
		{"not while another server is master", observe(down, sentinels("b! b! b!"), peer("c", isMaster)), waits},
	})
}

// Sentinel needs four ticks of its timer where a launcher needs the votes only.
func TestReplicaReplacesAMasterThatMostSentinelsFindDown(t *testing.T) {
	isLost := func(p *Peer) { p.Redis, p.Status, p.Launcher = Unknown, nil, Unknown }
	silent := func(edits ...edit) Observation {
		return observe(append([]edit{follows("b"), sentinels("b! b! b"), recorded("b"), generation(2), peer("b", isLost), peer("c", isReplica)}, edits...)...)
	}
	replaces := does(ReplaceSilent, "b", replica(Serving, "most sentinels get no answer from the master 10.0.0.2, and it has lost its label"))
	waits := replica(Serving, "replica of 10.0.0.2")
	labelledOn := func(o *Observation) { o.Peers[0].Label = Master }
	fencedBy := func(by, successor string, age time.Duration) edit {
		return func(o *Observation) { o.Fence = &Fence{UID: uid("b"), By: by, Successor: successor, Age: age} }
	}
	check(t, []claim{
		{"at once", silent(), replaces},
		{"also after its link has ended", silent(local(func(l *Local) { l.LinkUp, l.Unlinked = false, time.Second })),
			does(ReplaceSilent, "b", replica(Uncertain, "most sentinels get no answer from the master 10.0.0.2, and it has lost its label"))},
		{"shortly before they find it down", silent(sentinels("b b b!"), func(o *Observation) { o.Views[0].Silent = o.DownAfter - SilenceLead }), replaces},
		{"not long before", silent(sentinels("b b b!"), func(o *Observation) { o.Views[0].Silent = o.DownAfter - SilenceLead - 1 }), waits},
		{"not while the quorum is not reached", silent(func(o *Observation) { o.Quorum = 3 }), waits},
		{"not while only one sentinel finds it down", silent(sentinels("b! b b")), waits},
		{"not while it has the label: it may not hold writes back", silent(labelledOn), waits},
		{"not where it answers this replica: a sentinel does it", silent(func(o *Observation) { o.Peers[0] = server("b", isMaster) }), waits},
		{"not while a sentinel does it", silent(sentinels("b! b! b*")), waits},
		{"not where the record names another", silent(recorded("c")), waits},
		{"not where the record cannot be read", silent(func(o *Observation) { o.RecordKnown = false }), waits},
		{"not for a replica that is not in sync", silent(local(func(l *Local) { l.Synced = false })), waits},
		{"not where another replica holds more", silent(func(o *Observation) { o.Peers[1].Offset = 1001 }), waits},
		{"not where another replica may hold more and does not answer", silent(func(o *Observation) { o.Peers[1].Redis = Unknown; o.Peers[1].Status.Synced = true }), waits},
		{"not while it hands over", silent(fencedBy("", uid("c"), time.Second)), waits},
		{"not while another launcher does it", silent(fencedBy("server-c", uid("c"), time.Second)), waits},
		{"but when that launcher has had its time", silent(fencedBy("server-c", uid("c"), record.CarrierPatience+1)), replaces},
		{"again where its own attempt ended", silent(fencedBy("server-a", uid("c"), time.Second)), replaces},
		{"not where there is one sentinel", silent(func(o *Observation) { o.Sentinels = 1; o.Views = o.Views[:1] }), waits},
		{"not when that has failed for long: a sentinel is told", silent(local(func(l *Local) { l.Linked = time.Hour }), func(o *Observation) { o.MasterDown = promotionPatience }),
			does(Nudge, "b", replica(Serving, "the master has been down for long and the sentinels do not replace it"))},
		{"not when it leaves", silent(func(o *Observation) { o.Self.Terminating = true }), waits},
	})
}

// The master of the past follows the server that the sentinels name, which follows it in its
// turn. It has not synchronised, so Sentinel would not promote it.
func TestTwoReplicasOfEachOtherElectOne(t *testing.T) {
	after := func(down time.Duration) edit {
		return together(lostLink("b", down), local(func(l *Local) { l.Synced = false }), sentinels("b b b"), recorded("b"), generation(2), holds(wasMaster(1, 1000)))
	}
	other, third := peer("b", linkDown, reports(wasReplica(1, 999))), peer("c", isStopped, reports(nothing))
	waits := replica(Uncertain, "replica of 10.0.0.2, not connected to it")
	check(t, []claim{
		{"the one with the most data", observe(after(lostPatience+1), other, third),
			does(Claim, "", replica(Uncertain, "the pod that the sentinels name is not master, and no replica lives; this pod holds the most advanced data"))},
		{"not before the other may have found its master", observe(after(lostPatience), other, third),
			replica(Uncertain, "waiting for server-b, which the sentinels name")},
		{"not while the other is connected to a master", observe(after(lostPatience+1), peer("b", isReplica, reports(wasReplica(1, 999))), third), waits},
		{"not while a third server can be promoted", observe(after(lostPatience+1), other, peer("c", linkDown, reports(wasReplica(1, 999)))), waits},
		{"not while a third server may hold more and does not answer",
			observe(after(lostPatience+1), other, peer("c", isReplica, isFrozen, reports(wasReplica(1, 1200)))), waits},
		{"nor where nothing at all is known of it", observe(after(lostPatience+1), other, peer("c", isGone, isReady)), waits},
		{"not while a sentinel replaces the other", observe(after(lostPatience+1), sentinels("b b* b"), other, third), waits},
	})
}

func TestReplicaIsElectedWhereNobodyRemembersAMaster(t *testing.T) {
	cut := together(lostLink("b", 4*time.Second), holds(wasReplica(1, 5)), sentinels("none refused none"), recorded("b"))
	check(t, []claim{
		{"when its data are the most advanced", observe(cut, wholeRelease),
			does(Claim, "", replica(Uncertain, "the master is gone and the sentinels know nothing; this pod holds the most advanced data"))},
		{"not when another one's are", observe(cut, peer("b", isStopped, reports(wasMaster(1, 9))), peer("c", isStopped, reports(nothing))),
			replica(Uncertain, "the master is gone and the sentinels know nothing; server-b holds the most advanced data")},
	})
}
