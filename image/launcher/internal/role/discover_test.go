package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// claim is one sentence about a decision and the observation that shows it.
type claim struct {
	name  string
	given Observation
	want  Decision
}

func check(t *testing.T, claims []claim) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range claims {
		require.False(t, seen[c.name], "two cases are called %q", c.name)
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, unruled(Decide(c.given))) })
	}
}

func discovering(reason string) Decision {
	return Decision{State: Discovering, Label: ClearLabel, Reason: reason}
}

func startsAfter(pod, reason string) Decision {
	return Decision{State: Starting, Label: ClearLabel, Action: StartReplica, Target: address(pod), Reason: reason}
}

func claiming(reason string) Decision {
	return Decision{State: Starting, Label: HoldLabel, Action: Claim, Reason: reason + "; this pod holds the most advanced data"}
}

// wholeRelease are two more servers that report no data and run nothing.
var wholeRelease = together(peer("b", isStopped, reports(nothing)), peer("c", isStopped, reports(nothing)))

func TestServerThatFindsAMasterStartsAsItsReplica(t *testing.T) {
	check(t, []claim{
		{"the master a majority of the sentinels names",
			observe(sentinels("b b none"), peer("b", isMaster)),
			startsAfter("b", "the sentinels name server-b and it is master")},
		{"the sentinels' master, though another server says it is master, too",
			observe(sentinels("b b c"), peer("b", isMaster), peer("c", isMaster), recorded("c")),
			startsAfter("b", "the sentinels name server-b and it is master")},
		{"the only master where the sentinels do not agree",
			observe(sentinels("b c none"), peer("b", isMaster), peer("c", isReplica)),
			startsAfter("b", "server-b is the only master")},
		{"the only master of data as late as its own, where the sentinels do not agree",
			observe(sentinels("silent silent c"), holds(wasReplica(2, 99)), peer("b", isMaster, reports(wasReplica(2, 1)))),
			startsAfter("b", "server-b is the only master")},
		{"the recorded master, whatever it reports",
			observe(sentinels("silent silent c"), recorded("b"), holds(wasReplica(2, 99)), peer("b", isMaster, reports(wasReplica(1, 1)))),
			startsAfter("b", "server-b is the only master")},
		{"the only master where there is no sentinel",
			observe(peer("b", isMaster)),
			startsAfter("b", "server-b is the only master")},
		{"the only master where the sentinels still name this pod, which died",
			observe(sentinels("a a a"), peer("b", isMaster)),
			startsAfter("b", "server-b is the only master")},
		{"the only master where it is recorded and the sentinels lag behind",
			observe(sentinels("c c c"), peer("b", isMaster), peer("c", isStopped), recorded("b")),
			startsAfter("b", "server-b is the only master")},
	})
}

func TestServerWaitsWhileItIsNotClearWhoIsMaster(t *testing.T) {
	check(t, []claim{
		{"a master that neither the sentinels nor the record name",
			observe(sentinels("c c c"), peer("b", isMaster), peer("c", isStopped), recorded("c")),
			discovering("1 server(s) say they are master; the sentinels must agree on one")},
		{"two masters and no majority",
			observe(sentinels("b c none"), peer("b", isMaster), peer("c", isMaster)),
			discovering("2 server(s) say they are master; the sentinels must agree on one")},
		{"two masters of which one may be the recorded one, without a sentinel",
			observe(peer("b", isMaster), peer("c", isMaster), recorded("c")),
			discovering("2 server(s) say they are master; the sentinels must agree on one")},
		{"two masters and no sentinel, of which it is the one with the better data",
			observe(peer("b", isMaster), peer("c", isMaster)),
			discovering("2 server(s) say they are master, and nobody knows of them; server-b holds the most advanced data")},
		{"two masters of which one has not told what its data are worth",
			observe(peer("b", isMaster), peer("c", isMaster, func(p *Peer) { p.Status = nil })),
			discovering("2 server(s) say they are master; the sentinels must agree on one")},
		{"one of the past, while a replica goes on from its successor",
			observe(sentinels("silent silent c"), recorded("a"), holds(nothing), peer("b", isMaster, reports(wasMaster(1, 99)), history("m", "")),
				peer("c", linkDown, reports(wasReplica(1, 99)), history("n", "m"))),
			discovering("server-b is the only master, but this pod or a replica holds later data")},
		{"one whose data are older than its own, while sentinels may remember a better one",
			observe(sentinels("silent silent c"), holds(wasReplica(2, 1)), peer("b", isMaster, reports(wasMaster(1, 99)))),
			discovering("server-b is the only master, but this pod or a replica holds later data")},
		{"a replica lives and can be promoted",
			observe(sentinels("b b b"), peer("b", isDead), peer("c", linkDown)),
			discovering("the sentinels name 10.0.0.2, which is not master; they will promote a replica")},
		{"sentinels that disagree",
			observe(sentinels("b c none"), peer("b", isStopped), peer("c", isStopped), waiting(lostPatience)),
			discovering("the sentinels do not agree on a master yet")},
		{"sentinels that may remember, because they do not answer",
			observe(sentinels("silent silent none"), wholeRelease),
			discovering("the sentinels do not agree on a master yet")},
		{"sentinels that have disagreed for long, while a replica lives",
			observe(sentinels("silent silent none"), peer("b", linkDown), waiting(time.Hour)),
			discovering("the sentinels do not agree on a master yet")},
	})
}

