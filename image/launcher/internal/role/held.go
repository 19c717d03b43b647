package role

import "time"

// History names a replication history as Redis does. A promoted replica begins a
// history with an ID of its own, which continues the history of its master up to
// an offset.
type History struct {
	ID         string // master_replid
	Before     string // master_replid2: the ID of the history that this one continues; zeros for none
	BeforeUpTo int64  // second_repl_offset: the first offset that the history before does not share
}

// Continues says whether a server that holds an offset of the history with this ID
// holds a part of h. Redis sends such a server what it lacks, and any other server
// a full copy (masterTryPartialResynchronization).
func (h History) Continues(id string, offset int64) bool {
	return id == h.ID || id == h.Before && offset < h.BeforeUpTo
}

// Is says whether both are the same history, which is known.
func (h History) Is(other History) bool { return h.ID != "" && h.ID == other.ID }

// Succeeds says whether h began with the promotion of a replica that had followed other:
// h is the later one of the two.
func (h History) Succeeds(other History) bool {
	return other.ID != "" && h.ID != other.ID && h.Before == other.ID
}

// Look is what one look at a running Redis process tells of its data.
type Look struct {
	Master  bool
	Loading bool // it loads its own file, or the copy that it has received
	LinkUp  bool // of a replica: connected to its master and in sync
	Lost    bool // of a replica: its link has been up and has ended
	Syncing bool // of a replica: it receives a full copy
	// Rewriting: a rewrite of the append-only file runs or is about to run. Failed: the last one did not succeed.
	Rewriting, Failed bool
	// Unwritten: Redis does not write its append-only file, as from when it begins to load a copy until the rewrite.
	Unwritten bool
	// LastSave is how long it took Redis to write all its data last; negative: this process has not.
	LastSave time.Duration
	History  History
	Offset   int64 // up to here it holds the history; 1 for a replica that has never been linked
	// BacklogFrom is the first offset of the replication backlog, which begins anew with each full copy.
	BacklogFrom int64
}

// Held is what one Redis process holds, as a sequence of looks tells. The zero
// value is a process that has just been started. Everything that asks whether a
// server may replace a master, and what its files are worth, asks Held.
type Held struct {
	// InSync: a replica that holds a part of the present history: its link to its master is
	// up, or has been up and has ended, and since then the process has been neither a master
	// nor loading nor receiving a full copy. A master is never in sync; when it becomes
	// a replica it keeps its own offset until it has the copy, and must not be promoted for it.
	InSync bool
	// Copied: data have come from the master that are not in the append-only file, as a full copy, or what a replica got that
	// does not write the file. Until the first rewrite after it has succeeded the files hold what was there before.
	Copied bool

	linked  bool
	loading bool
	partial bool // it has begun to load data, and no look has shown that it has them all
	other   bool // it has been a master, or has received a copy, and has not been linked since
	waiting bool // a replica whose link had neither been up nor ended at the last look
	saved   bool // it has started from a saved copy, and no look has shown a link or a copy since
	id      string
	offset  int64
}

// After gives what the process holds after one more look.
func (h Held) After(l Look) Held {
	replica := !l.Master
	linked := replica && l.LinkUp && !l.Loading
	receiving := replica && (l.Syncing || l.Loading)
	// The link came up and ended between two looks.
	missed := replica && l.Lost && !receiving && (h.waiting || !h.other)
	// Redis starts the rewrite in the same moment in which the link comes up, so the first
	// look after a copy cannot miss that it is not in the file yet.
	copied := (linked || missed) && l.Rewriting && h.anew(l)
	// The master died while the replica loaded the copy. Redis forgets its own offset when it
	// begins to load, so an offset means that the copy was loaded. While Redis only receives
	// a copy it keeps its own offset, also when the master dies then.
	// A replica that loads a saved copy has the offset of that copy, which may be old.
	arrived := h.loading && !h.saved && replica && !receiving && !linked && l.Offset > 1
	// A replica that has started from a saved copy has data that it does not write.
	unwritten := l.Unwritten && !l.Loading && (linked || missed || l.Master)
	switch {
	case receiving || copied || unwritten:
		h.Copied = true
	case (linked || h.InSync || l.Master && !l.Loading || replica && !h.partial) && !l.Rewriting && !l.Failed && !l.Unwritten:
		h.Copied = false // also where the next copy was never loaded
	}
	switch {
	case linked || missed || arrived:
		h.InSync = true
	case l.Master || receiving:
		h.InSync = false
	}
	h.partial = l.Loading || h.partial && !linked && !missed && !arrived && !l.Master
	h.saved = h.saved && !linked && !missed && !l.Syncing && !l.Master
	h.waiting = replica && !l.LinkUp && !l.Lost
	h.other = !linked && !missed && (h.other || l.Master || l.Syncing)
	h.linked, h.loading, h.id, h.offset = linked, replica && l.Loading, l.History.ID, l.Offset
	return h
}

// anew says whether a replica may have received a full copy since the last look. After a full
// copy Redis names no earlier history. After a partial resynchronisation Redis names the
// history of the last look as the earlier one. Where the history has not changed, the start of the
// backlog tells: Redis begins a new backlog with each full copy.
func (h Held) anew(l Look) bool {
	if l.History.ID != h.id {
		return h.id == "" || l.History.Before != h.id
	}
	return !h.linked && l.BacklogFrom > h.offset
}

// Beside gives what the process of a replica holds, given what the other servers have told. The
// process no longer holds a part of the present history when a server has a history that does not
// continue the one of the process. Two servers tell of the present history: the master that the
// replica follows, which has a new one for example after a restart, and a replica in sync
// whose standing is later. A link that is up says nothing against it: Redis may not have noticed yet
// that the other end is gone. own is this server's Redis at this look. standing is its standing, and of
// is the ID of the history that the standing is of.
func (h Held) Beside(own Local, standing Standing, of string, peers []Peer) Held {
	for _, p := range peers {
		master := own.Answering && p.IP == own.Follows && p.Redis == Answered && p.Master
		later := h.id == of && p.live() && p.Status != nil && standing.Before(p.Status.Standing)
		if h.InSync && (master || later) && !p.History.Continues(h.id, h.offset) {
			h.InSync, h.other = false, true
		}
	}
	return h
}
