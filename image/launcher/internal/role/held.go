package role

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

// Look is what one look at a running Redis process tells of its data.
type Look struct {
	Master  bool
	Loading bool // it loads its own file, or the copy that it has received
	LinkUp  bool // of a replica: connected to its master and in sync
	Syncing bool // of a replica: it receives a full copy
	// Rewriting: a rewrite of the append-only file runs or is about to run. Failed: the last one did not succeed.
	Rewriting, Failed bool
	History           History
}

// Held is what one Redis process holds, as a sequence of looks tells. The zero
// value is a process that has just been started. Everything that asks whether a
// server may replace a master, and what its files are worth, asks Held.
type Held struct {
	// InSync: a replica that holds a part of the present history: its link to its master is
	// up, or has been up and has ended, and since then the process has been neither a master
	// nor loading nor receiving a full copy. A master is no replica in sync; when it becomes
	// a replica it keeps its own offset until it has the copy, and must not be promoted for it.
	InSync bool
	// Copied: a full copy is in memory, and not yet in the append-only file. Until the first
	// rewrite after it has succeeded the files hold what was there before.
	Copied bool

	linked bool
	id     string
}

// After gives what the process holds after one more look.
func (h Held) After(l Look) Held {
	replica := !l.Master
	linked := replica && l.LinkUp && !l.Loading
	// Redis starts the rewrite in the same moment in which the link comes up, so the first
	// look at the new link cannot miss a copy that is not in the file yet.
	copied := linked && !h.linked && l.Rewriting && !h.resumed(l)
	switch {
	case replica && (l.Syncing || l.Loading) || copied:
		h.Copied = true
	case (linked || l.Master && !l.Loading) && !l.Rewriting && !l.Failed:
		h.Copied = false
	}
	switch {
	case linked:
		h.InSync = true
	case l.Master || l.Loading || l.Syncing:
		h.InSync = false
	}
	h.linked, h.id = linked, l.History.ID
	return h
}

// resumed says whether the link has certainly come up without a full copy: the
// replica's history continues the one that it had. A copy names no history before.
func (h Held) resumed(l Look) bool {
	return h.id != "" && l.History.ID != h.id && l.History.Before == h.id
}

// BesideMaster gives what the process holds when the master that it follows answers,
// and the link to that master is down.
func (h Held) BesideMaster(master History, l Look, offset int64) Held {
	if !h.linked && !master.Continues(l.History.ID, offset) {
		h.InSync = false // a master with another history, as one that has started anew, sends a full copy
	}
	return h
}