func TestMasterThatDiedWaitsForAReplicaThatIsSilentForAMoment(t *testing.T) {
	silent := together(sentinels("a a a"), recorded("a"), holds(wasMaster(0, 1000)), peer("b", isReplica, isFrozen), peer("c", isGone))
	check(t, []claim{
		{"while the sentinels would wait, too", observe(silent, waiting(3*time.Second-1)), Decision{State: Discovering, Label: ClearLabel,
			Reason: "this pod died as master; server-b, which may hold the data, does not answer at the moment"}},
		{"for a second where another one lives",
			observe(sentinels("a a a"), recorded("a"), peer("b", isReplica, isFrozen), peer("c", linkDown), waiting(answerPatience-1)), Decision{State: Discovering, Label: ClearLabel,
				Reason: "this pod died as master; server-b, which may hold more than the others, does not answer at the moment"}},
		{"or its launcher, which alone knows whether it is in sync", observe(sentinels("a a a"), recorded("a"), peer("c", linkDown),
			peer("b", linkDown, isReady, func(p *Peer) { p.Status, p.Launcher, p.Offset = nil, Unknown, 2000 }), waiting(answerPatience-1)), Decision{State: Discovering, Label: ClearLabel,
			Reason: "this pod died as master; server-b, which may hold more than the others, does not answer at the moment"}},
		{"and not for longer",
			observe(sentinels("a a a"), recorded("a"), peer("b", isReplica, isFrozen), peer("c", linkDown), waiting(answerPatience)), Decision{State: Discovering, Label: ClearLabel,
				Action: FailOver, Reason: "this pod died as master and server-c holds the data"}},
		{"while no answer at all came in time from a pod that the API finds ready",
			observe(sentinels("a a a"), recorded("a"), holds(wasMaster(0, 1000)), peer("b", isGone, isReady), peer("c", isGone)),
			Decision{State: Discovering, Label: ClearLabel,
				Reason: "this pod died as master; server-b, which may hold the data, does not answer at the moment"}},
	})
	if d := Decide(observe(silent, waiting(time.Hour))); d.Action != Claim {
		t.Errorf("when it has been silent for long: %v, %s; want a claim", d.Action, d.Reason)
	}
}

