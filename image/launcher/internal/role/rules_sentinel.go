package role

import (
	"fmt"
	"net/netip"
	"time"
)

// sentinelRules decide for the launcher of a sentinel that runs.
var sentinelRules = []rule[*watching, SentinelDecision]{
	{
		ID: "certificate-too-old",
		When: "the certificate or the authorities have changed since the sentinel was started, it has not answered for 12 s (longer with a " +
			"failover-timeout above 8 s), and it is this sentinel's turn",
		Then:    "start the sentinel anew with the master that the others name, or else that it named before",
		Why:     "Its launcher and the sentinel do not trust each other, so nothing else would end that (ADR 0044).",
		applies: func(w *watching) bool { return w.Uncertified && w.Turn && w.SilentFor > w.seedsAfter },
		decide:  (*watching).startsBlindly,
	},
	{
		ID:      "sentinel-silent",
		When:    "the sentinel does not answer or knows no master",
		Then:    "wait; the pod is not ready",
		Why:     "Clients that ask this sentinel for the master would get no answer.",
		applies: func(w *watching) bool { return !w.answers() },
		decide:  func(*watching) SentinelDecision { return SentinelDecision{Reason: "the sentinel does not answer"} },
	},
	{
		ID:      "sentinel-failing-over",
		When:    "the sentinel runs a failover",
		Then:    "leave it alone",
		Why:     "A new start would end that failover.",
		applies: func(w *watching) bool { return w.Own.FailingOver },
		decide:  (*watching).monitors,
	},
	{
		ID: "successor-unnoticed",
		When: "the record can be read; " +
			"the recorded master says that it is master and has been labelled for 1.5 s, or for no time if the pod that this sentinel watches is gone; " +
			"the watched server certainly is no master any more; no sentinel runs a failover; " +
			"and no other sentinel names the recorded master, or 6 s have passed",
		Then: "start the sentinel anew with the recorded master, in a later epoch",
		Why:  "The sentinel that led the failover died before it could tell. After down-after this sentinel would promote another replica (ADR 0002).",
		applies: func(w *watching) bool {
			return w.RecordKnown && w.MislabelFor > w.settlePatience() && w.succeeded(w.recorded)
		},
		decide: func(w *watching) SentinelDecision {
			return startsAnewWith(w.recorded, "%s has replaced the master it monitors, and no sentinel has noticed")
		},
	},
	{
		ID: "watched-master-gone",
		When: "the sentinel has found its master down for 12 s (longer with a failover-timeout above 8 s), " +
			"the record can be read, and it names another server that says it is master",
		Then: "start the sentinel anew with the recorded master, in a later epoch",
		Why: "Only another sentinel or a restart tells a sentinel of a new master (ADR 0002). " +
			"A record that was read before may name a master of the past, which lacks what its successor has confirmed.",
		applies: func(w *watching) bool {
			return w.RecordKnown && w.DownFor > w.seedsAfter && w.recorded != nil && w.recorded.Master && w.recorded.IP != w.Own.Master
		},
		decide: func(w *watching) SentinelDecision {
			return startsAnewWith(w.recorded, "the master it monitors is gone and %s is the recorded master")
		},
	},
	{
		ID:      "replica-unknown",
		When:    "the sentinel has found its master down for as long, and a running replica is unknown to it",
		Then:    "start the sentinel anew with all replicas that the API lists",
		Why:     "Sentinel learns of replicas from the master only, which is down (ADR 0002).",
		applies: func(w *watching) bool { return w.DownFor > w.seedsAfter && w.forgotten() },
		decide: func(w *watching) SentinelDecision {
			return w.startsAnew("the master is down and the sentinel does not know all replicas")
		},
	},
	{
		ID: "foreign-server-forgotten",
		When: "for 3 s a server at an address that no pod has any more has answered the sentinel, and follows somebody else or nobody; " +
			"the master is up, a majority names it, no sentinel is replacing it, and it is this sentinel's second",
		Then: "start the sentinel anew with the pods that the API lists",
		Why:  "Sentinel would make that server a replica after 8 s, and empty it (ADR 0019).",
		applies: func(w *watching) bool {
			return w.ForeignFor > foreignPatience && w.DownFor == 0 && w.Second && w.named()
		},
		decide: func(w *watching) SentinelDecision {
			return w.startsAnew("the sentinel takes a server for a replica that has the address of a pod that is gone")
		},
	},
	{
		ID: "dead-entries-forgotten",
		When: "for 20 s the sentinel has remembered replicas or sentinels that are gone, it is this sentinel's turn, " +
			"and all sentinels answer, find the master up and name the same one",
		Then:    "start the sentinel anew with the pods that the API lists",
		Why:     "Sentinel forgets nothing by itself, and counts dead sentinels for its majority (ADR 0002).",
		applies: func(w *watching) bool { return w.StaleFor > stalePatience && w.DownFor == 0 && w.Turn && w.unanimous() },
		decide: func(w *watching) SentinelDecision {
			return w.startsAnew("the sentinel remembers replicas or sentinels that are gone")
		},
	},
	{
		ID: "certificate-renewed",
		When: "the certificate or the authorities have changed since the sentinel was started, it is this sentinel's turn, " +
			"and no sentinel is replacing the master that this sentinel watches. In addition, one of two holds: that master is up and a majority of the sentinels " +
			"names it, or this sentinel has found it down for 12 s (longer with a failover-timeout above 8 s)",
		Then: "start the sentinel anew with the pods that the API lists",
		Why: "Sentinel reads its certificate only when it starts. One sentinel at a time does so. A sentinel that does not trust its master finds it " +
			"down, whether it is up or not (ADR 0044).",
		applies: func(w *watching) bool {
			quiet := w.DownFor == 0 && w.named() || w.DownFor > w.seedsAfter && !w.replacing()
			return w.Uncertified && w.Turn && quiet
		},
		decide: func(w *watching) SentinelDecision { return w.startsAnew("the sentinel has an old certificate") },
	},
	{
		ID:     "sentinel-watches",
		When:   "anything else",
		Then:   "leave it alone",
		Why:    "The sentinel knows what is true.",
		decide: (*watching).monitors,
	},
}

