package role

import (
	"net/netip"
	"time"
)

// simServer is a server pod: its Redis, its disk, and what its launcher
// remembers between its turns (package agent, observed and Server).
type simServer struct {
	pod
	redis redis
	acks  map[*simServer]time.Duration // of a master: when each replica last acknowledged
	disk  data

	corrupt                                                                                                          bool          // Redis cannot load what is on disk
	hungryUntil                                                                                                      time.Duration // it needs all its master's data, which takes until then
	joinedAt                                                                                                         time.Duration // when its network was last back
	own                                                                                                              int64         // agent.Server.generation
	restarts                                                                                                         Restarts
	since, masterAt, astrayAt, linkedAt, linkDownAt, downAt, refusedAt, failedAt, recordedAt, masterlessAt, doomedAt time.Duration
	claimed, byRecord, confirmed, recorded, wasRunning                                                               bool
	servedHistory                                                                                                    string // observed.servedHistory
	vouched                                                                                                          data   // what the files held when the launcher last vouched for them
	wasMaster                                                                                                        bool
	followed                                                                                                         netip.Addr
	applied                                                                                                          int
	held                                                                                                             Held
	worth                                                                                                            Worth  // the files are those on disk
	standingOf                                                                                                       string // agent.observed.standingOf
	views                                                                                                            []View
	viewsAt, recordAt, turnAt                                                                                        time.Duration
	record                                                                                                           simRecord
	generation                                                                                                       int64         // of the record when it was last read
	generationAt                                                                                                     time.Duration // first read with that generation
	calm, recordOK, podsOK                                                                                           bool
	servers                                                                                                          []Member // the pod list as last seen
	sentinels                                                                                                        []*simSentinel
	decided                                                                                                          Decision
	wish                                                                                                             string
	wishes                                                                                                           bool
	turns, acts                                                                                                      int // looks, and looks with an effect
}

const never = -time.Hour

// stoodStill is that of package agent.
const stoodStill = 3 * time.Second

// boot is the start of the container.
func (s *simServer) boot(w *world) {
	fresh := simServer{pod: s.pod, disk: s.disk, corrupt: s.corrupt, hungryUntil: s.hungryUntil, worth: Worth{Filed: s.worth.Filed}, acks: map[*simServer]time.Duration{}, applied: -1}
	fresh.since, fresh.viewsAt, fresh.recordAt, fresh.failedAt = max(w.now, s.upAt), never, never, never
	fresh.generation = -1 // none was read
	fresh.worth.Filed.Broken = false
	fresh.worth.Standing = Standing{Empty: true}
	if w.persistence && s.disk.writes > 0 {
		fresh.worth.Standing = fresh.worth.Filed
	}
	*s = fresh
}

// mark and elapsed keep clocks as package agent does; 0 is "not".
func mark(at *time.Duration, on bool, now time.Duration) {
	switch {
	case !on:
		*at = 0
	case *at == 0:
		*at = now
	}
}

func elapsed(at, now time.Duration) time.Duration {
	if at == 0 {
		return 0
	}
	return now - at
}

// turn is one round of the launcher.
func (s *simServer) turn(w *world) {
	if !s.up(w) {
		return
	}
	s.turns++
	if s.wasRunning && !s.redis.running {
		s.masterAt, s.linkedAt, s.linkDownAt, s.astrayAt, s.since = 0, 0, 0, 0, w.now
		s.recordAt, s.viewsAt, s.claimed, s.byRecord, s.confirmed, s.recorded = never, never, false, false, false, false
		s.worth = s.worth.Ended(s.held.Copied, w.persistence)
		s.held, s.own = Held{}, 0
	}
	s.wasRunning = s.redis.running
	if w.apiServes(&s.pod) {
		s.podsOK, s.servers, s.sentinels = true, nil, append([]*simSentinel(nil), w.sentinels...)
		for _, other := range w.servers {
			s.servers = append(s.servers, other.Member)
		}
	}
	if !s.podsOK {
		s.since = w.now
		return
	}
	o := s.observe(w)
	if !o.Local.Running && o.MasterInView() {
		s.since, o.Waiting = w.now, 0
	}
	d := Decide(o)
	if d.Reason != s.decided.Reason || d.Action != s.decided.Action {
		w.logf("%s: %v, %v: %s", s.Name, d.State, d.Action, d.Reason)
	}
	s.decided = d
	mark(&s.doomedAt, d.Doomed, w.now)
	s.label(w, d)
	s.act(w, o, d)
	s.keepRecord(w, o)
	s.keepStanding(w, o)
	s.tune(w, o)
}

func (s *simServer) label(w *world, d Decision) {
	switch d.Label {
	case MasterLabel:
		s.wish, s.wishes = Master, true
	case SlaveLabel:
		s.wish, s.wishes = Slave, true
	case ClearLabel:
		s.wish, s.wishes = "", true
	case HoldLabel:
		s.wishes = false
	}
	if !s.wishes || s.wish == s.Label || !w.apiServes(&s.pod) {
		return
	}
	w.logf("%s is labelled %q", s.Name, s.wish)
	s.Label = s.wish
	s.acts++
	if s.wish == Master {
		s.takeRecord(w, s.own)
		s.readRecord(w)
	}
}

// isRecorded is agent.recorded.
func (s *simServer) isRecorded(r simRecord, own int64) bool {
	return r.uid == s.UID && r.fence == "" && own > 0 && r.generation <= own
}

// takeRecord writes this pod into the record as the master, if another is there.
func (s *simServer) takeRecord(w *world, own int64) {
	if !s.isRecorded(w.record, own) {
		s.writeRecord(w)
	}
}

