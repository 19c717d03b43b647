package role

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// simServer is a server pod: its Redis, its disk, and its launcher, which decides by Memory.Step.
type simServer struct {
	pod
	redis redis
	acks  map[*simServer]time.Duration // of a master: when each replica last acknowledged
	disk  data
	saved *savedCopy // nil: there is none

	corrupt     bool          // Redis cannot load what is on disk
	hungryUntil time.Duration // it needs all its master's data, which takes until then
	joinedAt    time.Duration // when its network was last back
	vouched     data          // what the files held when the launcher last vouched for them

	memory     Memory
	plan       Plan // the last one
	restarts   Restarts
	wasRunning bool
	turnAt     time.Duration
	heldAt     time.Duration // its writes have been held back since then; 0: they are not
	written    *record.Record
	views      []View
	asked      []*simSentinel // whose views these are
	podsOK     bool
	servers    []Member // the pod list as last seen
	sentinels  []*simSentinel
	desired    string
	desires    bool
	turns      int // looks
	acts       int // looks with an effect
}

// clock is the present moment.
func (w *world) clock() time.Time { return epoch.Add(w.now) }

// boot is the start of the container.
func (s *simServer) boot(w *world) {
	filed, worth := s.memory.Worth.Filed, Standing{Empty: true}
	filed.Broken = false
	if w.persistence && s.disk.writes > 0 {
		worth = filed
	}
	fresh := simServer{pod: s.pod, disk: s.disk, corrupt: s.corrupt, hungryUntil: s.hungryUntil, saved: s.saved, acks: map[*simServer]time.Duration{}}
	fresh.memory = NewMemory(worth, epoch.Add(max(w.now, s.upAt)))
	fresh.memory.Worth.Filed = filed
	*s = fresh
}

// mark and elapsed keep the clocks of the world; 0 is "not".
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
		s.memory.ProcessEnded(true, w.persistence, w.clock())
	}
	s.wasRunning = s.redis.running
	if w.apiServes(&s.pod) {
		s.podsOK, s.servers, s.sentinels = true, nil, append([]*simSentinel(nil), w.sentinels...)
		for _, other := range w.servers {
			s.servers = append(s.servers, other.Member)
		}
	}
	before := s.memory.Decided
	s.plan = s.look(w)
	o, d := s.plan.Seen, s.plan.Decision
	if d.Reason != before.Reason || d.Action != before.Action {
		w.logf("%s: %v, %v: %s", s.Name, d.State, d.Action, d.Reason)
	}
	mark(&s.heldAt, s.plan.Pause, w.now)
	s.label(w, d)
	s.act(w, o, d)
	s.keepRecord(w, o)
	s.keepStanding(o)
	s.tune(w)
}

// label is what labels.Labeller does.
func (s *simServer) label(w *world, d Decision) {
	switch d.Label {
	case MasterLabel:
		s.desired, s.desires = Master, true
	case SlaveLabel:
		s.desired, s.desires = Slave, true
	case ClearLabel:
		s.desired, s.desires = "", true
	case HoldLabel:
		s.desires = false
	}
	if !s.desires || s.desired == s.Label || !w.apiServes(&s.pod) {
		return
	}
	w.logf("%s is labelled %q", s.Name, s.desired)
	s.Label = s.desired
	s.acts++
	r := w.record
	if s.desired == Master && !r.Names(s.record(), s.memory.Own) && !r.LeftToAnother(s.record(), w.clock()) && !r.TakenSince(s.memory.Record.Generation, s.record()) {
		s.written = s.claimRecord(w, r)
	}
}

// claimRecord writes this pod into the record as the master. It gives nil if somebody has written since the record was read.
func (s *simServer) claimRecord(w *world, read record.Record) *record.Record {
	w.giveUp(s, false, nil) // a master of the past that comes back may be the only one that is left
	written, ok := w.write(read.Claim(s.record()))
	if !ok {
		return nil
	}
	w.logf("%s is recorded as master %d", s.Name, written.Generation)
	return &written
}

// write writes the record, unless somebody has written it since it was read.
func (w *world) write(r record.Record) (record.Record, bool) {
	if r.Version != w.record.Version {
		return r, false
	}
	w.writes++
	r.Version = fmt.Sprint(w.writes)
	w.record = r
	return r, true
}

// keepRecord is agent.keepRecord.
func (s *simServer) keepRecord(w *world, o Observation) {
	own, write := s.memory.Unrecorded(o)
	if !write || s.Label != Master || !w.apiServes(&s.pod) || !s.memory.Rewrites(w.clock()) {
		return
	}
	switch read := s.memory.Record; {
	case read.Names(s.record(), own):
	case read.Version != w.record.Version:
		s.memory.ReadAgain()
	default:
		s.memory.SetOwnRecord(*s.claimRecord(w, read), w.clock())
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
	case FailOver, Nudge, ReplaceDead, ReplaceSilent:
		s.failOver(w, o, d)
	case CallOff:
		s.callOff(w, d.Target)
	}
}

// claim is agent.claim.
func (s *simServer) claim(w *world, o Observation) {
	if !w.apiServes(&s.pod) || len(s.servers) != len(w.servers) {
		return
	}
	read := s.memory.Record
	if read.Version != w.record.Version {
		s.memory.ReadAgain()
		return
	}
	w.logf("%s claims mastership", s.Name)
	s.memory.Claimed = true
	w.giveUp(s, true, nil)
	if !read.Names(s.record(), s.memory.Own) {
		s.memory.SetOwnRecord(*s.claimRecord(w, read), w.clock())
	}
	if !o.Local.Running {
		s.start(w, netip.Addr{})
		if !s.redis.running {
			return
		}
		s.wasRunning = true
	}
	if !s.redis.master {
		w.mayBecomeMaster(s)
		s.becomeMaster(w, "claim")
	}
	s.memory.MadeMaster(true)
}

// keepStanding is agent.keepStanding.
func (s *simServer) keepStanding(o Observation) {
	if !s.memory.Held.Copied {
		s.vouched = s.disk
	}
	if s.redis.running {
		s.memory.Settle(o)
	}
}

// tune is agent.tune.
func (s *simServer) tune(w *world) {
	if s.memory.AppendsAgain(s.plan.Seen) {
		s.redis.unwritten, s.redis.rewriteEnds = false, w.now+w.rewriteTakes
	}
	if s.plan.Seen.Local.Answering {
		s.redis.priority = s.plan.Promotable
	}
	if s.plan.SetMinReplicas {
		s.redis.needs, s.memory.MinReplicas = s.plan.MinReplicas, s.plan.MinReplicas
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
		if other.alive(w) && other.memory.Held.InSync && other.redis.data.writes > 0 || other.up(w) && other.turns > 0 && other.disk.writes > 0 && !other.memory.Worth.Filed.Empty {
			w.fail("%s becomes master empty, but %s has data", s.Name, other.Name)
		}
	}
}
