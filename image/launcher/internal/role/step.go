package role

import (
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// Plan is what a server does next. Either Ask names facts that are missing, and nothing else is set, or the decision is made.
type Plan struct {
	Ask Questions
	// Decision is what the rules say. Its Action is Wait where an attempt to replace a master is not due, or another one runs.
	Decision
	// Seen is what the decision was made from.
	Seen Observation
	// MinReplicas is min-replicas-to-write from now on, if SetMinReplicas says that it changes.
	MinReplicas    int
	SetMinReplicas bool
	// Promotable: Sentinel may promote this server. A replica of an external master is not: Sentinels of that master would do it.
	Promotable bool
	// Pause: the writes of this master pause, since another server is being made master, or may be.
	Pause bool
}

// serviceAfter is how long the pod list may be missing before the sentinel Service is asked for the master.
const serviceAfter = 10 * time.Second

// Step is one look of a server: from what its launcher remembers and what the look has found to what it remembers then and what it
// does. Where facts are missing, the plan only asks, and the caller calls Step again with the same memory and the answers.
func (m Memory) Step(f Facts, now time.Time) (Memory, Plan) {
	if m.woken = !m.lookedAt.IsZero() && f.Began.Sub(m.lookedAt) > stoodStill; m.woken {
		m.recordAt = time.Time{}
	}
	m.lookedAt = f.Began
	local := m.look(f.Own, f.Settings.Persistence)
	if ask := m.askOthers(f, local, now); ask != (Questions{}) {
		return m, Plan{Ask: ask}
	}
	m.Held = m.Held.Beside(local, m.Worth.Standing, m.Worth.Of, f.Peers)
	local.Synced = local.Answering && m.Held.InSync
	if ask := m.askRecord(f, local, now); ask != (Questions{}) {
		return m, Plan{Ask: ask}
	}
	o := m.observation(f, local, now)
	inView := !m.Calm && o.PodsKnown && !o.CutOff()
	m.masterless.is(inView && !o.MasterInView(), now)
	if inView {
		m.keepForemost(electionOf(o, "").foremost(), now)
	}
	o.Masterless, o.Foremost = m.masterless.span(now), m.foremost.span(now)
	if !local.Running && (!o.PodsKnown || o.MasterInView()) {
		// Patience counts from when there was something to be patient about.
		m.searching, o.Waiting = now, 0
	}
	m.agreement(&o, now)
	d, service := m.decide(o, f, now)
	if service {
		return m, Plan{Ask: Questions{Service: true}}
	}
	m.Decided = d
	silent := local.Running && !local.Answering && m.last.Master && !m.last.Loading && local.Silent > silenceLimit
	p := Plan{Decision: d, Seen: o, Pause: silent || d.BeingReplaced && d.Action == Wait, Promotable: local.Synced && !f.Self.Terminating && !o.External.On}
	m.Attempts, p.Action = m.Attempts.allow(d.Action, m.Record.Generation, now)
	p.MinReplicas, p.SetMinReplicas = m.minReplicas(f, local, now)
	return m, p
}

// calm says whether this look needs no more than the own Redis, and the sentinels now and then. What the sentinels have said before
// another pod took the label off is not good enough to take it back.
func (m *Memory) calm(f Facts, local Local) bool {
	settled := m.Decided.State == Serving && m.Decided.Action == Wait && local.Master == (m.Decided.Label == MasterLabel)
	if m.woken || !settled || !local.Answering || f.Self.Terminating || f.Replacing {
		return false
	}
	if local.Master {
		return f.Self.Label == Master && m.says(f.Self).Own
	}
	return m.wasInSync
}

// askOthers says which of the other pods must be asked, and takes what they have answered. Servers are asked in the look that judges
// them, or not at all: what was true of a peer a second ago may be the opposite of what is true now. They are asked beside the
// sentinels: a pod that is gone takes all the time there is.
func (m *Memory) askOthers(f Facts, local Local, now time.Time) Questions {
	calm := m.calm(f, local)
	quick := calm || m.Hurry(now)
	suspected := m.masterSuspected(f, local)
	if suspected && m.down.span(now) < hurryTime {
		m.Alert(now)
	}
	first := Questions{Sentinels: (!calm || suspected || now.Sub(m.viewsAt) >= CalmTick) && !f.Asked.Sentinels, Servers: !calm && !f.Asked.Servers}
	if first != (Questions{}) {
		first.Quick = quick
		return first
	}
	if f.Asked.Sentinels {
		m.views, m.viewsAt = f.Views, now
		if named, _ := (Observation{Views: f.Views}).memory(); named > 0 || m.woken || !f.PodsKnown {
			m.namedAt = now // patience counts from when the sentinels can be asked
		}
	}
	disputed := calm && !m.undisputed(f, local)
	if (disputed || calm && f.Asked.Sentinels && m.masterFoundLost(f, local)) && !f.Asked.Servers {
		// The other servers may include the master, which does not answer any more.
		return Questions{Servers: true, Quick: true}
	}
	m.Calm = calm && !disputed
	return Questions{}
}

// undisputed says whether a majority of the sentinels names this master, or the
// master that this replica follows.
func (m *Memory) undisputed(f Facts, local Local) bool {
	agreed, ok := Observation{Sentinels: f.Settings.Sentinels, Views: m.views}.Agreed()
	if local.Master {
		return ok && agreed == f.Self.IP
	}
	return ok && agreed == local.Follows && local.LinkUp
}

// masterFoundLost says whether a sentinel finds the master of this replica down, or will in a moment. The replica
// must know then whether it is in sync.
func (m *Memory) masterFoundLost(f Facts, local Local) bool {
	return !local.Master && slices.ContainsFunc(m.views, func(v View) bool {
		return v.HasMaster && v.Master == local.Follows && FindsLost(v.Down, v.Silent, f.Settings.DownAfter)
	})
}

// masterSuspected says whether most sentinels have had no answer from the master of this replica for a while.
func (m *Memory) masterSuspected(f Facts, local Local) bool {
	n := 0
	for _, v := range m.views {
		if v.HasMaster && v.Master == local.Follows && (v.Down || v.Silent > suspicious) {
			n++
		}
	}
	return !local.Master && n >= Observation{Sentinels: f.Settings.Sentinels, Views: m.views}.majority()
}

// askRecord says whether the record must be read, and the master of a replica be asked, and takes the answers.
func (m *Memory) askRecord(f Facts, local Local, now time.Time) Questions {
	if w := f.Written; w != nil && w.Generation >= m.Record.Generation {
		m.SetRecord(*w, now)
		if local.Master && w.Master == f.Self.record() {
			m.Own = w.Generation
		}
	}
	every := recordEvery
	if m.Calm {
		every = recordCalm
		if !local.Master && local.Follows.String() != m.Record.Master.IP {
			every = CalmTick // the new master is about to be recorded, and the standing on disk waits for that
		}
	}
	if m.mayNotBeAlone(f, local, now) {
		every = min(every, CalmTick)
	}
	switch {
	case f.Asked.Record && f.RecordLate:
		m.forgetRecord(now)
	case f.Asked.Record && f.RecordFailed:
		m.forgetRecord(now.Add(CalmTick))
	case f.Asked.Record:
		m.SetRecord(f.Record, now)
	case now.Sub(m.recordAt) >= every && f.PodsKnown:
		return Questions{Record: true}
	}
	return m.askMaster(f, local, now)
}

// forgetRecord notes that the record could not be read. at is the time from which on the next attempt counts.
func (m *Memory) forgetRecord(at time.Time) {
	m.Record, m.RecordKnown, m.recordAt = record.Record{}, false, at
}

// askMaster says whether the master of this replica must be asked for its history and its standing. So the launcher
// learns what the data of the replica are worth. The files of the replica are worth more than those of a
// server that has stayed behind, and an election must know that. It asks at once when the record changes,
// and then once a second until it knows.
func (m *Memory) askMaster(f Facts, local Local, now time.Time) Questions {
	says := m.says(f.Self)
	if f.Asked.Master.IsValid() {
		m.Told, m.toldAt = f.Told, now
		if m.Told.For = m.Record.Generation; !m.Told.Shares(local, says) {
			m.Told.Master, m.Told.AtLeast = nil, Standing{}
		}
		return Questions{}
	}
	if at := m.settled(f); at.IsValid() && local.Follows == at {
		return Questions{} // it has no launcher, and does not know the password of the release
	}
	if !local.LinkUp || m.Worth.OfRecorded(local, m.Told, says) || m.Told.For == m.Record.Generation && now.Sub(m.toldAt) < CalmTick {
		return Questions{}
	}
	return Questions{Master: local.Follows}
}

// Observe gives what is remembered and a look at the own Redis, without asking anybody else.
func (m *Memory) Observe(f Facts, now time.Time) Observation {
	return m.observation(f, m.look(f.Own, f.Settings.Persistence), now)
}

// observation joins what is remembered and what was found into the input of a decision.
func (m *Memory) observation(f Facts, local Local, now time.Time) Observation {
	r := m.Record
	o := Observation{
		Self: f.Self, Local: local, Standing: m.Worth.Standing,
		Servers: f.Settings.Servers, Sentinels: f.Settings.Sentinels, Quorum: f.Settings.Quorum, DownAfter: f.Settings.DownAfter, Persistence: f.Settings.Persistence, VolumesKept: f.Settings.VolumesKept, RestoreFrom: f.Settings.RestoreFrom,
		Views: m.views, Peers: f.Peers, PodsKnown: f.PodsKnown, Waiting: now.Sub(m.searching), Unnamed: now.Sub(m.namedAt), GenerationFor: since{m.generationAt}.span(now),
	}
	o.Replacing = f.Replacing
	o.External, o.Settled = m.external(f, now), m.settled(f)
	var fenced string
	o.MasterUID, fenced = o.recordedPods(r)
	o.RecordKnown, o.Initialised, o.Generation = m.RecordKnown, r.Initialised, r.Generation
	o.PreviousIP, _ = netip.ParseAddr(r.Previous.IP)
	if f := r.Fence; f != nil {
		o.Fence = &Fence{UID: fenced, Age: max(now.Sub(f.At), now.Sub(m.fenceAt)), By: f.By, Successor: f.Successor}
	}
	return o
}

// agreement keeps the clocks of what depends on the sentinels' views.
func (m *Memory) agreement(o *Observation, now time.Time) {
	agreed, ok := o.Agreed()
	down, _ := o.MasterIsDown()
	if o.Local.Answering { // a Redis that stands still stays what it was
		m.confirmed = o.Local.Master && (m.confirmed || ok && agreed == o.Self.IP)
		m.recorded = o.Local.Master && (m.recorded || o.MasterUID == o.Self.UID)
	}
	o.Local.Confirmed, o.Local.Recorded = m.confirmed, m.recorded
	epoch, named := o.NamedIn()
	o.Local.NamedAnew = named && epoch > m.Worth.NamedIn
	m.following.is(ok && o.Local.Running && !o.Local.Master && agreed != o.Local.Follows, now)
	m.down.is(down, now)
	m.refused.is(slices.ContainsFunc(o.Peers, func(p Peer) bool {
		return ok && p.IP == agreed && p.Redis == Refused && p.Launcher == Refused
	}), now)
	o.Local.Astray, o.MasterDown, o.MasterRefused = m.following.span(now), m.down.span(now), m.refused.span(now)
}

// decide makes the decision. service says that the sentinel Service must be asked first.
func (m *Memory) decide(o Observation, f Facts, now time.Time) (d Decision, service bool) {
	m.podless.is(!o.PodsKnown, now)
	switch {
	case o.Local.Running || o.PodsKnown:
	case f.Settings.MasterService && !f.Asked.Service && m.podless.span(now) > serviceAfter:
		return Decision{}, true
	default:
		if f.Asked.Service {
			o.ServiceMaster = f.Service
		}
		return decideBy(podlessRules, &situation{Observation: o}), false
	}
	if o.Self.Terminating && !o.Local.Running {
		return DecideLeft(o, !m.died.at.IsZero()), false
	}
	return Decide(o), false
}

// Settle brings what the data are worth up to date after the decision has been carried out, and ends a claim that has done its
// work.
func (m *Memory) Settle(o Observation) {
	says := m.says(o.Self)
	unrecorded := false
	if m.Worth, unrecorded = m.Worth.After(o, m.Told, says); unrecorded {
		m.Own = 0 // this mastership is to be recorded
	}
	m.Claimed = m.Claimed && !m.Decided.ClaimOver(o.Local, m.RecordKnown)
}

// Unrecorded says whether the record must be written again, since the write that followed the label failed, or another pod took
// the record from this one. own is the generation for record.Record.Names. A look that has not asked the other pod cannot know whether
// that pod has replaced this one.
func (m *Memory) Unrecorded(o Observation) (own int64, write bool) {
	own = m.Own
	if (Standing{Generation: m.Record.Generation}).Disputed(o.Peers) {
		own = 0
	}
	return own, m.Decided.Label == MasterLabel && !o.Self.Terminating && !m.Calm && m.RecordKnown && !m.Record.Names(o.Self.record(), own)
}