func TestServerThatDiedAsMasterHasAReplicaReplaceIt(t *testing.T) {
	failOver := Decision{State: Discovering, Label: ClearLabel, Action: FailOver,
		Reason: "this pod died as master and server-b holds the data"}
	check(t, []claim{
		{"while a replica is connected to nobody but has synchronised",
			observe(sentinels("a a a"), peer("b", linkDown), recorded("a"), holds(wasMaster(1, 5000))), failOver},
		{"even where its own data are more advanced",
			observe(sentinels("a! a! a!"), peer("b", linkDown, at(1)), recorded("a"), holds(wasMaster(9, 99999))), failOver},
		{"not by one that has never synchronised",
			observe(sentinels("a a a"), peer("b", isUnsynced, reports(nothing)), peer("c", isDead), servers(2),
				recorded("a"), holds(wasMaster(1, 5000))),
			discovering("this pod died as master and no replica lives; " +
				"waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"not by one that is terminating",
			observe(sentinels("a a a"), peer("b", isReplica, isTerminating), peer("c", isStopped, reports(nothing)),
				servers(2), recorded("a"), holds(wasMaster(1, 5000))),
			claiming("this pod died as master and no replica lives")},
		{"and is master again where no replica lives and all have told what they hold",
			observe(sentinels("a a a"), wholeRelease, recorded("a"), holds(wasMaster(1, 5000))),
			claiming("this pod died as master and no replica lives")},
		{"and ends the failover first, which would promote a replica when it comes back",
			observe(sentinels("a a* a"), wholeRelease, recorded("a"), holds(wasMaster(1, 5000))),
			Decision{State: Discovering, Label: HoldLabel, Action: CallOff, Target: address("a"),
				Reason: "a sentinel is replacing this pod, and no replica lives that it could replace it by"}},
		{"and ends the failover that would make a dead replica master while another one lives",
			observe(choosing("b"), peer("b", isStopped), peer("c", isReplica), recorded("b"), holds(wasMaster(1, 5000))),
			Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: address("a"),
				Reason: "this pod died as master, a sentinel is busy with one that has died, and server-c holds the data"}},
		{"and ends the failover that has made it master and is not over",
			observe(choosing("-"), func(o *Observation) { o.Views[1].Switched = true }, peer("c", isReplica), recorded("a"), holds(wasMaster(1, 5000))),
			Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: address("a"),
				Reason: "this pod died as master, a sentinel is busy with one that has died, and server-c holds the data"}},
		{"but not one whose replica lives",
			observe(choosing("c"), peer("b", isStopped), peer("c", isReplica), recorded("b"), holds(wasMaster(1, 5000))),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver, Reason: "this pod died as master and server-c holds the data"}},
		{"or may live",
			observe(choosing("b"), peer("b", isFrozen), peer("c", isReplica), recorded("b"), holds(wasMaster(1, 5000))),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver, Reason: "this pod died as master and server-c holds the data"}},
		{"and leaves the failover alone that has promoted another",
			observe(sentinels("a b* a"), wholeRelease, recorded("a"), holds(wasMaster(1, 5000))),
			claiming("this pod died as master and no replica lives")},
		{"and ends no failover where a stopped server holds more",
			observe(sentinels("a a* a"), peer("b", isStopped, reports(wasReplica(1, 10))), peer("c", isStopped, reports(nothing)),
				recorded("a")),
			discovering("this pod died as master and no replica lives; server-b holds the most advanced data")},
		{"and is not where a stopped server holds more",
			observe(sentinels("a a a"), peer("b", isStopped, reports(wasReplica(1, 10))), peer("c", isStopped, reports(nothing)),
				recorded("a")),
			discovering("this pod died as master and no replica lives; server-b holds the most advanced data")},
	})
}

func TestSuccessorThatDiedBeforeTheSentinelsKnewItIsReplacedInItsTurn(t *testing.T) {
	died := together(peer("b", isFrozen), peer("c", isReplica), recorded("a"), replaced("b"), holds(wasMaster(2, 10)))
	promoting := func(pod string) edit {
		return together(sentinels("b! b* b!"), func(o *Observation) { o.Views[1].Down, o.Views[1].Chosen = true, address(pod) })
	}
	waits := discovering("the sentinels name 10.0.0.2, which is not master; they will promote a replica")
	check(t, []claim{
		{"the failover that waits for it is ended", observe(died, promoting("a")),
			Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: address("b"),
				Reason: "a sentinel is making this pod master, which has died, and server-c holds the data"}},
		{"also where it had no label yet", observe(died, promoting("a"), recorded("b")),
			Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: address("b"),
				Reason: "a sentinel is making this pod master, which has died, and server-c holds the data"}},
		{"but not the one that makes another master", observe(died, promoting("c")), waits},
		{"then another is ordered", observe(died, sentinels("b! b! refused")),
			Decision{State: Discovering, Label: ClearLabel, Action: Nudge, Target: address("b"),
				Reason: "this pod died as master, the one before it is down, and server-c holds the data"}},
		{"but not where it was not master", observe(died, sentinels("b! b! refused"), recorded("b")), waits},
		{"nor where the one before it is not down", observe(died, sentinels("b! b refused")), waits},
		{"nor where they name another one", observe(died, sentinels("b! b! refused"), replaced("d")), waits},
		{"nor where nobody could be promoted", observe(together(peer("b", isFrozen), peer("c", isStopped), recorded("a"), replaced("b")), promoting("a")),
			discovering("waiting for server-b, which the sentinels name")},
	})
}

