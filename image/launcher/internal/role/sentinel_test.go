package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sentinelEdit is one fact about what a sentinel's launcher sees.
type sentinelEdit func(*SentinelObservation)

// watch builds what the first of three sentinels sees: own is its own view and
// others are those of the others, in the words of sentinels; own "stopped"
// means that it does not run.
func watch(own, others string, edits ...sentinelEdit) SentinelObservation {
	o := SentinelObservation{Configured: 3, First: true, Others: views(others)}
	if own != "stopped" {
		o.Running, o.Own = true, views(own)[0]
	}
	for _, e := range edits {
		e(&o)
	}
	return o
}

func with(pod string, changes ...func(*Peer)) sentinelEdit {
	return func(o *SentinelObservation) { o.Servers = append(o.Servers, server(pod, changes...)) }
}

func hasLabel(p *Peer) { p.Label = Master }

func recordNames(pod string) sentinelEdit {
	return func(o *SentinelObservation) { o.MasterUID, o.RecordKnown = uid(pod), true }
}

// recordUnread is a record that the last question did not confirm.
func recordUnread(o *SentinelObservation) { o.RecordKnown = false }

func fileNames(pod string) sentinelEdit {
	return func(o *SentinelObservation) { o.FileMaster = address(pod) }
}

func tries(failoverTimeout time.Duration) func(*SentinelObservation) {
	return func(o *SentinelObservation) { o.FailoverTimeout = failoverTimeout }
}

func downFor(d time.Duration) sentinelEdit { return func(o *SentinelObservation) { o.DownFor = d } }

func knows(pods ...string) sentinelEdit {
	return func(o *SentinelObservation) {
		for _, pod := range pods {
			o.Replicas = append(o.Replicas, address(pod))
		}
	}
}

func starting(pod, reason string) SentinelDecision {
	return SentinelDecision{Action: SentinelStart, Master: address(pod), Reason: reason}
}

func seeding(pod string, newEpoch bool, reason string) SentinelDecision {
	return SentinelDecision{Action: SentinelSeed, Master: address(pod), NewEpoch: newEpoch, Ready: true, Reason: reason}
}

func monitoring(pod string, clear ...string) SentinelDecision {
	d := SentinelDecision{Ready: true, Reason: "monitoring " + address(pod).String()}
	for _, p := range clear {
		m := member(p)
		m.Label = Master
		d.Clear = append(d.Clear, m)
	}
	return d
}

type sentinelClaim struct {
	name  string
	given SentinelObservation
	want  SentinelDecision
}

func checkSentinel(t *testing.T, claims []sentinelClaim) {
	t.Helper()
	for _, c := range claims {
		t.Run(c.name, func(t *testing.T) {
			got := DecideSentinel(c.given)
			got.Rule = ""
			require.Equal(t, c.want, got)
		})
	}
}

func epochOf(o SentinelObservation, epochs ...int64) SentinelObservation {
	for i, e := range epochs {
		o.Others[i].ConfigEpoch = e
	}
	return o
}

func TestSentinelStartsWithTheMasterThatIsTrue(t *testing.T) {
	checkSentinel(t, []sentinelClaim{
		{"what another sentinel monitors", watch("stopped", "b none", with("c", isMaster)),
			starting("b", "the other sentinels monitor 10.0.0.2")},
		{"what the sentinel with the latest epoch monitors", epochOf(watch("stopped", "b c"), 3, 4),
			starting("c", "the other sentinels monitor 10.0.0.3")},
		{"the serving one of two in the same epoch: who names the other was cut off",
			epochOf(watch("stopped", "b c", with("b", isReplica), with("c", isMaster)), 3, 3), starting("c", "the other sentinels monitor 10.0.0.3")},
		{"the only server that is master", watch("stopped", "none refused", with("b", isReplica), with("c", isMaster), fileNames("b")),
			starting("c", "server-c is master")},
		{"the recorded one of two masters", watch("stopped", "", with("b", isMaster), with("c", isMaster), recordNames("c"), fileNames("b")),
			starting("c", "server-c is the recorded master")},
		{"what it monitored before its container was started again", watch("stopped", "silent", with("b", isStopped), fileNames("b")),
			starting("b", "this sentinel monitored 10.0.0.2 before")},
		{"what it monitored before, of two masters without a record",
			watch("stopped", "", with("b", isMaster), with("c", isMaster), fileNames("b")),
			starting("b", "this sentinel monitored 10.0.0.2 before")},
		{"none while the only master is not the recorded one, and may be one of the past", watch("stopped", "none", with("b", isMaster), recordNames("c")),
			SentinelDecision{Reason: "waiting for a server to become master"}},
		{"none while the only master is not the recorded one of an earlier look, and the record cannot be read",
			watch("stopped", "none", with("b", isMaster), recordNames("c"), recordUnread), SentinelDecision{Reason: "waiting for a server to become master"}},
		{"none while no server is master", watch("stopped", "none", with("b", isReplica), recordNames("b")),
			SentinelDecision{Reason: "waiting for a server to become master"}},
		{"none while a server that was master does not run", watch("stopped", "", with("b", isMaster, isStopped), recordNames("b")),
			SentinelDecision{Reason: "waiting for a server to become master"}},
	})
}

