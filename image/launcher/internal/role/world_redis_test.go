package role

import (
	"net/netip"
	"time"
)

// data are a server's keys: how many writes went into them.
type data struct {
	writes int64
	last   *write
}

// write is one that a client has been told of, after all those before it.
type write struct {
	at     time.Duration
	before *write
}

// accept takes a write. Clients come by the label, and stay until the server is a
// replica; a master that never had it has none.
func (s *simServer) accept(w *world) {
	done := &write{at: w.now, before: s.redis.data.last}
	s.redis.data = data{writes: s.redis.data.writes + 1, last: done}
	if s.redis.clients = s.redis.clients || s.Label == Master; s.redis.clients {
		w.accepted = append(w.accepted, done)
	}
}

// lost counts the writes accepted after a moment that are not in some data.
func (w *world) lost(since time.Duration, kept data) (lost int, latest time.Duration) {
	in := map[*write]bool{}
	for at := kept.last; at != nil; at = at.before {
		in[at] = true
	}
	for _, done := range w.accepted {
		if done.at > since && !in[done] {
			lost, latest = lost+1, done.at
		}
	}
	return lost, latest
}

// redis is the process of a server pod.
type redis struct {
	running  bool
	frozen   time.Duration // until then
	master   bool
	follows  netip.Addr
	linkUp   bool
	lostAt   time.Duration // of a replica: when the link to its master ended; 0: it is up, or never was
	heard    time.Duration // of a replica: when its master was last heard of
	data     data
	priority bool // it may be promoted
	needs    int  // min-replicas-to-write
	clients  bool // it has been labelled since it is master
}

// alive says whether the process answers.
func (s *simServer) alive(w *world) bool {
	return s.redis.running && w.now >= s.thawAt && w.now >= s.redis.frozen
}

// online counts the replicas that have acknowledged lately. A connection that
// was closed counts no more at once, one that merely broke when it lags.
func (s *simServer) online(w *world) (n int) {
	for r, at := range s.acks {
		closed := reaches(&r.pod, &s.pod) && (!r.redis.running || r.redis.master || r.redis.follows != s.IP)
		if !closed && w.now-at <= simMaxLag {
			n++
		}
	}
	return n
}

// accepts says whether a client that reaches the server can write.
func (s *simServer) accepts(w *world) bool {
	return s.alive(w) && s.redis.master && s.online(w) >= s.redis.needs
}

func (s *simServer) becomeMaster(w *world, how string) {
	s.redis.master, s.redis.linkUp, s.redis.follows, s.redis.lostAt = true, false, netip.Addr{}, 0
	s.acks = map[*simServer]time.Duration{}
	w.logf("%s is master (%s) with %d writes", s.Name, how, s.redis.data.writes)
}

func (s *simServer) follow(w *world, ip netip.Addr) {
	if s.redis.follows == ip && !s.redis.master {
		return
	}
	w.logf("%s follows %v", s.Name, ip)
	s.redis.master, s.redis.clients, s.redis.linkUp, s.redis.follows, s.redis.heard, s.redis.lostAt = false, false, false, ip, w.now, 0
}

// brokenAfter is that of package agent.
const brokenAfter = 4

// start starts the process on what is on disk, as a replica that must not be
// promoted before it has synchronised. It ends at once where Redis cannot load
// that; a replica puts it aside after a while.
func (s *simServer) start(master netip.Addr) {
	if s.corrupt {
		if s.crashes < brokenAfter || !master.IsValid() {
			s.crashes++
			s.claimed, s.standing.Broken = false, s.crashes >= brokenAfter
			return
		}
		s.corrupt, s.crashes, s.disk, s.standing = false, 0, data{}, Standing{Empty: true}
	}
	s.crashes = 0
	s.redis = redis{running: true, follows: master, heard: -linkTimeout}
	if s.disk.writes > 0 {
		s.redis.data = s.disk
	}
	s.acks = map[*simServer]time.Duration{}
}

func (s *simServer) kill(w *world) {
	w.logf("redis of %s dies", s.Name)
	s.redis = redis{}
	s.acks = map[*simServer]time.Duration{}
}

// serve is what clients write in half a second.
func (s *simServer) serve(w *world) {
	if s.accepts(w) {
		s.accept(w)
	}
}

// replicate is half a second of replication, and of the disk.
func (s *simServer) replicate(w *world) {
	if !s.alive(w) {
		return
	}
	if !s.redis.master {
		s.receive(w)
	}
	if w.persistence {
		s.disk = s.redis.data
	}
}

// receive is half a second of a replica.
func (s *simServer) receive(w *world) {
	m := w.serverAt(s.redis.follows)
	gone := m == nil || !m.redis.running
	reached := !gone && reaches(&m.pod, &s.pod) && m.alive(w) && (m.redis.master || m.redis.linkUp)
	switch {
	case w.now < s.hungryUntil:
		s.loseLink(w)
		return
	case reached && !s.redis.linkUp:
		if s.synced && s.redis.data.writes > 0 && m.redis.data.writes == 0 {
			w.fail("%s with %d writes is wiped by %s, which is empty", s.Name, s.redis.data.writes, m.Name)
		}
		s.redis.linkUp, s.redis.lostAt = true, 0
		w.logf("%s is in sync with %s", s.Name, m.Name)
	case reached:
	case gone && (m == nil || reaches(&m.pod, &s.pod)), w.now-s.redis.heard > linkTimeout:
		// The connection was closed, or nothing has come for too long.
		s.loseLink(w)
		return
	default:
		return
	}
	s.redis.heard, s.redis.data = w.now, m.redis.data
	m.acks[s] = w.now
}

// loseLink is the end of the connection to the master.
func (s *simServer) loseLink(w *world) {
	if s.redis.linkUp {
		s.redis.linkUp, s.redis.lostAt = false, w.now
	}
}