// The replica lost its master so long ago that Sentinel would not promote it.
func TestMasterOfThePastIsNotFollowedWhileAReplicaHoldsLaterData(t *testing.T) {
	old := peer("c", linkDown, reports(wasReplica(2, 10)), func(p *Peer) { p.Unlinked = time.Hour })
	check(t, []claim{{"however long its link has been down", observe(sentinels("silent silent c"), recordUnknown, holds(nothing), peer("b", isMaster, reports(wasMaster(1, 99))), old),
		discovering("server-b is the only master, but this pod or a replica holds later data")}})
}

// The sentinels name a replica, as after the loss of most of them with what they knew. Sentinel
// promotes a replica of the server that it names, and here no other replica lives.
func TestReplicaThatTheSentinelsTakeForTheMasterIsNotWaitedFor(t *testing.T) {
	masterless := func(span time.Duration) edit { return func(o *Observation) { o.Masterless = span } }
	died := together(sentinels("c c c"), peer("b", isStopped, reports(nothing)), peer("c", linkDown, reports(wasReplica(2, 10))), recorded("a"), holds(wasMaster(2, 10)))
	waits := discovering("the sentinels name 10.0.0.3, which is not master; they will promote a replica")
	check(t, []claim{
		{"the master comes back", observe(died, masterless(promotionPatience+1)), claiming("the sentinels name server-c, which is a replica, and no other replica lives")},
		{"not before a promotion could have been seen", observe(died, masterless(promotionPatience)), waits},
		{"not where a sentinel is at work", observe(died, masterless(time.Minute), sentinels("c c* c")), waits},
		{"not where another replica lives", observe(died, masterless(time.Minute), peer("b", isReplica, reports(wasReplica(2, 10)))), waits},
		{"nor where the replica has more", observe(died, masterless(time.Minute), holds(wasReplica(1, 10))),
			discovering("the sentinels name server-c, which is a replica, and no other replica lives; server-c holds the most advanced data")},
	})
}

// Redis reconnects to the address of its master by itself. The master that died with its data in memory must
// not come back with those of a master of the past: its replica, which holds more, would take a copy of them.
func TestDeadMasterDoesNotFollowAMasterOfThePastWhileItsReplicaIsSilent(t *testing.T) {
	died := together(sentinels("none none none"), recorded("a"), generation(2), inMemory, peer("b", isMaster, reports(wasMaster(1, 17))))
	waits := discovering("server-b is the only master and may be of an earlier generation; server-c, which may hold later data, does not answer")
	follows := startsAfter("b", "server-b is the only master")
	check(t, []claim{
		{"where nobody remembers a master", observe(died, peer("c", isGone)), waits},
		{"where the sentinels name it", observe(died, peer("c", isGone), sentinels("a a a")), waits},
		{"and where the record cannot be read", observe(died, peer("c", isGone), recordUnknown), waits},
		{"but where the replica has told that it has nothing", observe(died, peer("c", isUnsynced, reports(nothing))), follows},
		{"or has gone", observe(died), follows},
		{"or that master has been recorded", observe(died, peer("c", isGone), recorded("b")), follows},
		{"or its data are not older", observe(died, peer("c", isGone), generation(1)), follows},
	})
}