func TestSentinelIsReadyWhileItAnswersAndKnowsAMaster(t *testing.T) {
	checkSentinel(t, []sentinelClaim{
		{"it does", watch("b", "b b"), monitoring("b")},
		{"it does not answer", watch("silent", "b b"), SentinelDecision{Reason: "the sentinel does not answer"}},
		{"it knows no master", watch("none", "b b"), SentinelDecision{Reason: "the sentinel does not answer"}},
	})
}

func TestSentinelIsSeededAnewWhenItCannotGoOnByItself(t *testing.T) {
	long := downFor(seedPatience + 1)
	newMaster := "the master it monitors is gone and server-c is the recorded master"
	forgot := "the master is down and the sentinel does not know all replicas"
	checkSentinel(t, []sentinelClaim{
		{"its master is gone and another is recorded", watch("b!", "b! b!", long, with("c", isMaster), recordNames("c")),
			seeding("c", true, newMaster)},
		{"not at once", watch("b!", "b! b!", downFor(seedPatience), with("c", isMaster), recordNames("c")), monitoring("b")},
		{"not before an attempt with a long failover-timeout can have ended",
			watch("b!", "b! b!", long, tries(time.Minute), with("c", isMaster), recordNames("c")), monitoring("b")},
		{"but after it", watch("b!", "b! b!", downFor(time.Minute+5*time.Second), tries(time.Minute), with("c", isMaster), recordNames("c")),
			seeding("c", true, newMaster)},
		{"not while it replaces the master", watch("b*", "b! b!", long, with("c", isMaster), recordNames("c")), monitoring("b")},
		{"not with a recorded one that is not master", watch("b!", "b! b!", long, with("c", isReplica), recordNames("c"), knows("c")),
			monitoring("b")},
		{"not with a master that is not recorded", watch("b!", "b! b!", long, with("c", isMaster), recordNames("b"), knows("c")),
			monitoring("b")},
		{"not with the recorded one of an earlier look, where the record cannot be read",
			watch("b!", "b! b!", long, with("c", isMaster), recordNames("c"), recordUnread, knows("c")), monitoring("b")},
		{"its master is down and it does not know a live replica",
			watch("b!", "b! b!", long, with("b", isStopped), with("c", isReplica), with("d", isReplica), knows("c")),
			seeding("b", false, forgot)},
		{"not where it knows all that live",
			watch("b!", "b! b!", long, with("c", isReplica), with("d", isDead), knows("c")), monitoring("b")},
	})
}

func TestSentinelForgetsTheDeadOnlyInQuietTimesAndInTurn(t *testing.T) {
	stale := func(o *SentinelObservation) { o.StaleFor, o.Turn = stalePatience+1, true }
	checkSentinel(t, []sentinelClaim{
		{"where everybody agrees", watch("b", "b b", stale),
			seeding("b", false, "the sentinel remembers replicas or sentinels that are gone")},
		{"not when it is not its turn", watch("b", "b b", stale, func(o *SentinelObservation) { o.Turn = false }), monitoring("b")},
		{"not at once", watch("b", "b b", stale, func(o *SentinelObservation) { o.StaleFor = stalePatience }), monitoring("b")},
		{"not while the master is down", watch("b!", "b b", stale, downFor(1)), monitoring("b")},
		{"not while another finds the master down", watch("b", "b b!", stale), monitoring("b")},
		{"not while another replaces the master", watch("b", "b b*", stale), monitoring("b")},
		{"not while another monitors another master", watch("b", "b c", stale), monitoring("b")},
		{"not while another does not answer", watch("b", "b silent", stale), monitoring("b")},
		{"not while another does not exist", watch("b", "b", stale), monitoring("b")},
	})
}

