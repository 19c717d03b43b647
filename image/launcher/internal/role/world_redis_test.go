package role

import (
	"fmt"
	"net/netip"
	"slices"
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
	by     *simServer
	before *write

	// confirmed: a replica in sync had it as well when the client was told, as WAIT 1 tells. It counts for
	// nothing where the record names another master: this one and its replica had stood still together.
	confirmed bool
	// keepers are the servers that had it then, and that no fault of the life has deprived of it since.
	keepers []*simServer
	// givenUp: a server became master without it when none of its keepers could be asked; see giveUp.
	givenUp bool
}

// accept takes a write of a size in bytes of the replication stream. Clients come by
// the label, and stay until the server is a replica; a master that never had it has none.
func (s *simServer) accept(w *world, size int64) {
	done := &write{at: w.now, by: s, before: s.redis.data.last}
	s.redis.data = data{writes: s.redis.data.writes + 1, last: done}
	s.redis.offset += size
	if s.redis.clients = s.redis.clients || s.Label == Master; s.redis.clients {
		w.accepted = append(w.accepted, done)
	}
}

// in gives the writes that went into some data.
func (d data) in() map[*write]bool {
	in := map[*write]bool{}
	for at := d.last; at != nil; at = at.before {
		in[at] = true
	}
	return in
}

// until gives what went in before a moment.
func (d data) until(moment time.Duration) data {
	for d.last != nil && d.last.at > moment {
		d.last, d.writes = d.last.before, d.writes-1
	}
	return d
}

// standingLag is how long after the record of a new master the standing on a disk may be
// that of the generation before: two looks of a slow launcher, and the pause after a
// record that could not be read.
const standingLag = 5 * time.Second

// holds says whether a write went into some data.
func (d data) holds(searched *write) bool {
	at := d.last
	for at != nil && at != searched && at.at >= searched.at {
		at = at.before
	}
	return at == searched && at != nil
}

// lost counts the writes accepted after a moment that are not in some data.
func (w *world) lost(since time.Duration, kept data) (lost int, latest time.Duration) {
	in := kept.in()
	for _, done := range w.accepted {
		if done.at > since && !in[done] {
			lost, latest = lost+1, done.at
		}
	}
	return lost, latest
}

// confirm notes the writes of this step that a replica in sync has.
func (w *world) confirm() {
	for i := len(w.accepted) - 1; i >= 0 && w.accepted[i].at == w.now; i-- {
		done := w.accepted[i]
		for _, s := range w.servers {
			replica := s.alive(w) && s.redis.linkUp && s.redis.data.holds(done)
			done.confirmed = done.confirmed || replica && done.by.UID == w.record.Master.UID && !w.replaced(done.by)
			if (replica || s == done.by) && !s.corrupt {
				done.keepers = append(done.keepers, s)
			}
		}
	}
}

// replaced says whether another server has been made master in place of one that has not
// heard of it yet: what is written there is lost, and WAIT 1 asks a replica that has not heard of it either.
func (w *world) replaced(s *simServer) bool {
	return slices.ContainsFunc(w.servers, func(other *simServer) bool {
		return other != s && other.redis.running && other.redis.master && other.redis.masterSince > s.redis.masterSince
	})
}

// owed gives the writes that a replica in sync had confirmed, that are not in some
// data, and that nobody had to give up.
func (w *world) owed(to data) (owed []*write) {
	in := to.in()
	for _, done := range w.accepted {
		if done.confirmed && !done.givenUp && !in[done] {
			owed = append(owed, done)
		}
	}
	return owed
}

// unkept gives the writes that are owed to some data although a server that had them
// was never deprived of them by a fault.
func (w *world) unkept(to data) []*write {
	return slices.DeleteFunc(w.owed(to), func(done *write) bool { return len(done.keepers) == 0 })
}

// deprive notes that a fault leaves a server with no more than some data.
func (w *world) deprive(s *simServer, left data) {
	in := left.in()
	for _, done := range w.accepted {
		if i := slices.Index(done.keepers, s); i >= 0 && !in[done] {
			done.keepers = slices.Delete(done.keepers, i, i+1)
		}
	}
}