// One sentinel may find the only replica too old to be promoted, and lead every failover.
func TestServerDoesNotWaitForEverForAPromotion(t *testing.T) {
	after := func(span time.Duration) edit {
		return together(sentinels("d! d! d!"), replaced("b"), recorded("d"), waiting(span), func(o *Observation) { o.Masterless = span }, holds(wasMaster(1, 10)), servers(2))
	}
	replica := peer("b", linkDown, reports(wasReplica(1, 9)))
	waits := discovering("the sentinels name 10.0.0.4, which is not master; they will promote a replica")
	check(t, []claim{
		{"the one with the most data is elected", observe(after(lostPatience+1), replica),
			claiming("the sentinels name 10.0.0.4, which is not master, and promote nobody")},
		{"which may be the replica", observe(after(lostPatience+1), peer("b", linkDown, reports(wasReplica(1, 11))), holds(wasReplica(1, 10))),
			discovering("the sentinels name 10.0.0.4, which is not master, and promote nobody; server-b holds the most advanced data")},
		{"not before they have tried twice", observe(after(lostPatience), replica), waits},
		{"not while they promote it", observe(after(lostPatience+1), replica, sentinels("d! d! d*")), waits},
		{"not while another replica does not answer", observe(after(lostPatience+1), replica, peer("c", isReplica, isFrozen)), waits},
		{"not while the master that they name may serve", observe(after(lostPatience+1), replica, peer("d", isGone)), waits},
	})
}

func TestServerThatEverybodyNamesDoesNotFollowAMasterOfThePast(t *testing.T) {
	late := together(sentinels("a a a"), recorded("a"), holds(wasMaster(2, 10)), peer("c", isStopped, reports(nothing)))
	follow := startsAfter("b", "server-b is the only master")
	check(t, []claim{
		{"whose data are of an earlier master", observe(late, peer("b", isMaster, reports(wasMaster(1, 99)))),
			claiming("this pod died as master and no replica lives")},
		{"but has the replica promoted that holds what it had", observe(late, peer("b", isMaster, reports(wasMaster(1, 99))), peer("d", linkDown, reports(wasReplica(2, 9)))),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver, Reason: "this pod died as master and server-d holds the data"}},
		{"also where it is fenced already", observe(late, fenced("a", 0), peer("b", isMaster, reports(wasMaster(1, 99))), peer("d", linkDown, reports(wasReplica(2, 9)))),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver, Reason: "this pod died as master and server-d holds the data"}},
		{"and ends the failover first, which would promote a replica when one comes back",
			observe(late, sentinels("a a* a"), peer("b", isMaster, reports(wasMaster(1, 99)))),
			Decision{State: Discovering, Label: HoldLabel, Action: CallOff, Target: address("a"),
				Reason: "a sentinel is replacing this pod, and no replica lives that it could replace it by"}},
		{"nor where it cannot read the record",
			observe(late, recordUnknown, peer("b", isMaster, reports(wasMaster(1, 99)))),
			discovering("the sentinels name this pod, server-b may have older data, and the record cannot be read")},
		{"but one whose data are as late where it cannot read the record",
			observe(late, recordUnknown, peer("b", isMaster, reports(wasReplica(2, 1)))), follow},
		{"but one whose data are as late", observe(late, peer("b", isMaster, reports(wasReplica(2, 1)))), follow},
		{"but one it handed over to", observe(late, fenced("a", 0), peer("b", isMaster, reports(wasReplica(1, 99)))), follow},
		{"but one whose replica has only noticed the promotion sooner",
			observe(late, peer("b", isMaster, reports(wasReplica(2, 9)), history("n", "m")), peer("d", isReplica, reports(Standing{Generation: 2, Epoch: 1}), history("n", "m"))), follow},
		{"but one that has taken the record", observe(late, recorded("b"), peer("b", isMaster, reports(wasReplica(1, 1)))), follow},
		{"but any where it holds nothing itself", observe(late, holds(nothing), peer("b", isMaster, reports(wasMaster(1, 1)))), follow},
	})
}

func TestServerWithLaterDataIsElectedOverAMasterThatNobodyKnowsOf(t *testing.T) {
	late := together(sentinels("none none none"), holds(wasMaster(2, 10)), peer("c", isStopped, reports(nothing)), peer("b", isMaster, reports(wasMaster(1, 99))))
	why := "1 server(s) say they are master, and nobody knows of them"
	check(t, []claim{
		{"where it is the recorded one", observe(late, recorded("a")), claiming(why)},
		{"where the recorded one is gone", observe(late, recorded("f")), claiming(why)},
		{"but follows it where it is the recorded one", observe(late, recorded("b")), startsAfter("b", "server-b is the only master")},
		{"but not while the record cannot be read", observe(late, recordUnknown),
			discovering("server-b is the only master, but this pod or a replica holds later data")},
	})
}