func TestSentinelForgetsAForeignServerBeforeItWouldMakeItAReplica(t *testing.T) {
	foreign := func(o *SentinelObservation) { o.ForeignFor, o.Second = foreignPatience+1, true }
	forgets := seeding("b", false, "the sentinel takes a server for a replica that has the address of a pod that is gone")
	checkSentinel(t, []sentinelClaim{
		{"where a majority agrees", watch("b", "b silent", foreign), forgets},
		{"not at once", watch("b", "b b", foreign, func(o *SentinelObservation) { o.ForeignFor = foreignPatience }), monitoring("b")},
		{"not in the second of another", watch("b", "b b", foreign, func(o *SentinelObservation) { o.Second = false }), monitoring("b")},
		{"not while the master is down", watch("b!", "b b", foreign, downFor(1)), monitoring("b")},
		{"not while another replaces the master", watch("b", "b b*", foreign), monitoring("b")},
		{"not without a majority", watch("b", "silent c", foreign), monitoring("b")},
	})
}

func TestSentinelTakesItsNewCertificateInItsTurnAndInQuietTimes(t *testing.T) {
	old := func(o *SentinelObservation) { o.Uncertified, o.Turn = true, true }
	renews := seeding("b", false, "the sentinel has an old certificate")
	checkSentinel(t, []sentinelClaim{
		{"where everybody agrees", watch("b", "b b", old), renews},
		{"where one is silent", watch("b", "b silent", old), renews},
		{"not in the turn of another", watch("b", "b b", old, func(o *SentinelObservation) { o.Turn = false }), monitoring("b")},
		{"not with the certificate that counts", watch("b", "b b", old, func(o *SentinelObservation) { o.Uncertified = false }), monitoring("b")},
		{"not while the master has just been found down", watch("b!", "b b", old, downFor(1)), monitoring("b")},
		{"where it finds the master down, and the others do not", watch("b!", "b b", old, downFor(seedPatience+1)), renews},
		{"where all find the master down", watch("b!", "b! b!", old, downFor(seedPatience+1)), renews},
		{"not while another replaces the master that is down", watch("b!", "b! b!*", old, downFor(seedPatience+1)), monitoring("b")},
		{"not in the turn of another where the master is down", watch("b!", "b! b!", old, downFor(seedPatience+1), func(o *SentinelObservation) { o.Turn = false }), monitoring("b")},
		{"not while another replaces the master", watch("b", "b b*", old), monitoring("b")},
		{"not without a majority", watch("b", "silent c", old), monitoring("b")},
	})
}

// A sentinel and its launcher that do not trust each other would never agree again.
func TestSentinelThatDoesNotAnswerForItsCertificateIsStartedAnew(t *testing.T) {
	old := func(o *SentinelObservation) { o.Uncertified, o.Turn, o.SilentFor = true, true, seedPatience+1 }
	anew := SentinelDecision{Action: SentinelSeed, Master: address("b"), Reason: "the sentinel has an old certificate and does not answer"}
	waits := SentinelDecision{Reason: "the sentinel does not answer"}
	checkSentinel(t, []sentinelClaim{
		{"with the master that another names", watch("silent", "b silent", old, fileNames("c")), anew},
		{"with the master that it named before", watch("silent", "silent silent", old, fileNames("b")), anew},
		{"not at once", watch("silent", "b b", old, func(o *SentinelObservation) { o.SilentFor = seedPatience }), waits},
		{"not in the turn of another", watch("silent", "b b", old, func(o *SentinelObservation) { o.Turn = false }), waits},
		{"not with the certificate that counts", watch("silent", "b b", old, func(o *SentinelObservation) { o.Uncertified = false }), waits},
	})
}

func mislabelledFor(d time.Duration) sentinelEdit {
	return func(o *SentinelObservation) { o.MislabelFor = d }
}

func deputy(o *SentinelObservation) { o.First = false }

