package role

import (
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func serving(reason string) Decision {
	return Decision{State: Serving, Label: MasterLabel, Reason: reason}
}

func uncertain(label Label, reason string) Decision {
	return Decision{State: Uncertain, Label: label, Reason: reason}
}

func TestRedisThatCannotSpeakIsLeftAlone(t *testing.T) {
	check(t, []claim{
		{"while it takes no more clients", observe(runsAsMaster(0), local(func(l *Local) { l.Answering, l.Full = false, true })),
			uncertain(HoldLabel, "Redis has reached maxclients and refuses the launcher")},
		{"while it does not answer", observe(runsAsMaster(0), local(func(l *Local) { l.Answering = false })),
			uncertain(HoldLabel, "Redis does not answer; the sentinels decide whether it is down")},
		{"while it loads its data", observe(runsAsMaster(0), local(func(l *Local) { l.Loading = true })),
			Decision{State: Starting, Label: HoldLabel, Reason: "Redis is loading its data"}},
	})
}

// Sentinel does not know the priority of a master. It would promote a master of the past that it takes for a replica.
func TestMasterOfThePastFollowsThePodThatRecordAndSentinelsName(t *testing.T) {
	past := together(runsAsMaster(time.Hour), sentinels("b b b"), recorded("b"), generation(5), holds(wasMaster(3, 10)))
	reason := "this master has been replaced, and server-b has later data or is to have them"
	follow := Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: reason}
	wait := uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")
	check(t, []claim{
		{"also where that pod does not answer", observe(past, peer("b", isGone)), follow},
		{"or its Redis does not run", observe(past, peer("b", isStopped)), follow},
		{"or it is fenced, and another will succeed it", observe(past, fenced("b", time.Second), peer("b", isStopped)), follow},
		{"or another has succeeded it in the record", observe(past, recorded("c"), peer("b", isReplica)), follow},
		{"not where its own data are as late", observe(past, holds(wasReplica(5, 10)), peer("b", isGone)), wait},
		{"where that pod is gone, it follows the server with the latest data",
			observe(past, sentinels("f f f"), recorded("f"), peer("c", isReplica, reports(wasReplica(4, 1))), peer("b", isReplica, reports(wasReplica(5, 1)))), follow},
		{"where nobody tells of later data, it waits", observe(past, sentinels("f f f"), recorded("f"), peer("b", isReplica, reports(wasReplica(3, 1)))), wait},
		{"where the record cannot be read, if the sentinels have named it before",
			observe(past, recordUnknown, local(func(l *Local) { l.Confirmed = true }), peer("b", isGone)), follow},
		{"not where they have not", observe(past, recordUnknown, peer("b", isGone)), wait},
	})
}