func TestServersWithoutAnyMemoryOfAMasterElectOne(t *testing.T) {
	check(t, []claim{
		{"not where a sentinel is silent and a replica lives",
			observe(sentinels("refused refused silent"), wholeRelease, peer("d", linkDown, reports(wasReplica(1, 1))), waiting(lostPatience)),
			discovering("the sentinels do not agree on a master yet")},
		{"but where the sentinel stays silent", observe(sentinels("refused refused silent"), wholeRelease, peer("d", linkDown, reports(nothing)), waiting(lostPatience+1)),
			claiming("nobody knows a master")},
		{"where no sentinel exists", observe(wholeRelease), claiming("nobody knows a master")},
		{"where the sentinels know none", observe(sentinels("none none none"), wholeRelease), claiming("nobody knows a master")},
		{"where the sentinels do not run", observe(sentinels("refused refused refused"), wholeRelease),
			claiming("nobody knows a master")},
		{"where fewer than a majority are silent", observe(sentinels("silent none none"), wholeRelease),
			claiming("nobody knows a master")},
		{"not where the silent sentinel has named a master a moment ago",
			observe(sentinels("silent none none"), wholeRelease, func(o *Observation) { o.Unnamed = latePatience }),
			discovering("the sentinels do not agree on a master yet")},
		{"where a minority of the sentinels names one, not at once",
			observe(sentinels("b none none"), wholeRelease, waiting(lostPatience)),
			discovering("the sentinels do not agree on a master yet")},
		{"where a minority of the sentinels names one, after long",
			observe(sentinels("b none none"), wholeRelease, waiting(lostPatience+1)),
			claiming("the sentinels have not agreed on a master for long, and no replica lives")},
		{"where a sentinel is silent, not even after long",
			observe(sentinels("b none silent"), wholeRelease, waiting(time.Hour)),
			discovering("the sentinels do not agree on a master yet")},
		{"not before the pods have been listed", observe(podsUnknown, wholeRelease, waiting(time.Hour)),
			discovering("the sentinels do not agree on a master yet")},
	})
}

func TestServerWaitsForTheSentinelsMasterAsLongAsItMayComeBack(t *testing.T) {
	gone := together(peer("c", isStopped, reports(nothing)), holds(wasReplica(1, 10)), recorded("b"))
	check(t, []claim{
		{"it is waited for while its address is silent",
			observe(sentinels("b b b"), peer("b", isGone), gone, waiting(lostPatience)),
			discovering("waiting for server-b, which the sentinels name")},
		{"and longer while the sentinels find it up",
			observe(sentinels("b b b"), peer("b", isGone), gone, waiting(time.Hour)),
			discovering("waiting for server-b, which the sentinels name")},
		{"and not for ever where they find it down",
			observe(sentinels("b! b! b"), peer("b", isGone), gone, waiting(lostPatience+1)),
			claiming("the sentinels' master has not come back and no replica lives")},
		{"it is waited for while nothing listens on its address",
			observe(sentinels("b b b"), peer("b", isDead), gone, waiting(lostPatience)),
			discovering("waiting for server-b, which the sentinels name")},
		{"and not for ever where nothing listens on its address",
			observe(sentinels("b b b"), peer("b", isDead), gone, waiting(lostPatience+1)),
			claiming("the sentinels' master has not come back and no replica lives")},
		{"its standing counts as soon as its launcher tells that Redis has stopped",
			observe(sentinels("b b b"), peer("b", isStopped, reports(wasMaster(1, 10))), gone),
			discovering("the sentinels' master has stopped and no replica lives; server-b holds the most advanced data")},
		{"it is waited for while its Redis merely does not answer in time",
			observe(sentinels("b b b"), peer("b", isFrozen, reports(wasReplica(1, 1))), gone, servers(2), waiting(lostPatience)),
			discovering("waiting for server-b, which the sentinels name")},
		{"an election follows where its pod is gone",
			observe(sentinels("b b b"), gone, waiting(electionPatience)),
			claiming("the sentinels' master is gone and no replica lives")},
		{"it is waited for while it loads its data",
			observe(sentinels("b b b"), peer("b", isUnsynced), gone, waiting(lostPatience)),
			discovering("waiting for server-b, which the sentinels name")},
		{"but not for ever where it is up, holds nothing and is not master",
			observe(sentinels("b b b"), peer("b", isUnsynced, reports(nothing)), gone, waiting(lostPatience+1)),
			claiming("the pod that the sentinels name is not master, and no replica lives")},
	})
}