// giveUp notes the confirmed writes that a new master lacks and may lack: nobody who had
// them could be asked. Who could be depends on how it became master.
//
//   - Sentinel promotes a replica in sync where no other one that has more answers: master
//     and replica failed at once, and WAIT 1 does not cover that. A replica that has started
//     again and has not synchronised yet is not in sync, whatever it has, and Sentinel does
//     not know of a master whose promotion nobody was told of. A sentinel that was cut off does
//     not know of a replica that has synchronised since. Sentinel also refuses a replica that lost
//     the master long before a majority of the sentinels could find it down.
//   - An election goes by the launchers that answer when its patience, which counts from
//     the beginning of the search, is over; or by those that it cannot ask for longer.
//   - Anybody else, as a former master that Sentinel takes for a replica, must not become
//     master before a holder has been gone for as long as an election waits. Its launcher sees to
//     that, in its first look after the pod can be reached again.
func (w *world) giveUp(s *simServer, elected bool, by *simSentinel) {
	asked := func(k *simServer) bool { return w.now-k.reachedAt <= electionPatience }
	switch {
	case !elected && s.redis.master && s.joinedAt > 0 && s.turnAt <= s.joinedAt:
		asked = func(*simServer) bool { return false }
	case elected:
		asked = func(k *simServer) bool { return w.now-k.reachedAt < step }
	case s.redis.inSync:
		asked = func(k *simServer) bool {
			known := by == nil || by.told[k.IP].priority && !by.findsTooOld(w, k)
			return k.alive(w) && !k.isolated && (k.redis.inSync && known || k.redis.master && w.record.Master.UID == k.UID)
		}
	}
	brings := s.redis.data
	if !s.redis.running {
		brings = s.disk
	}
	for _, done := range w.owed(brings) {
		if !slices.ContainsFunc(done.keepers, asked) {
			done.givenUp = true
		}
	}
}

// forgetPromotions is the loss of all sentinels at once. A promotion during an outage of the API
// is forgotten with them. The next master may be the master that the record still names.
func (w *world) forgetPromotions() {
	if w.apiDown {
		return // nothing is replaced without the API
	}
	for _, done := range w.accepted {
		done.givenUp = done.givenUp || done.by.UID != w.record.Master.UID
	}
}