// sentinelStartRules find the master that a sentinel which does not run is to watch.
var sentinelStartRules = []rule[*watching, SentinelDecision]{
	{
		ID: "start-waits-to-join",
		When: "an answering sentinel does not know this sentinel, and one of these is true. For 30 s at most: the answering sentinels still have to learn of each other, " +
			"or of a new sentinel with a lower slot. Without a limit: the silent sentinels and the sentinels that know only some of the answering sentinels are enough to elect a launcher",
		Then:    "wait",
		Why:     "Where sentinels join one at a time, two majorities always have a sentinel in common, whatever number each sentinel knows (ADR 0039).",
		applies: func(w *watching) bool { return w.Joining },
		decide: func(*watching) SentinelDecision {
			return SentinelDecision{Reason: "waiting until the other sentinels answer and know each other"}
		},
	},
	{
		ID: "start-with-others",
		When: "another sentinel names a master; if they differ, the highest configuration epoch counts, " +
			"and in the same epoch the sentinel whose master says that it is master",
		Then:    "watch that master",
		Why:     "The sentinels agree. In the same epoch a sentinel that names another pod has been cut off.",
		applies: func(w *watching) bool { return w.latest != nil },
		decide: func(w *watching) SentinelDecision {
			return starts(w.latest.Master, "the other sentinels monitor %v", w.latest.Master)
		},
	},
	{
		ID:   "start-with-only-master",
		When: "exactly one server says that it is master, and the record names it or nobody",
		Then: "watch it",
		Why:  "A master that the record does not name may be one of the past. The servers settle that, and record the master.",
		applies: func(w *watching) bool {
			return len(w.masters) == 1 && (w.MasterUID == "" || w.masters[0].UID == w.MasterUID)
		},
		decide: func(w *watching) SentinelDecision {
			return starts(w.masters[0].IP, "%s is master", w.masters[0].Name)
		},
	},
	{
		ID:      "start-with-recorded-master",
		When:    "the recorded master says that it is master",
		Then:    "watch it",
		Why:     "The record decides between several masters.",
		applies: func(w *watching) bool { return w.recorded.saysMaster() },
		decide: func(w *watching) SentinelDecision {
			return starts(w.recorded.IP, "%s is the recorded master", w.recorded.Name)
		},
	},
	{
		ID:      "start-with-file",
		When:    "this sentinel watched a master before its container restarted",
		Then:    "watch that master",
		Why:     "All sentinels may have restarted at once, with the master down: they have to promote a replica.",
		applies: func(w *watching) bool { return w.FileMaster.IsValid() },
		decide: func(w *watching) SentinelDecision {
			return starts(w.FileMaster, "this sentinel monitored %v before", w.FileMaster)
		},
	},
	{
		ID:   "start-awaits-master",
		When: "anything else",
		Then: "wait",
		Why:  "A sentinel needs a master to watch. The servers elect one.",
		decide: func(*watching) SentinelDecision {
			return SentinelDecision{Reason: "waiting for a server to become master"}
		},
	},
}