func TestMasterIsLabelled(t *testing.T) {
	promoted := together(runsAsMaster(time.Second), fenced("b", time.Second))
	check(t, []claim{
		{"by a majority of the sentinels", observe(runsAsMaster(0), sentinels("a a b"), recorded("b")),
			serving("the sentinels name this pod")},
		{"before the sentinels agree, where the previous master is fenced",
			observe(promoted, sentinels("a b none"), peer("b", isStopped)),
			serving("the previous master is fenced and this pod was promoted")},
		{"while the sentinels still name the fenced master", observe(promoted, sentinels("b b b"), peer("b", isStopped)),
			serving("the previous master is fenced and this pod was promoted")},
		{"while the sentinels still name a pod that is gone", observe(promoted, sentinels("b b b")),
			serving("the previous master is fenced and this pod was promoted")},
		{"by the record where no majority is to be had",
			observe(runsAsMaster(time.Hour), recorded("a"), labelled(Master), sentinels("silent silent a")),
			serving("this pod is the recorded master and the sentinels do not name another")},
		{"but not again while a majority finds it lost, and would take the label off again",
			observe(runsAsMaster(time.Hour), recorded("a"), sentinels("a! a! a")),
			uncertain(HoldLabel, "this pod has lost its label because most sentinels get no answer from it")},
		{"nor while a majority will soon", observe(runsAsMaster(time.Hour), recorded("a"), sentinels("a! a a"), silent(1, 2300*time.Millisecond)),
			uncertain(HoldLabel, "this pod has lost its label because most sentinels get no answer from it")},
		{"again when they get answers", observe(runsAsMaster(time.Hour), recorded("a"), sentinels("a! a a"), silent(1, 2299*time.Millisecond)),
			serving("the sentinels name this pod")},
		{"or when nobody has succeeded it", observe(runsAsMaster(time.Hour), recorded("a"), sentinels("a! a! a!"), func(o *Observation) { o.MasterDown = promotionPatience }),
			serving("the sentinels name this pod")},
		{"without a word as long as nobody takes it off", observe(runsAsMaster(time.Hour), recorded("a"), labelled(Master), sentinels("a! a! a!")),
			serving("the sentinels name this pod")},
		{"by the record where the others do not run",
			observe(runsAsMaster(time.Hour), recorded("a"), sentinels("refused refused a")),
			serving("this pod is the recorded master and the sentinels do not name another")},
		{"but not again where a majority that is out of reach may have taken the label",
			observe(runsAsMaster(time.Hour), recorded("a"), sentinels("silent silent a")),
			Decision{State: Serving, Label: HoldLabel, Reason: "this pod is the recorded master, has lost its label, and cannot ask the sentinels why"}},
		{"by the record while the sentinels still name the master before it",
			observe(runsAsMaster(promotionPatience), recorded("a"), replaced("b"), sentinels("b b b"), peer("b", isMaster)),
			serving("this pod has replaced the master that the sentinels still name")},
		{"but not where they have named it before",
			observe(runsAsMaster(promotionPatience), local(func(l *Local) { l.Confirmed = true }), recorded("a"), replaced("b"), sentinels("b b b"), peer("b", isMaster)),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "the sentinels have replaced this master by server-b"}},
		{"but not where it has come back with its own data, and the one before it was promoted meanwhile",
			observe(runsAsMaster(promotionPatience), local(func(l *Local) { l.Claimed = true }), recorded("a"), replaced("b"), sentinels("b b b"), peer("b", isMaster)),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "the sentinels have replaced this master by server-b"}},
		{"where it has come back with its own data, and the one before it follows this pod, as long as sentinels need to see that",
			observe(runsAsMaster(time.Hour), local(func(l *Local) { l.Confirmed = true }), recorded("a"), replaced("b"), sentinels("b b b"), peer("b", isReplica)),
			serving("this pod is the recorded master; the one that the sentinels still name is a replica")},
		{"elected over a master that is gone, and ends the failover that a sentinel has begun for it",
			observe(runsAsMaster(time.Second), local(func(l *Local) { l.Claimed = true }), recorded("a"), replaced("b"), sentinels("b b* b")),
			Decision{State: Serving, Label: MasterLabel, Action: CallOff, Target: address("b"),
				Reason: "this pod is the recorded master; the one that the sentinels still name is gone"}},
		{"promoted over a master that is gone, and leaves the failover alone that has made it master",
			observe(runsAsMaster(time.Second), recorded("a"), replaced("b"), sentinels("b b* b")),
			serving("this pod has replaced the master that the sentinels still name")},
		{"by the record where the one the sentinels name is gone",
			observe(runsAsMaster(time.Hour), recorded("a"), sentinels("b b b")),
			serving("this pod is the recorded master; the one that the sentinels still name is gone")},
		{"by the record where the one the sentinels name does not run",
			observe(runsAsMaster(time.Hour), recorded("a"), sentinels("b b b"), peer("b", isStopped)),
			serving("this pod is the recorded master; the one that the sentinels still name is gone")},
	})
}

// A master that has stood still may wake up when its successor is there and the
// sentinels have not agreed on that one yet.
func TestMasterThatIsBeingReplacedIsNotLabelled(t *testing.T) {
	was := func(l *Local) { l.Recorded = true }
	giveWay := Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "the record names server-b as master in place of this one"}
	awake := together(runsAsMaster(time.Hour), local(was), recorded("b"), replaced("a"), sentinels("a a a"))
	left := uncertain(HoldLabel, "a sentinel is replacing this pod")
	left.BeingReplaced = true
	switched := func(to string) edit {
		return func(o *Observation) {
			o.Views = views("a a " + to + "*")
			o.Views[2].Switched = true
		}
	}
	check(t, []claim{
		{"it follows the one that the record has in its place", observe(awake, peer("b", isMaster)), giveWay},
		{"but not one that does not answer", observe(awake, peer("b", isMaster, isFrozen)), serving("the sentinels name this pod")},
		{"nor one that is no master", observe(awake, peer("b", isReplica)), serving("the sentinels name this pod")},
		{"nor the one that it has just replaced itself, and is recorded yet",
			observe(awake, local(func(l *Local) { l.Recorded = false }), peer("b", isMaster)), serving("the sentinels name this pod")},
		{"nor one of before", observe(awake, replaced("c"), peer("b", isMaster)), serving("the sentinels name this pod")},
		{"it waits while a sentinel replaces it", observe(runsAsMaster(time.Hour), sentinels("a a* a"), recorded("a")), left},
		{"and when that one has not told the others yet", observe(runsAsMaster(time.Hour), switched("b"), recorded("a")), left},
		{"but not when that one has made it master itself", observe(runsAsMaster(0), switched("a"), recorded("b")), serving("the sentinels name this pod")},
	})
}