// writeRecord writes this pod into the record as the master, with a new generation.
func (s *simServer) writeRecord(w *world) {
	w.giveUp(s, false, nil) // a master of the past that comes back may be the only one that is left
	r := &w.record
	if r.uid != s.UID {
		r.previous = r.ip
	}
	r.version++
	r.generation++
	r.initialised, r.uid, r.ip, r.fence, r.orderedAt = true, s.UID, s.IP, "", 0
	s.own = r.generation
	w.logf("%s is recorded as master %d", s.Name, r.generation)
}

// readRecord is agent.setRecord.
func (s *simServer) readRecord(w *world) {
	if s.generation != w.record.generation {
		s.generation, s.generationAt = w.record.generation, w.now
	}
	s.record, s.recordOK, s.recordAt = w.record, true, w.now
}

// keepRecord is agent.keepRecord.
func (s *simServer) keepRecord(w *world, o Observation) {
	r, own := s.record, s.own
	if (Standing{Generation: r.generation}).Disputed(o.Peers) {
		own = 0
	}
	if s.decided.Label != MasterLabel || s.calm || !s.recordOK || s.Label != Master || s.isRecorded(r, own) || w.now-s.recordedAt < time.Second {
		return
	}
	s.recordedAt, s.recordAt = w.now, never
	if w.apiServes(&s.pod) && r.version == w.record.version {
		s.takeRecord(w, own)
		s.readRecord(w)
	}
}

func (s *simServer) act(w *world, o Observation, d Decision) {
	if d.Action != Wait {
		s.acts++
	}
	switch d.Action {
	case StartReplica:
		s.start(w, d.Target)
		w.logf("%s starts as replica of %v", s.Name, d.Target)
	case Claim:
		s.claim(w, o)
	case Follow:
		s.follow(w, d.Target)
	case FailOver, Nudge, ReplaceDead:
		s.failOver(w, o, d)
	case CallOff:
		s.callOff(w, d.Target)
	}
}

func (s *simServer) claim(w *world, o Observation) {
	if !w.apiServes(&s.pod) || len(s.servers) != len(w.servers) {
		return
	}
	if s.record.version != w.record.version {
		s.recordAt = never
		return
	}
	w.logf("%s claims mastership", s.Name)
	s.claimed = true
	w.giveUp(s, true, nil)
	if !s.isRecorded(w.record, s.own) {
		s.writeRecord(w)
	}
	s.readRecord(w)
	if !o.Local.Running {
		s.start(w, netip.Addr{})
		if !s.redis.running {
			return
		}
		s.wasRunning, s.held = true, Held{}
	}
	if !s.redis.master {
		w.mayBecomeMaster(s)
		s.becomeMaster(w, "claim")
	}
	s.byRecord = true
}

// keepStanding is agent.keepStanding.
func (s *simServer) keepStanding(w *world, o Observation) {
	if !s.held.Copied {
		s.vouched = s.disk
	}
	if !s.redis.running {
		return
	}
	unrecorded := false
	if s.worth, unrecorded = s.worth.After(o, s.askMaster(w), s.recordedNow()); unrecorded {
		s.own = 0
	}
	s.claimed = s.claimed && !s.decided.ClaimOver(o.Local, s.recordOK)
}

// recordedNow is agent.recorded.
func (s *simServer) recordedNow() Recorded {
	return Recorded{Known: s.recordOK, Generation: s.record.generation, Master: s.record.ip, Own: s.recordOK && s.isRecorded(s.record, s.own)}
}

// askMaster is agent.askMaster. The master of a replica always tells at once.
func (s *simServer) askMaster(w *world) Told {
	m := w.serverAt(s.redis.follows)
	if m == nil || !reaches(&m.pod, &s.pod) || !m.alive(w) || !m.redis.master {
		return Told{}
	}
	told := Told{For: s.record.generation, History: m.redis.history.ID}
	if told.History == s.redis.history.ID && m.up(w) {
		standing := m.worth.Standing
		told.AtLeast = Standing{Generation: standing.Generation, Epoch: standing.Epoch}
		if standing.Master {
			told.Master = &standing
		}
	}
	return told
}

// tune is agent.tune.
func (s *simServer) tune(w *world, o Observation) {
	if !o.Local.Answering {
		return
	}
	s.redis.priority = o.Local.Synced
	if !o.Local.Master {
		s.applied, s.redis.needs = 0, 0
		return
	}
	agreed, ok := o.Agreed()
	majority := ok && agreed == s.IP && w.now-s.viewsAt < 2*time.Second
	if majority && s.applied >= 0 && s.applied <= o.Local.Online && o.Local.Online < simMinReplicas {
		return
	}
	fresh := false
	if o.Local.Online < simMinReplicas && w.apiServes(&s.pod) {
		s.readRecord(w)
		fresh = w.record.uid == s.UID
	}
	if n, known := MinReplicas(simMinReplicas, o.Local.Online, majority, fresh, o.Local.MasterFor); known {
		s.applied, s.redis.needs = n, n
	}
}

// mayBecomeMaster checks that an empty server becomes master only where no
// server that it can see has data, on disk and vouched for by its launcher, or as a replica
// known to be in sync.
func (w *world) mayBecomeMaster(s *simServer) {
	if s.redis.data.writes > 0 {
		return
	}
	for _, other := range w.servers {
		if other == s || !reaches(&s.pod, &other.pod) || other.Terminating {
			continue
		}
		if other.alive(w) && other.held.InSync && other.redis.data.writes > 0 || other.up(w) && other.turns > 0 && other.disk.writes > 0 && !other.worth.Filed.Empty {
			w.fail("%s becomes master empty, but %s has data", s.Name, other.Name)
		}
	}
}
