package role

import (
	"slices"
	"time"
)

func (s *simServer) observe(w *world) Observation {
	wasInSync := s.held.InSync
	local := s.observeLocal(w)
	woken := s.turnAt > 0 && w.now-s.turnAt > stoodStill
	if s.turnAt = w.now; woken {
		s.recordAt = never
	}
	calm := !woken && s.decided.State == Serving && s.decided.Action == Wait && local.Answering && local.Master == (s.decided.Label == MasterLabel) && (local.Master || wasInSync) &&
		(!local.Master || s.Label == Master && s.recordOK && s.isRecorded(s.record, s.own))
	fresh := !calm || w.now-s.viewsAt >= time.Second
	if fresh {
		s.views, s.viewsAt = s.askSentinels(w), w.now
	}
	o := Observation{Sentinels: simSentinels, Views: s.views}
	agreed, ok := o.Agreed()
	calm = calm && ok && (local.Master && agreed == s.IP || !local.Master && agreed == local.Follows && local.LinkUp)
	s.calm = calm
	foundDown := fresh && slices.ContainsFunc(s.views, func(v View) bool { return v.Down && v.HasMaster && v.Master == local.Follows })
	var peers []Peer
	every := 300 * time.Millisecond
	if calm {
		every = 15 * time.Second
		if r := s.record; !local.Master && local.Follows != r.ip || local.Master && r.uid != s.UID {
			every = time.Second
		}
	}
	if !calm || !local.Master && foundDown {
		peers = s.askPeers(w)
		s.held = s.held.Beside(local, s.worth.Standing, s.worth.Of, peers)
		local.Synced = local.Answering && s.held.InSync
	}
	if w.now-s.recordAt >= every {
		if s.recordOK = w.apiServes(&s.pod); s.recordOK {
			s.readRecord(w)
		} else {
			s.record, s.recordAt = simRecord{}, w.now+time.Second
		}
	}
	r := s.record
	o = Observation{
		Self: s.Member, Local: local, Standing: s.worth.Standing,
		Servers: simServers, Sentinels: simSentinels, DownAfter: simDownAfter, Persistence: w.persistence, Views: s.views, Peers: peers,
		PodsKnown: true, RecordKnown: s.recordOK, Initialised: r.initialised, Generation: r.generation, MasterUID: r.uid, PreviousIP: r.previous,
		Waiting: w.now - s.since, GenerationFor: w.now - s.generationAt,
	}
	for _, m := range s.servers {
		if m.UID == s.UID {
			o.Self = m
		}
	}
	mark(&s.masterlessAt, !calm && !o.MasterInView() && !o.CutOff(), w.now)
	o.Masterless = elapsed(s.masterlessAt, w.now)
	if r.fence != "" {
		o.Fence = &Fence{UID: r.fence, Age: w.now - r.fencedAt, By: r.fencedBy, Successor: r.successor}
	}
	if local.Answering {
		s.confirmed = local.Master && (s.confirmed || ok && agreed == s.IP)
		s.recorded = local.Master && (s.recorded || r.uid == s.UID)
	}
	o.Local.Confirmed, o.Local.Recorded = s.confirmed, s.recorded
	epoch, named := o.NamedIn()
	o.Local.NamedAnew = named && epoch > s.worth.NamedIn
	down, _ := o.MasterIsDown()
	mark(&s.astrayAt, ok && local.Running && !local.Master && agreed != local.Follows, w.now)
	mark(&s.downAt, down, w.now)
	refused := false
	for _, p := range peers {
		refused = refused || ok && p.IP == agreed && p.Redis == Refused && p.Launcher == Refused
	}
	mark(&s.refusedAt, refused, w.now)
	o.Local.Astray, o.MasterDown, o.MasterRefused = elapsed(s.astrayAt, w.now), elapsed(s.downAt, w.now), elapsed(s.refusedAt, w.now)
	return o
}

func (s *simServer) observeLocal(w *world) Local {
	if !s.redis.running || !s.alive(w) {
		return Local{Running: s.redis.running}
	}
	r := s.redis
	if r.master != s.wasMaster || r.follows != s.followed {
		s.recordAt = never
	}
	if s.wasMaster && !r.master {
		s.own, s.worth.NamedIn = 0, 0
	}
	s.wasMaster, s.followed, s.byRecord = r.master, r.follows, s.byRecord && r.master
	if s.servedHistory = ""; r.master {
		s.servedHistory = r.history.ID
	}
	s.held = s.held.After(s.lookAt(w))
	mark(&s.masterAt, r.master, w.now)
	mark(&s.linkedAt, r.linkUp, w.now)
	mark(&s.linkDownAt, !r.master && !r.linkUp, w.now)
	return Local{
		Running: true, Answering: true, Master: r.master, Claimed: r.master && s.byRecord, Follows: r.follows, LinkUp: r.linkUp, Synced: s.held.InSync, Copied: s.held.Copied,
		Offset: r.offset, History: r.history, Online: s.online(w), MasterFor: elapsed(s.masterAt, w.now), Linked: elapsed(s.linkedAt, w.now), LinkDown: elapsed(s.linkDownAt, w.now), Unlinked: elapsed(r.lostAt, w.now),
	}
}

// lookAt is agent.lookOf.
func (s *simServer) lookAt(w *world) Look {
	s.redis.inSync = s.redis.inSync && !s.redis.copying
	r := s.redis
	return Look{Master: r.master, LinkUp: r.linkUp, Lost: !r.master && !r.linkUp && r.lostAt != 0, Syncing: r.copying, Rewriting: w.persistence && w.now < r.rewriteEnds, History: r.history,
		Offset: r.offset, BacklogFrom: r.backlogFrom}
}

func (s *simServer) askSentinels(w *world) []View {
	var out []View
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
		p.Status = &Status{UID: other.UID, Claimed: other.claimed, Synced: other.redis.running && other.held.InSync, Standing: other.worth.Standing}
	}
	return p
}