// The container of a master that has been killed is back within a second or
// two; a replica that sees it gone need not wait for that, nor for the sentinels.
func TestReplicaHasAMasterReplacedWhoseContainerIsSeenToHaveEnded(t *testing.T) {
	seen := func(d time.Duration) edit { return func(o *Observation) { o.MasterRefused = d } }
	dead := together(lostLink("b", time.Second), recorded("b"), sentinels("b b b"), peer("b", nothingListens), peer("c", linkDown), seen(refusedPatience))
	lost := Decision{State: Uncertain, Label: SlaveLabel, Reason: "replica of 10.0.0.2, not connected to it"}
	replace := lost
	replace.Action, replace.Target, replace.Reason = ReplaceDead, address("b"), "nothing listens in the pod of the master 10.0.0.2 any more"
	but := func(change func(*Observation)) Observation { return observe(dead, change) }
	check(t, []claim{
		{"at once", observe(dead), replace},
		{"not at the first look", but(seen(refusedPatience - 1)), lost},
		{"not while its launcher answers", but(func(o *Observation) { o.Peers[0].Launcher = Answered }), lost},
		{"not while its launcher may be there", but(func(o *Observation) { o.Peers[0].Launcher = Unknown }), lost},
		{"not while its Redis may be there", but(func(o *Observation) { o.Peers[0].Redis = Unknown }), lost},
		{"not a master that is not the recorded one", but(recorded("c")), lost},
		{"not where the record is not known", but(recordUnknown), lost},
		{"not while somebody else replaces it", but(func(o *Observation) {
			o.Fence = &Fence{UID: uid("b"), By: "server-c", Successor: uid("c"), Age: record.CarrierPatience}
		}), lost},
		{"but where that takes too long", but(func(o *Observation) {
			o.Fence = &Fence{UID: uid("b"), By: "server-c", Successor: uid("c"), Age: record.CarrierPatience + 1}
		}), replace},
		{"but where its launcher was elected to hand over, and has died",
			but(func(o *Observation) { o.Fence = &Fence{UID: uid("b"), Successor: uid("c")} }), replace},
		{"not while another, which may hold more, does not answer", but(peer("d", isReplica, isFrozen)), lost},
		{"but not for longer than a second", but(func(o *Observation) {
			peer("d", isReplica, isFrozen)(o)
			o.MasterRefused = answerPatience + 1
		}), replace},
		{"not while a sentinel is at work", but(sentinels("b b* b")), lost},
		{"not by a replica that leaves", but(func(o *Observation) { o.Self.Terminating = true }), lost},
		{"not by a replica that had lost it before", but(local(func(l *Local) { l.Unlinked = time.Second + freshPatience + 1 })), lost},
		{"not by a replica that has not synchronised", but(local(func(l *Local) { l.Synced = false })), lost},
		{"not by a replica with less data than another", but(func(o *Observation) { o.Peers[1].Offset++ }), lost},
		{"not while the link is up", but(local(func(l *Local) { l.LinkUp = true })), Decision{State: Serving, Label: SlaveLabel, Reason: "replica of 10.0.0.2"}},
	})
}