func TestServerThatDiedAsMasterComesBackWithWhatItHadAlone(t *testing.T) {
	lost := func(d time.Duration) func(*Peer) { return func(p *Peer) { linkDown(p); p.Unlinked = d } }
	died := together(sentinels("a a a"), recorded("a"), generation(3), holds(wasMaster(3, 1000)), waiting(time.Second))
	long, longer := lost(time.Second+freshPatience+1), lost(30*time.Second+1)
	failOver := Decision{State: Discovering, Label: ClearLabel, Action: FailOver, Reason: "this pod died as master and server-b holds the data"}
	check(t, []claim{
		{"where all replicas had lost it before", observe(died, peer("b", long), peer("c", long)),
			claiming("this pod died as master, and server-b does not hold all of its data")},
		{"not where that was just now", observe(died, peer("b", lost(time.Second+freshPatience)), peer("c", long)), failOver},
		{"also just now, where none has come as far as its files", observe(died, peer("b", lost(time.Second+linkSlack+1), at(999), reports(wasReplica(3, 1))), peer("c", long)),
			claiming("this pod died as master, and server-b does not hold all of its data")},
		{"not where their links ended with this pod", observe(died, peer("b", lost(time.Second+linkSlack), at(999), reports(wasReplica(3, 1))), peer("c", long)), failOver},
		{"not where they hold as much", observe(died, peer("b", lost(time.Second+freshPatience), reports(wasReplica(3, 1))), peer("c", long)), failOver},
		{"nor by offsets of another generation", observe(died, peer("b", lost(time.Second+freshPatience), at(1), reports(wasReplica(2, 1))), peer("c", long)), failOver},
		{"not where one has not even noticed", observe(died, peer("b", isReplica), peer("c", long)), failOver},
		{"not where it is fenced: a replica may have its label by now", observe(died, fenced("a", 0), peer("b", long)), failOver},
		{"not while a sentinel replaces it", observe(died, sentinels("a a* a"), peer("b", long)), failOver},
		{"not without its data", observe(died, holds(nothing), peer("b", long)), failOver},
		{"not where Redis cannot load them", observe(died, holds(broken(wasMaster(3, 1000))), peer("b", long)), failOver},
		{"not where it was a replica", observe(died, holds(wasReplica(3, 1000)), peer("b", long)), failOver},
		{"not where they are of an earlier master", observe(died, holds(wasMaster(2, 1000)), peer("b", long)), failOver},
		{"not where the record names another", observe(died, recorded("b"), peer("b", long)), failOver},
		{"also where Sentinel would promote none, and a replica has fenced it", observe(died, fenced("a", 0), peer("b", longer), peer("c", longer)),
			claiming("this pod died as master and no replica lives")},
		{"not where Sentinel would, as it has found it down for as long",
			observe(died, fenced("a", 0), func(o *Observation) { o.Views[0].DownFor = time.Millisecond }, peer("b", longer)), failOver},
	})
}

func TestPodWhoseRedisDiedKeepsTheLabelForItsSuccessorToBeFirst(t *testing.T) {
	died := together(sentinels("a a a"), labelled(Master), recorded("a"))
	check(t, []claim{
		{"while nobody else has the label",
			observe(died, peer("b", linkDown), waiting(labelPatience-1)),
			Decision{State: Discovering, Label: HoldLabel, Action: FailOver,
				Reason: "this pod died as master and server-b holds the data"}},
		{"not longer than that",
			observe(died, peer("b", linkDown, func(p *Peer) { p.Label = Master }), waiting(labelPatience-1)),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver,
				Reason: "this pod died as master and server-b holds the data"}},
		{"and not for long",
			observe(died, peer("b", linkDown), waiting(labelPatience)),
			Decision{State: Discovering, Label: ClearLabel, Action: FailOver,
				Reason: "this pod died as master and server-b holds the data"}},
	})
}