// redis is the process of a server pod.
type redis struct {
	running bool
	frozen  time.Duration // until then
	master  bool
	follows netip.Addr
	linkUp  bool
	lostAt  time.Duration // of a replica: when the link to its master ended; 0: it is up, or never was
	heard   time.Duration // of a replica: when its master was last heard of
	unheard netip.Addr    // of a replica: a pod that went while this pod could not be told that its connections ended
	data    data
	process string  // run_id
	source  string  // of a replica: the run_id of the master that it is linked to
	history History // master_replid, master_replid2 and second_repl_offset
	offset  int64   // master_repl_offset, or slave_repl_offset of a replica
	// backlogFrom is repl_backlog_first_byte_offset: a full copy begins a new backlog.
	backlogFrom int64
	copying     bool // a full copy is being received; data and offset stay as they were until it is loaded
	copyEnds    time.Duration
	// rewriteEnds is when the first rewrite of the append-only file after a full copy ends
	// well. Until then the files hold what was there before (AOF_WAIT_REWRITE).
	rewriteEnds time.Duration
	unwritten   bool // it has started from a saved copy, and does not write its append-only file yet
	inSync      bool // it has been linked, and since then was neither master nor received a copy: what Held.InSync is to find out
	priority    bool // it may be promoted
	needs       int  // min-replicas-to-write
	clients     bool // it has been labelled since it is master
	masterSince time.Duration
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

// newID gives a run_id or replication ID that nobody has had.
func (w *world) newID() string {
	w.ids++
	return fmt.Sprintf("id-%d", w.ids)
}

// becomeMaster is REPLICAOF NO ONE: the history goes on under another ID (shiftReplicationId).
func (s *simServer) becomeMaster(w *world, how string) {
	w.giveUp(s, false, nil)
	r := &s.redis
	r.history = History{ID: w.newID(), Before: r.history.ID, BeforeUpTo: r.offset + 1}
	r.master, r.linkUp, r.follows, r.lostAt, r.copying, r.inSync = true, false, netip.Addr{}, 0, false, false
	r.masterSince = w.now
	s.acks = map[*simServer]time.Duration{}
	w.logf("%s is master (%s) with %d writes", s.Name, how, r.data.writes)
}

// follow is REPLICAOF. A former master keeps its data, its history and its own offset
// until it has got what it lacks, or a full copy (replicationCacheMasterUsingMyself).
func (s *simServer) follow(w *world, ip netip.Addr) {
	r := &s.redis
	if r.follows == ip && !r.master {
		return
	}
	w.logf("%s follows %v", s.Name, ip)
	r.master, r.clients, r.linkUp, r.follows, r.heard, r.lostAt, r.copying = false, false, false, ip, w.now, 0, false
}

// savedCopy is what the Redis of a leaving replica has saved: its data, and their place in the replication stream.
type savedCopy struct {
	data    data
	history string
	offset  int64
}

// save is agent.saveCopy. Its append-only file has the same data, unless a rewrite of it runs.
func (s *simServer) save(w *world) {
	if !s.alive(w) || !s.memory.SavesCopy(s.plan.Seen, time.Minute) {
		return
	}
	s.saved = &savedCopy{data: s.redis.data, history: s.redis.history.ID, offset: s.redis.offset}
	if w.now >= s.redis.rewriteEnds {
		s.disk = s.redis.data
	}
	w.logf("%s has saved a copy", s.Name)
}

// start starts the process on what is on disk, as a replica that must not be
// promoted before it has synchronised. It ends at once where Redis cannot load
// that; a replica puts it aside after a while. An append-only file tells neither
// history nor offset.
func (s *simServer) start(w *world, master netip.Addr) {
	if s.corrupt {
		if !s.restarts.Broken() || !master.IsValid() {
			s.restarts.Started = w.clock()
			s.restarts = s.restarts.After(false, w.clock())
			s.memory.Claimed, s.memory.Worth.Standing.Broken = false, s.restarts.Broken()
			return
		}
		s.corrupt, s.restarts, s.disk, s.memory.Worth.Standing = false, Restarts{}, data{}, Standing{Empty: true}
	}
	if w.persistence && s.memory.Worth.Standing.Empty {
		s.memory.Worth.Filed = s.memory.Worth.Standing
	}
	s.restarts = Restarts{}
	saved := s.saved
	s.saved = nil
	s.memory.ProcessStarted(saved != nil && master.IsValid(), w.clock())
	s.redis = redis{running: true, follows: master, heard: -linkTimeout, process: w.newID(), history: History{ID: w.newID()}}
	switch r := &s.redis; {
	case saved != nil && master.IsValid():
		r.data, r.history.ID, r.offset, r.unwritten = saved.data, saved.history, saved.offset, true
	case s.disk.writes > 0:
		r.data = s.disk
	}
	s.acks = map[*simServer]time.Duration{}
}

func (s *simServer) kill(w *world) {
	w.logf("redis of %s dies", s.Name)
	receiving, rewritten := s.redis.copying, w.now-s.redis.rewriteEnds
	s.redis = redis{}
	s.acks = map[*simServer]time.Duration{}
	w.deprive(s, s.disk)
	if !s.memory.Worth.Filed.Master {
		// Between equals an election goes by the offset that the last look found.
		w.deprive(s, s.disk.until(s.turnAt))
	}
	if s.memory.Held.Copied {
		// A copy before this one may have reached the files while this one came, and its launcher vouches for neither.
		w.deprive(s, s.vouched)
	}
	if s.memory.Held.Copied && (receiving || rewritten >= 0 && rewritten < standingLag) {
		// The copy may have reached the files. Its launcher does not vouch for them while the next copy
		// comes, nor before it has looked.
		w.deprive(s, data{})
	}
	if s.memory.Worth.Filed.Generation < w.record.Generation {
		// An election does not know what the last ones are worth, nor those from when the launcher could not read the record.
		w.deprive(s, s.disk.until(s.readsAt-standingLag))
	}
}

// serve is what clients write in half a second.
// A process that has just woken up serves nobody before its launcher has looked, or had it hold writes back.
func (s *simServer) serve(w *world) {
	woken := w.now-max(s.thawAt, s.redis.frozen) < step
	heldBack := s.heldAt > 0 && w.now-s.heldAt <= simDownAfter // by package writepause
	if s.accepts(w) && !woken && !heldBack {
		s.accept(w, 1)
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
	if w.persistence && w.now >= s.redis.rewriteEnds && !s.redis.unwritten {
		s.disk = s.redis.data
	}
}

// receive is half a second of a replica.
func (s *simServer) receive(w *world) {
	m := w.serverAt(s.redis.follows)
	gone := m == nil || !m.redis.running
	reached := !gone && reaches(&m.pod, &s.pod) && m.alive(w) && (m.redis.master || m.redis.linkUp)
	switch {
	case s.redis.linkUp && !gone && reaches(&m.pod, &s.pod) && m.redis.process != s.redis.source:
		s.loseLink(w) // the connection was to a process that has ended
	case reached && s.redis.linkUp && (w.now < s.hungryUntil || m.redis.history.ID != s.redis.history.ID):
		s.loseLink(w)
	case reached && s.redis.linkUp:
		s.take(w, m)
	case reached:
		s.synchronise(w, m)
	case gone && (m == nil && s.redis.unheard != s.redis.follows || m != nil && reaches(&m.pod, &s.pod)), w.now-s.redis.heard > linkTimeout:
		// The connection was closed, or nothing has come for too long.
		s.loseLink(w)
	}
}

// synchronise is PSYNC: the master sends what the replica lacks of its history, or a full copy.
func (s *simServer) synchronise(w *world, m *simServer) {
	r := &s.redis
	r.heard = w.now
	if !r.copying && w.now >= s.hungryUntil && m.continues(s) {
		if r.history.ID != m.redis.history.ID {
			r.history = History{ID: m.redis.history.ID, Before: r.history.ID, BeforeUpTo: r.offset + 1}
		}
		w.logf("%s is in sync with %s", s.Name, m.Name)
		s.take(w, m)
		return
	}
	if !r.copying {
		r.copying, r.copyEnds = true, max(w.now+w.copyTakes, s.hungryUntil)
		w.logf("%s receives a full copy of %s until %v", s.Name, m.Name, r.copyEnds)
	}
	if w.now >= r.copyEnds {
		s.load(w, m)
	}
}

// continues says whether a master can send a replica what it lacks (masterTryPartialResynchronization).
func (s *simServer) continues(r *simServer) bool {
	return s.redis.history.Continues(r.redis.history.ID, r.redis.offset) && r.redis.offset <= s.redis.offset
}

// load takes a full copy in place of what the server has.
func (s *simServer) load(w *world, m *simServer) {
	r := &s.redis
	if r.data.writes > 0 && m.redis.data.writes == 0 {
		w.fail("%s with %d writes is wiped by %s, which is empty", s.Name, r.data.writes, m.Name)
	}
	for _, done := range w.owed(m.redis.data) {
		if r.data.holds(done) {
			w.fail("%s has a write of %v that a replica had confirmed, and takes a copy of %s, which lacks it", s.Name, done.at, m.Name)
		}
	}
	r.copying, r.history, r.rewriteEnds = false, History{ID: m.redis.history.ID}, w.now+w.rewriteTakes
	w.logf("%s is in sync with %s, by a full copy that is on disk at %v", s.Name, m.Name, r.rewriteEnds)
	s.take(w, m)
	r.backlogFrom = r.offset + 1
}

// take brings a linked replica up to date.
func (s *simServer) take(w *world, m *simServer) {
	r := &s.redis
	r.linkUp, r.inSync, r.source, r.lostAt, r.heard = true, true, m.redis.process, 0, w.now
	r.data, r.offset = m.redis.data, m.redis.offset
	m.acks[s] = w.now
}

// loseLink is the end of the connection to the master.
func (s *simServer) loseLink(w *world) {
	if s.redis.linkUp {
		s.redis.linkUp, s.redis.lostAt = false, w.now
	}
	s.redis.copying = false
}
