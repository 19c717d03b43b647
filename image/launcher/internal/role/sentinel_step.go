package role

import (
	"slices"
	"time"
)

// mislabelTime is how long after a label that the sentinels contradict the answers of a look are not waited for. A failover that is not
// over then may never be, since nobody is left who knows of it: then answers are worth waiting for.
const mislabelTime = time.Second

// SentinelFacts are what one look of a sentinel's launcher has found.
type SentinelFacts struct {
	// SentinelObservation is what was found. Step fills in the times and RecordKnown. It ignores Servers and MasterUID where they were not
	// asked for.
	SentinelObservation
	Pods       []Member // the server pods as the API has them
	Remembered bool     // Replicas, Stale and Foreign could be read, or there is no sentinel that could remember anything
	Asked      SentinelQuestions
	// RecordFailed: the record could not be read.
	RecordFailed bool
}

// SentinelQuestions are what Step has to know before it decides. Each is asked at most once in a look.
type SentinelQuestions struct {
	Servers bool // the role of every server
	Record  bool // the record of the master
	Quick   bool // no long wait for answers; see SentinelMemory.Quick
}

// SentinelMemory is what the launcher of a sentinel remembers between its looks. It is a value: Step takes one and gives the next.
type SentinelMemory struct {
	Decided SentinelDecision // the last decision

	silent   clock // the local sentinel does not answer
	down     clock // the local sentinel finds its master down
	stale    clock // it remembers replicas or sentinels that are gone
	foreign  clock // it takes a foreign server for a replica
	mislabel clock // a pod other than the agreed master is labelled master
	upAt     time.Time
	master   string    // UID of the recorded master, as it was read last
	known    bool      // the last question for the record was answered
	recordAt time.Time // of the last question for the record
}

// Step is one look of a sentinel's launcher. Where facts are missing it only asks, and the caller calls Step again with the same
// memory and the answers.
func (m SentinelMemory) Step(f SentinelFacts, now time.Time) (SentinelMemory, SentinelDecision, SentinelQuestions) {
	o := f.SentinelObservation
	answered := !o.Running || o.Own.Reach == Answered
	if answered && o.Running && !o.Own.Down && m.down.runs() {
		m.upAt = now
	}
	m.silent.look(now, true, !answered)
	m.down.look(now, answered, o.Running && o.Own.Down)
	m.stale.look(now, f.Remembered, o.Stale)
	m.foreign.look(now, f.Remembered, o.Foreign)
	agreed, ok := o.Agreed()
	mislabelled := ok && slices.ContainsFunc(f.Pods, func(p Member) bool { return p.Label == Master && p.IP != agreed })
	if mislabelled && !m.mislabel.runs() {
		m.recordAt = time.Time{} // another master: the record has changed, too
	}
	m.mislabel.look(now, ok, mislabelled)
	if ask := m.ask(f, now); ask != (SentinelQuestions{}) {
		return m, SentinelDecision{}, ask
	}
	if !f.Asked.Servers {
		o.Servers, o.MasterUID, o.RecordKnown = nil, "", false
	} else {
		o.MasterUID, o.RecordKnown = m.master, m.known
	}
	o.SilentFor = m.silent.span(now)
	o.DownFor, o.StaleFor, o.ForeignFor, o.MislabelFor = m.down.span(now), m.stale.span(now), m.foreign.span(now), m.mislabel.span(now)
	d := DecideSentinel(o)
	if d.NewEpoch && !f.Asked.Record {
		// The sentinel is to watch another master because the record names it. The record may have changed since it was read.
		return m, SentinelDecision{}, SentinelQuestions{Record: true}
	}
	m.Decided = d
	return m, d, SentinelQuestions{}
}

// ask says what must be asked, and takes the record if it was. While all is well, the servers are not asked.
func (m *SentinelMemory) ask(f SentinelFacts, now time.Time) SentinelQuestions {
	switch {
	case f.Running && !f.Own.Down && !m.mislabel.runs() && !(f.Uncertified && m.silent.span(now) > f.seedPatience()):
		return SentinelQuestions{}
	case !f.Asked.Servers:
		return SentinelQuestions{Servers: true, Quick: m.Quick(now)} // the master has perhaps just been found down
	case f.Asked.Record:
		if m.recordAt, m.known = now, !f.RecordFailed; m.known {
			m.master = f.MasterUID
		}
	case now.Sub(m.recordAt) > time.Second:
		return SentinelQuestions{Record: true}
	}
	return SentinelQuestions{}
}

// Hurry says whether the next look is due soon, since something is wrong or has just been. running says that there is a sentinel.
func (m *SentinelMemory) Hurry(running bool, now time.Time) bool {
	return !running || m.down.runs() || m.mislabel.runs() || now.Sub(m.upAt) < hurryTime
}

// Quick says whether answers are not worth waiting for: a failover is under way, and a label may have to be taken off a pod that cannot
// speak for itself.
func (m *SentinelMemory) Quick(now time.Time) bool {
	return m.down.within(hurryTime, now) || now.Sub(m.upAt) < hurryTime || m.mislabel.within(mislabelTime, now)
}
