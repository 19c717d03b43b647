package role

import (
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// simSentinel is a sentinel pod: Sentinel itself, its file, and what its
// launcher remembers between its turns.
type simSentinel struct {
	pod
	running bool
	believes
	file *believes // what is left of it when the container starts again

	told      map[netip.Addr]told // by replica
	heard     time.Duration       // last answer of the master
	slaveAt   time.Duration       // the master says it is a replica since
	wrongAt   map[netip.Addr]time.Duration
	triedAt   time.Duration // last failover it led or voted for
	leads     *failover
	down      bool
	sdownAt   time.Duration
	lostAt    time.Duration // the master is found lost since then
	startedAt time.Duration

	memory  SentinelMemory
	servers []Member // the pod list as last seen
	acts    int
}

// believes is what a sentinel knows and keeps.
type believes struct {
	master                    netip.Addr
	configEpoch, currentEpoch int64
	vote                      sentinel.Vote // the last
	replicas                  map[netip.Addr]bool
}

// told is what a server told of itself when it was last seen as a replica: Sentinel
// goes by that also where the server has become a master since.
type told struct {
	offset   int64
	priority bool
}

// failover is one that a sentinel leads.
type failover struct {
	target netip.Addr
	epoch  int64
	since  time.Duration
	told   bool // by command, and not elected
	sent   bool // the order to become master, which goes out once
}

func (w *world) sentinelAt(ip netip.Addr) *simSentinel {
	for _, s := range w.sentinels {
		if s.IP == ip {
			return s
		}
	}
	return nil
}

func (s *simSentinel) view(w *world) View {
	v := View{
		Reach: Answered, HasMaster: true, Master: s.master, Known: simSentinels, ConfigEpoch: s.configEpoch, Down: s.down, DownFor: elapsed(s.sdownAt, w.now), Silent: w.now - s.heard,
		FailingOver: s.leads != nil,
	}
	if s.leads != nil {
		v.Chosen = s.leads.target
	}
	if s.leads != nil && s.down && !s.leads.told {
		v.Promoting = s.leads.target
	}
	return v
}

// seen gives a server whose Redis answers this sentinel.
func (s *simSentinel) seen(w *world, ip netip.Addr) *simServer {
	r := w.serverAt(ip)
	if r == nil || !r.alive(w) || !reaches(&s.pod, &r.pod) {
		return nil
	}
	return r
}

// peers gives the other sentinels that answer this one.
func (s *simSentinel) peers(w *world) []*simSentinel {
	var out []*simSentinel
	for _, other := range w.sentinels {
		if other != s && other.running && w.now >= other.thawAt && reaches(&s.pod, &other.pod) {
			out = append(out, other)
		}
	}
	return out
}

// run is half a second of Sentinel itself.
func (s *simSentinel) run(w *world) {
	if !s.running || w.now < s.thawAt {
		return
	}
	s.gossip(w)
	s.ask(w)
	m := s.seen(w, s.master)
	mark(&s.slaveAt, m != nil && !m.redis.master, w.now)
	if m != nil {
		s.heard = w.now
	}
	s.down = w.now-s.heard > simDownAfter || elapsed(s.slaveAt, w.now) > simDownAfter+2*time.Second
	mark(&s.sdownAt, s.down, w.now)
	switch {
	case s.leads != nil:
		s.promote(w)
	case s.down:
		s.seekElection(w)
	case m != nil && m.redis.master:
		s.correct(w, m)
	}
}

// ask has the replicas tell their offset and priority (INFO).
func (s *simSentinel) ask(w *world) {
	for ip := range s.replicas {
		if r := s.seen(w, ip); r != nil && !r.redis.master {
			s.told[ip] = told{offset: r.redis.offset, priority: r.redis.priority}
		}
	}
}

// gossip takes over a configuration with a later epoch.
func (s *simSentinel) gossip(w *world) {
	for _, other := range s.peers(w) {
		s.currentEpoch = max(s.currentEpoch, other.currentEpoch)
		switch {
		case other.configEpoch <= s.configEpoch:
		case other.master == s.master:
			s.configEpoch = other.configEpoch
		default:
			s.switchTo(w, other.master, other.configEpoch)
		}
	}
}

func (s *simSentinel) switchTo(w *world, ip netip.Addr, configEpoch int64) {
	w.logf("%s switches to master %v (epoch %d)", s.Name, ip, configEpoch)
	s.replicas[s.master] = true
	delete(s.replicas, ip)
	s.currentEpoch = max(s.currentEpoch, configEpoch) // as a hello does
	s.master, s.configEpoch, s.leads, s.triedAt = ip, configEpoch, nil, -time.Hour
	s.heard, s.slaveAt, s.down, s.wrongAt = w.now, 0, false, map[netip.Addr]time.Duration{}
}

// seekElection starts a failover where enough sentinels agree.
func (s *simSentinel) seekElection(w *world) {
	agree, reached := 1, 1
	for _, other := range s.peers(w) {
		reached++
		if other.down && other.master == s.master {
			agree++
		}
		if other.leads != nil {
			return
		}
	}
	if agree < simSentinels/2+1 || reached < simSentinels/2+1 || w.now-s.triedAt < 2*failoverTimeout {
		return
	}
	s.currentEpoch++
	s.triedAt = w.now
	votes := 0
	for _, other := range append(s.peers(w), s) {
		if other.voteFor(w, s.Name, s.currentEpoch) == (sentinel.Vote{Leader: s.Name, Epoch: s.currentEpoch}) {
			votes++
		}
	}
	if votes > simSentinels/2 {
		s.lead(w)
	}
}

// voteFor is the answer to a request for a vote (sentinelVoteLeader): once for each epoch, and for none before the latest known.
func (s *simSentinel) voteFor(w *world, candidate string, epoch int64) sentinel.Vote {
	s.currentEpoch = max(s.currentEpoch, epoch)
	if s.vote.Epoch < epoch && s.currentEpoch <= epoch {
		s.vote, s.triedAt = sentinel.Vote{Leader: candidate, Epoch: epoch}, w.now
	}
	return s.vote
}

// lead starts a failover to the best replica, if there is one.
func (s *simSentinel) lead(w *world) bool {
	var best *simServer
	offset := func(r *simServer) int64 { return s.told[r.IP].offset }
	for _, r := range w.servers {
		known, ok := s.told[r.IP]
		promotable := !ok && r.redis.master || known.priority
		if s.replicas[r.IP] && s.seen(w, r.IP) != nil && !s.findsTooOld(w, r) && promotable &&
			(best == nil || offset(r) > offset(best)) {
			best = r
		}
	}
	if best == nil {
		return false
	}
	w.logf("%s fails over from %v to %s", s.Name, s.master, best.Name)
	w.giveUp(best, false, s) // others may answer when it is promoted, half a second after the choice
	s.leads = &failover{target: best.IP, epoch: s.currentEpoch, since: w.now}
	return true
}

// findsTooOld is Sentinel's rule for replicas that lost their master long before it was found down.
func (s *simSentinel) findsTooOld(w *world, r *simServer) bool {
	return elapsed(r.redis.lostAt, w.now) > 10*simDownAfter+elapsed(s.sdownAt, w.now)
}

// failOver is the command SENTINEL FAILOVER.
func (s *simSentinel) failOver(w *world) bool {
	s.currentEpoch++
	if s.leads != nil || !s.lead(w) {
		return false
	}
	s.leads.told = true
	return true
}

// promote carries a failover on: first the replica, then the configuration.
func (s *simSentinel) promote(w *world) {
	target := s.seen(w, s.leads.target)
	switch {
	case w.now-s.leads.since > failoverTimeout:
		s.leads, s.triedAt = nil, w.now
	case target == nil:
	case !target.redis.master && s.leads.sent:
	case !target.redis.master:
		s.leads.sent = true
		target.becomeMaster(w, "promoted by "+s.Name)
	default:
		w.giveUp(target, false, nil) // it may be a master of the past, which Sentinel takes for a replica
		old := s.master
		s.switchTo(w, target.IP, s.leads.epoch)
		for ip := range s.replicas {
			if r := s.seen(w, ip); r != nil && ip != old && !r.redis.master {
				r.follow(w, target.IP)
			}
		}
	}
}

// correct learns the master's replicas and, after a while, brings known servers
// that are astray back to it.
func (s *simSentinel) correct(w *world, m *simServer) {
	for r := range m.acks {
		if r.redis.running && !r.redis.master && r.redis.follows == m.IP {
			s.replicas[r.IP] = true
		}
	}
	for ip := range s.replicas {
		r := s.seen(w, ip)
		at := s.wrongAt[ip]
		mark(&at, r != nil && (r.redis.master || r.redis.follows != s.master), w.now)
		s.wrongAt[ip] = at
		if elapsed(at, w.now) > failoverTimeout {
			r.follow(w, s.master)
		}
	}
}

// turn is one round of the sentinel's launcher.
func (s *simSentinel) turn(w *world) {
	if !s.up(w) {
		return
	}
	if w.apiServes(&s.pod) {
		s.servers = nil
		for _, other := range w.servers {
			s.servers = append(s.servers, other.Member)
		}
	}
	if s.servers == nil {
		return
	}
	s.unlabelLost(w)
	before := s.memory.Decided.Reason
	o, d := s.look(w)
	if d.Reason != before {
		w.logf("%s: %s", s.Name, d.Reason)
	}
	for _, m := range d.Clear {
		s.acts++
		if other := w.serverAt(m.IP); w.apiServes(&s.pod) && other != nil && other.UID == m.UID && other.Label == Master {
			w.logf("%s takes the label off %s", s.Name, m.Name)
			other.Label = ""
		}
	}
	if d.Action != SentinelWait {
		s.acts++
		s.seed(w, d, o)
	}
}

// finds says whether the sentinel finds its master lost.
func (s *simSentinel) finds(w *world) bool { return FindsLost(s.down, w.now-s.heard, simDownAfter) }

// unlabelLost is agent.unlabelLost, which is called when the master is first found lost.
func (s *simSentinel) unlabelLost(w *world) {
	before := s.lostAt
	mark(&s.lostAt, s.running && s.finds(w), w.now)
	if s.lostAt == 0 || before != 0 || !w.apiServes(&s.pod) {
		return
	}
	promotable := false
	for ip, t := range s.told {
		promotable = promotable || t.priority && ip != s.master && s.seen(w, ip) != nil
	}
	down := 0
	for _, other := range append(s.peers(w), s) {
		if other.finds(w) && other.master == s.master {
			down++
		}
	}
	for _, m := range s.servers {
		master := w.serverAt(m.IP)
		if promotable && down > simSentinels/2 && m.IP == s.master && master != nil && master.UID == m.UID && master.Label == Master {
			w.logf("%s takes the label off %s, which is lost", s.Name, m.Name)
			master.Label = ""
			s.acts++
		}
	}
}

// look is agent.look: it asks what SentinelMemory.Step wants to know.
func (s *simSentinel) look(w *world) (SentinelObservation, SentinelDecision) {
	facts := s.begin(w)
	for {
		next, decision, ask := s.memory.Step(facts, w.clock())
		if ask == (SentinelQuestions{}) {
			s.memory = next
			return facts.SentinelObservation, decision
		}
		if ask.Servers {
			facts.Servers, facts.Asked.Servers = s.askServers(w), true
		}
		if ask.Record {
			facts.MasterUID, facts.RecordFailed, facts.Asked.Record = w.record.Master.UID, !w.apiServes(&s.pod), true
		}
	}
}

// askServers asks the servers. It also asks the launcher of a replica without a link: only that launcher knows whether the replica holds data.
func (s *simSentinel) askServers(w *world) (out []Peer) {
	for _, m := range s.servers {
		p := w.ask(&s.pod, m, false)
		if p.Redis == Answered && !p.Master && !p.LinkUp {
			p = w.ask(&s.pod, m, true)
		}
		out = append(out, p)
	}
	return out
}

// begin is what the sentinels tell.
func (s *simSentinel) begin(w *world) SentinelFacts {
	o := SentinelObservation{Running: s.running, Configured: simSentinels, FailoverTimeout: failoverTimeout, First: true}
	for i, other := range w.sentinels {
		if other == s {
			o.Turn = int(w.now/(10*time.Second))%simSentinels == i
			if s.running {
				o.Own = s.view(w)
			}
			continue
		}
		v := View{}
		if reaches(&s.pod, &other.pod) && w.now >= other.thawAt {
			if v.Reach = Refused; other.running {
				v = other.view(w)
			}
		}
		o.First = o.First && !(v.Reach == Answered && other.Name < s.Name)
		o.Others = append(o.Others, v)
	}
	if s.file != nil {
		o.FileMaster = s.file.master
	}
	exists := map[netip.Addr]bool{}
	for _, m := range s.servers {
		exists[m.IP] = true
	}
	for ip := range s.replicas {
		o.Replicas = append(o.Replicas, ip)
		o.Stale = o.Stale || !exists[ip]
	}
	return SentinelFacts{SentinelObservation: o, Pods: s.servers, Remembered: true}
}

// seed starts the sentinel with what is true now.
func (s *simSentinel) seed(w *world, d SentinelDecision, o SentinelObservation) {
	b := believes{master: d.Master, replicas: map[netip.Addr]bool{}}
	known := s.believes
	if !s.running && s.file != nil {
		known = *s.file
	}
	b.currentEpoch = known.currentEpoch
	if known.master == d.Master {
		b.configEpoch = known.configEpoch
	}
	for _, other := range s.peers(w) {
		if other.master == d.Master {
			b.configEpoch = max(b.configEpoch, other.configEpoch)
		}
		b.currentEpoch = max(b.currentEpoch, other.configEpoch, other.currentEpoch)
	}
	if d.NewEpoch {
		b.currentEpoch++
		b.configEpoch = b.currentEpoch
	}
	for _, m := range s.servers {
		if m.IP != d.Master && !m.Terminating && !o.NoReplica(m.IP) {
			b.replicas[m.IP] = true
		}
	}
	w.logf("%s starts with master %v (epoch %d)", s.Name, b.master, b.configEpoch)
	s.running, s.believes, s.told, s.leads, s.triedAt = true, b, map[netip.Addr]told{}, nil, -time.Hour
	s.heard, s.slaveAt, s.down, s.wrongAt = w.now, 0, false, map[netip.Addr]time.Duration{}
}

// stop ends Sentinel; its file is left.
func (s *simSentinel) stop() {
	if s.running {
		kept := s.believes
		s.running, s.file, s.leads, s.down = false, &kept, nil, false
	}
}