func TestSentinelTakesTheLabelOffAMasterThatAMajorityHasReplaced(t *testing.T) {
	current, unlabelled := with("b", isMaster, hasLabel), with("b", isMaster)
	checkSentinel(t, []sentinelClaim{
		{"at once where the pod cannot speak for itself", watch("b", "b c", current, with("c", isGone, hasLabel)), monitoring("b", "c")},
		{"not before its successor is labelled", watch("b", "b c", unlabelled, with("c", isGone, hasLabel), mislabelledFor(successorPatience-1)),
			monitoring("b")},
		{"without a label of its successor, if that does not come",
			watch("b", "b c", unlabelled, with("c", isGone, hasLabel), mislabelledFor(successorPatience)), monitoring("b", "c")},
		{"a little later as a deputy", watch("b", "b c", current, with("c", isDead, hasLabel), deputy, mislabelledFor(deputyPatience)),
			monitoring("b", "c")},
		{"not at once as a deputy", watch("b", "b c", current, with("c", isDead, hasLabel), deputy, mislabelledFor(deputyPatience-1)),
			monitoring("b")},
		{"of a living pod when it has had time to", watch("b", "b b", current, with("c", isMaster, hasLabel), mislabelledFor(mislabelPatience)),
			monitoring("b", "c")},
		{"not of a living pod at once", watch("b", "b b", current, with("c", isMaster, hasLabel), mislabelledFor(mislabelPatience-1)),
			monitoring("b")},
		{"of all such pods", watch("b", "b b", current, with("c", isGone, hasLabel), with("d", isDead, hasLabel)), monitoring("b", "c", "d")},
		{"not of the master itself", watch("b", "b b", with("b", isMaster, hasLabel), mislabelledFor(time.Hour)), monitoring("b")},
		{"not of pods that are not labelled master", watch("b", "b b", current, with("c", isGone)), monitoring("b")},
		{"not without a majority", watch("b", "c none", current, with("c", isGone, hasLabel)), monitoring("b")},
		{"not before the one the majority names is master",
			watch("b", "b b", with("c", isGone, hasLabel), with("b", isReplica), mislabelledFor(time.Hour)), monitoring("b")},
		{"not while the one the majority names cannot be reached",
			watch("b", "b b", with("b", isFrozen), with("c", isGone, hasLabel), mislabelledFor(time.Hour)), monitoring("b")},
		{"not where the one the majority names is no pod at all",
			watch("b", "b b", with("c", isMaster, hasLabel), mislabelledFor(time.Hour)), monitoring("b")},
	})
}

// A seed takes a later epoch and stops a sentinel for a moment; where another
// sentinel knows the successor, its next hello does the same without that.
func TestSentinelThatAnotherIsAboutToTellIsNotStartedAnew(t *testing.T) {
	missed := func(others string, mislabel time.Duration, edits ...sentinelEdit) SentinelAction {
		o := watch("a", others, with("b", isMaster, hasLabel), with("a", isStopped), mislabelledFor(mislabel), recordNames("b"))
		for _, e := range edits {
			e(&o)
		}
		return DecideSentinel(o).Action
	}
	require.Equal(t, SentinelSeed, missed("a a", settlePatience+1), "where nobody else knows the successor")
	require.Equal(t, SentinelWait, missed("a b", settlePatience+1), "where another one names the successor")
	require.Equal(t, SentinelWait, missed("a b", tellPatience), "within three publish periods")
	require.Equal(t, SentinelSeed, missed("a b", tellPatience+1), "where it does not tell")
	require.Equal(t, SentinelWait, missed("a a", settlePatience+1, recordUnread), "where the record cannot be read")
}

func TestSilentMasterLosesItsLabelALittleBeforeDownAfter(t *testing.T) {
	require.False(t, FindsLost(false, 2299*time.Millisecond, 3*time.Second))
	require.True(t, FindsLost(false, 2300*time.Millisecond, 3*time.Second))
	require.True(t, FindsLost(true, 0, 3*time.Second), "found down for another reason than silence")
}

func TestMajorityIsOneOfTheConfiguredSentinels(t *testing.T) {
	for words, want := range map[string]string{
		"b b none": "b", "b b c": "b", "b c d": "", "b": "", "b none none": "", "b silent b": "b", "": "",
	} {
		got, ok := Observation{Sentinels: 3, Views: views(words)}.Agreed()
		require.Equal(t, want != "", ok, words)
		if ok {
			require.Equal(t, address(want), got, words)
		}
	}
	_, ok := Observation{Sentinels: 5, Views: views("b b")}.Agreed()
	require.False(t, ok, "two of five")
	unanswered := views("b b b")
	for i := range unanswered {
		unanswered[i].Reach = Unknown
	}
	_, ok = Observation{Sentinels: 3, Views: unanswered}.Agreed()
	require.False(t, ok, "views that were not answered do not count")
	require.Equal(t, netip.Addr{}, func() netip.Addr { a, _ := Observation{Sentinels: 3}.Agreed(); return a }())
}

func TestSentinelIsGivenOnlyReplicasThatCanBeAsked(t *testing.T) {
	o := SentinelObservation{Servers: []Peer{server("a", isMaster), server("b", isReplica), server("c", isFrozen), server("d", isStopped)}}
	for pod, no := range map[string]bool{"a": true, "b": false, "c": true, "d": false, "e": false} {
		require.Equal(t, no, o.NoReplica(address(pod)), pod)
	}
}