func TestFenceOpensTheWayOnlyForTheSuccessorOfTheRecordedMaster(t *testing.T) {
	young := runsAsMaster(time.Second)
	waits := uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")
	check(t, []claim{
		{"not where it is old", observe(young, fenced("b", fencePatience+1), sentinels("b b b")), waits},
		{"not where the record names another master by now",
			observe(young, fenced("b", 0), recorded("c"), sentinels("b b b")), waits},
		{"not for a master that was one long before the fence, of whatever generation its data are",
			observe(runsAsMaster(promotionPatience), fenced("b", time.Second), sentinels("b b b"), holds(wasMaster(9, 1))), waits},
		{"not where the sentinels name a third pod", observe(young, fenced("b", 0), sentinels("c c c"), peer("c")), waits},
		{"not for the fenced master itself", observe(young, fenced("a", 0), sentinels("b b b"), peer("b", isReplica)),
			uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")},
	})
}

// The leader of an election asks the promoted replica once a second; the pod that
// was promoted knows it before.
func TestElectedReplicaIsLabelledBeforeTheSentinelsNameIt(t *testing.T) {
	elected := together(runsAsMaster(time.Second), recorded("b"), sentinels("b^ b! b!"), peer("b", isFrozen))
	waits := uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")
	yes := serving("the sentinels have elected this pod over a master that is down")
	check(t, []claim{
		{"where the master is silent", observe(elected), yes},
		{"where the master does not run", observe(elected, func(o *Observation) { o.Peers[0].Redis = Refused }), yes},
		{"not while a launcher is about to announce another",
			observe(elected, func(o *Observation) {
				o.Fence = &Fence{UID: uid("b"), Successor: uid("c"), Age: record.CarrierPatience}
			}), waits},
		{"but where that takes too long",
			observe(elected, func(o *Observation) {
				o.Fence = &Fence{UID: uid("b"), Successor: uid("c"), Age: record.CarrierPatience + 1}
			}), yes},
		{"not while the master answers", observe(elected, func(o *Observation) { o.Peers[0].Redis = Answered; o.Peers[0].Master = true }), waits},
		{"not where a sentinel was told to fail over", observe(elected, sentinels("b* b! b!")), waits},
		{"not over one that is not the recorded master", observe(elected, recorded("c")), waits},
		{"not for long", observe(elected, runsAsMaster(promotionPatience+1)),
			uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")},
	})
}

func TestMasterThatTheSentinelsDoNotNameIsNotLabelled(t *testing.T) {
	follow := Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"),
		Reason: "the sentinels have replaced this master by server-b"}
	check(t, []claim{
		{"a promoted one waits for them, and keeps what label it has",
			observe(runsAsMaster(promotionPatience), sentinels("b b* b"), peer("b", isMaster), recorded("b")),
			uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")},
		{"a pod that was made master by hand follows the sentinels' master, also if a sentinel does not answer",
			observe(runsAsMaster(promotionPatience+1), sentinels("b b silent"), peer("b", isMaster), recorded("b")), follow},
		{"one that has been replaced follows its successor at once",
			observe(runsAsMaster(time.Second), sentinels("b b b"), peer("b", isMaster), recorded("a")), follow},
		{"one that came back after long follows its successor",
			observe(runsAsMaster(time.Hour), sentinels("b b c"), peer("b", isMaster), recorded("a")), follow},
		{"one whose successor has become a replica again keeps the label",
			observe(runsAsMaster(time.Hour), sentinels("b b b"), peer("b", isReplica), recorded("a")),
			serving("this pod is the recorded master; the one that the sentinels still name is a replica")},
		{"one whose successor cannot be reached gives the label away",
			observe(runsAsMaster(time.Hour), sentinels("b b b"), peer("b", isFrozen), recorded("a")),
			uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")},
		{"one that nobody speaks for is elected where the sentinels name a replica, and nobody else is master",
			observe(runsAsMaster(time.Hour), sentinels("b b b"), peer("b", isReplica, reports(wasReplica(1, 1))), recorded("b"), holds(wasMaster(1, 5)), servers(2)),
			Decision{State: Starting, Label: HoldLabel, Action: Claim,
				Reason: "the sentinels name server-b, which is a replica, and nobody but this pod is master; this pod holds the most advanced data"}},
		{"but not while a sentinel is at work",
			observe(runsAsMaster(time.Hour), sentinels("b b* b"), peer("b", isReplica), recorded("b"), holds(wasMaster(1, 5)), servers(2)),
			uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")},
		{"or where that pod is gone",
			observe(runsAsMaster(time.Hour), sentinels("f f f"), peer("b", isStopped, reports(nothing)), recorded("f"), holds(wasMaster(1, 5)), servers(2)),
			Decision{State: Starting, Label: HoldLabel, Action: Claim,
				Reason: "the sentinels name 10.0.0.6, which is gone; this pod is the only master; this pod holds the most advanced data"}},
		{"but not while a replica lives",
			observe(runsAsMaster(time.Hour), sentinels("f f f"), peer("b", isReplica), recorded("f"), holds(wasMaster(1, 5)), servers(2)),
			uncertain(ClearLabel, "the sentinels name another master, which does not say it is master yet")},
		{"one whose promotion was called off follows the recorded master",
			observe(runsAsMaster(time.Second), sentinels("f f f"), peer("b", isMaster), recorded("b")),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "the record names server-b as master in place of this one"}},
		{"but not while a sentinel is at work on it",
			observe(runsAsMaster(time.Second), sentinels("f f* f"), peer("b", isMaster), recorded("b")),
			uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")},
		{"nor while one names this pod",
			observe(runsAsMaster(time.Second), sentinels("f a f"), peer("b", isMaster), recorded("b")),
			uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")},
		{"nor while one does not answer",
			observe(runsAsMaster(time.Second), sentinels("f silent f"), peer("b", isMaster), recorded("b")),
			uncertain(HoldLabel, "this pod was promoted; the sentinels have not agreed on it yet")},
		{"one that is not recorded waits while no majority is to be had",
			observe(runsAsMaster(time.Hour), sentinels("silent silent b"), recorded("b")),
			uncertain(HoldLabel, "this pod is master but the sentinels have not agreed on it yet")},
		{"one that is cut off from the sentinels follows its recorded successor",
			observe(runsAsMaster(time.Hour), sentinels("silent silent silent"), recorded("b"), replaced("a"), peer("b", isMaster)),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"),
				Reason: "the record names server-b as master in place of this one"}},
		{"one that can read no record follows a master that tells of a later generation",
			observe(runsAsMaster(time.Hour), sentinels("silent silent b"), recordUnknown, holds(wasMaster(1, 5)), peer("b", isMaster, reports(wasMaster(2, 5)))),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "server-b is the master of a later generation"}},
		{"but not one that tells of its own generation",
			observe(runsAsMaster(time.Hour), sentinels("silent silent b"), recordUnknown, holds(wasMaster(2, 5)), peer("b", isMaster, reports(wasMaster(2, 5)))),
			uncertain(HoldLabel, "this pod is master but the sentinels have not agreed on it yet")},
		{"one that is cut off keeps its label while its recorded successor is not master",
			observe(runsAsMaster(time.Hour), sentinels("silent silent silent"), recorded("b"), replaced("a"), peer("b", isReplica)),
			uncertain(HoldLabel, "this pod is master but the sentinels have not agreed on it yet")},
		{"one that was promoted again waits for the sentinels, although the record names its successor",
			observe(runsAsMaster(promotionPatience), sentinels("silent b a"), recorded("b"), replaced("a"), peer("b", isMaster)),
			uncertain(HoldLabel, "this pod is master but the sentinels have not agreed on it yet")},
		{"one that nobody has a record of is elected before its own replica, whatever that was",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), recorded("b"), holds(wasReplica(1, 5)),
				peer("b", isReplica, reports(wasMaster(1, 9))), peer("c", isStopped, reports(nothing))),
			claiming("this pod is master without a record of it")},
		{"but not where the replica may follow one that does not answer",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), holds(wasReplica(1, 5)),
				peer("b", isReplica, reports(wasReplica(1, 9))), peer("c", isGone)),
			discovering("this pod is master without a record of it; server-b holds the most advanced data")},
		{"one of two that nobody has a record of leaves it to better data",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), peer("b", isMaster, reports(wasMaster(1, 5)))),
			discovering("this pod is one of several masters without a record of it; server-b holds the most advanced data")},
		{"one of two that nobody has a record of is elected with the better data",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), holds(wasMaster(2, 1)), peer("b", isMaster, reports(wasMaster(1, 5)))),
			claiming("this pod is one of several masters without a record of it")},
		{"one of two waits for a recorded one",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), recorded("b"), peer("b", isMaster)),
			uncertain(HoldLabel, "this pod is master but the sentinels have not agreed on it yet")},
		{"one that nobody has a record of is elected like any server",
			observe(runsAsMaster(time.Hour), sentinels("none none none"), wholeRelease, holds(wasMaster(1, 5))),
			claiming("this pod is master without a record of it")},
	})
}