// mislabelRules say how long a pod keeps the label master while a majority of the sentinels names another pod, which says that it is master.
var mislabelRules = []rule[mislabel, time.Duration]{
	{
		ID:      "labelled-pod-answers",
		When:    "the Redis of the labelled pod answers",
		Then:    "after 4 s",
		Why:     "Its own launcher moves the label in a second or two.",
		applies: func(m mislabel) bool { return m.pod.Redis == Answered },
		decide:  func(mislabel) time.Duration { return mislabelPatience },
	},
	{
		ID:      "successor-unlabelled",
		When:    "the pod that the sentinels name has no label yet",
		Then:    "after 1.5 s",
		Why:     "The successor is to be labelled first, so that clients always have an address (ADR 0003).",
		applies: func(m mislabel) bool { return !m.succeeded },
		decide:  func(mislabel) time.Duration { return successorPatience },
	},
	{
		ID:     "successor-labelled",
		When:   "anything else",
		Then:   "at once",
		Why:    "The labelled pod cannot speak for itself.",
		decide: func(mislabel) time.Duration { return 0 },
	},
}

// monitors is the decision to leave the sentinel alone.
func (w *watching) monitors() SentinelDecision {
	return SentinelDecision{Reason: fmt.Sprintf("monitoring %v", w.Own.Master)}
}

// startsAnew is the decision to start the sentinel again with what is true now.
func (w *watching) startsAnew(reason string) SentinelDecision {
	return SentinelDecision{Action: SentinelSeed, Master: w.Own.Master, Reason: reason}
}

// startsBlindly is the decision to start a sentinel that does not answer again.
func (w *watching) startsBlindly() SentinelDecision {
	d := SentinelDecision{Action: SentinelSeed, Master: w.FileMaster, Reason: "the sentinel has an old certificate and does not answer"}
	if w.latest != nil {
		d.Master = w.latest.Master
	}
	if !d.Master.IsValid() {
		d.Action = SentinelWait
	}
	return d
}

// startsAnewWith is the decision to start the sentinel again with another master. The format of the reason has its name.
func startsAnewWith(master *Peer, format string) SentinelDecision {
	return SentinelDecision{Action: SentinelSeed, Master: master.IP, NewEpoch: true, Reason: fmt.Sprintf(format, master.Name)}
}

// starts is the decision to start the sentinel.
func starts(master netip.Addr, format string, args ...any) SentinelDecision {
	return SentinelDecision{Action: SentinelStart, Master: master, Reason: fmt.Sprintf(format, args...)}
}
