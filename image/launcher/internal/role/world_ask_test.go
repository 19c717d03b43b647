package role

import (
	"net/netip"
)

// look is agent.look: it asks what Memory.Step wants to know.
func (s *simServer) look(w *world) Plan {
	facts := s.begin(w)
	for {
		next, plan := s.memory.Step(facts, w.clock())
		if plan.Ask == (Questions{}) {
			s.memory, s.written = next, nil
			return plan
		}
		s.answer(w, plan.Ask, &facts)
	}
}

// begin is what is known without asking anybody else.
func (s *simServer) begin(w *world) Facts {
	s.turnAt = w.now
	facts := Facts{Began: w.clock(), Self: s.Member, Own: s.askOwn(w), PodsKnown: s.podsOK, Settings: w.settings()}
	for _, m := range s.servers {
		if m.UID == s.UID {
			facts.Self = m
		}
	}
	facts.Written = s.written
	return facts
}

// settings are those of every release.
func (w *world) settings() Settings {
	return Settings{Servers: simServers, Sentinels: simSentinels, Quorum: simSentinels/2 + 1, DownAfter: simDownAfter, Persistence: w.persistence, VolumesKept: w.kept, MinReplicas: simMinReplicas}
}

// answer gets the answers to questions.
func (s *simServer) answer(w *world, q Questions, facts *Facts) {
	if q.Sentinels {
		s.views = s.askSentinels(w)
		facts.Views, facts.Asked.Sentinels = s.views, true
	}
	if q.Servers {
		facts.Peers, facts.Asked.Servers = s.askPeers(w), true
	}
	if q.Record {
		facts.Record, facts.RecordFailed, facts.Asked.Record = w.record, !w.apiServes(&s.pod), true
	}
	if q.Master.IsValid() {
		facts.Told, facts.Asked.Master = s.askMaster(w, q.Master), q.Master
	}
}

// askOwn asks the own Redis.
func (s *simServer) askOwn(w *world) Own {
	own := Own{At: w.clock(), Running: s.redis.running, Answered: s.alive(w)}
	if !own.Answered {
		return own
	}
	r := s.redis
	own.Look, own.Follows, own.Unlinked, own.Online = s.lookAt(w), r.follows, elapsed(r.lostAt, w.now), s.online(w)
	return own
}

// askMaster asks the master of a replica, which always tells at once.
func (s *simServer) askMaster(w *world, ip netip.Addr) (told Told) {
	m := w.serverAt(ip)
	if m == nil || !reaches(&m.pod, &s.pod) || !m.alive(w) || !m.redis.master {
		return told
	}
	told.History = m.redis.history.ID
	if m.up(w) {
		standing := m.memory.Worth.Standing
		told.AtLeast = Standing{Generation: standing.Generation, Epoch: standing.Epoch}
		if standing.Master {
			told.Master = &standing
		}
	}
	return told
}

// lookAt is agent.lookOf.
func (s *simServer) lookAt(w *world) Look {
	s.redis.inSync = s.redis.inSync && !s.redis.copying
	r := s.redis
	return Look{Master: r.master, LinkUp: r.linkUp, Lost: !r.master && !r.linkUp && r.lostAt != 0, Syncing: r.copying, Rewriting: w.now < r.rewriteEnds, Unwritten: r.unwritten, History: r.history,
		Offset: r.offset, BacklogFrom: r.backlogFrom}
}

func (s *simServer) askSentinels(w *world) []View {
	var out []View
	s.asked = s.sentinels
	for _, other := range s.sentinels {
		v := View{Reach: Unknown}
		switch exists := w.sentinelAt(other.IP) == other; {
		case !exists || !reaches(&s.pod, &other.pod) || w.now < other.thawAt:
		case !other.running:
			v.Reach = Refused
		default:
			v = other.view(w)
		}
		out = append(out, v)
	}
	return out
}

func (s *simServer) askPeers(w *world) []Peer {
	var out []Peer
	for _, m := range s.servers {
		if m.UID != s.UID {
			out = append(out, w.ask(&s.pod, m, true))
		}
	}
	return out
}

// ask asks a server for its role and, if wanted, its launcher for its status.
func (w *world) ask(from *pod, m Member, status bool) Peer {
	p := Peer{Member: m}
	other := w.serverAt(m.IP)
	if other == nil || !reaches(from, &other.pod) || w.now < other.thawAt {
		return p
	}
	switch {
	case !other.redis.running:
		p.Redis = Refused
	case other.alive(w):
		p.Redis, p.Master, p.LinkUp, p.Offset = Answered, other.redis.master, other.redis.linkUp, other.redis.offset
		p.History = other.redis.history
		p.Unlinked = elapsed(other.redis.lostAt, w.now)
	}
	if status {
		p.Launcher = Refused
		if other.up(w) {
			p.Launcher = Answered
		}
	}
	if status && other.up(w) && other.turns > 0 {
		p.Status = &Status{UID: other.UID, Claimed: other.memory.Claimed, Synced: other.redis.running && other.memory.Held.InSync, Standing: other.memory.Worth.Standing, Volume: other.Volume}
	}
	return p
}
