package role

import "net/netip"

// Worth is what the data of one server are worth beside those of others. An election compares it, and it is kept on disk.
type Worth struct {
	// Standing is what the running Redis would bring as a master.
	Standing Standing
	// Filed is what the files of Redis would bring after a restart. It stays as it is until a full copy has reached the files.
	Filed Standing
	// Of is the ID of the replication history that the standing is of; empty if that is not certain.
	Of string
	// NamedIn is, of a master, the latest configuration epoch in which a majority of the sentinels has named it.
	NamedIn int64
}

// Recorded is what the record says of the master.
type Recorded struct {
	Known      bool // the record could be read
	Generation int64
	Master     netip.Addr
	// Own: the record names this pod, as it is master now, and no fence.
	Own bool
}

// Told is what the master of a replica has told of itself.
type Told struct {
	// For is the recorded generation at which the master was asked.
	For int64
	// History is its replication ID; empty if it did not answer as a master.
	History string
	// Master is its standing as a master; nil if it is not known. A master that was promoted a moment ago may not know it yet, and tells
	// the standing of its time as a replica.
	Master *Standing
	// AtLeast has the generation and the epoch of its data; zero if they are not known.
	AtLeast Standing
}

// answered says whether the master of this replica has told its history in the present generation.
func (t Told) answered(l Local, r Recorded) bool {
	return l.LinkUp && t.History != "" && t.For == r.Generation
}

// Shares says whether the master that runs now has the history of this replica. The link of a replica may be to a process that has
// ended: a replica that stood still has not noticed that yet.
func (t Told) Shares(l Local, r Recorded) bool { return t.answered(l, r) && t.History == l.History.ID }

// follows says whether this replica follows the recorded master.
func (r Recorded) follows(l Local) bool {
	return r.Known && r.Master.IsValid() && l.Follows == r.Master
}

// OfRecorded says whether the data of this replica are of the generation that the record names.
func (w Worth) OfRecorded(l Local, t Told, r Recorded) bool {
	recorded := Standing{Generation: r.Generation}
	known := w.Of == l.History.ID && w.Standing.Generation == r.Generation && w.Standing.Epoch == 0
	// The record may name this master for an earlier time: another was promoted after it, and then it again.
	earlier := recorded.Before(w.Standing)
	if t.Master != nil {
		earlier = recorded.Before(*t.Master)
	}
	return r.follows(l) && l.LinkUp && (known || t.Shares(l, r) && !earlier)
}

// After gives what the data are worth after one more look. unrecorded says that this master was promoted anew, and that its
// mastership is not in the record yet.
func (w Worth) After(o Observation, t Told, r Recorded) (next Worth, unrecorded bool) {
	l := o.Local
	if !l.Answering {
		return w, false
	}
	if !l.Master {
		// Writes go to another server now, so the files are not those of a master either, even before they hold its copy.
		w.Standing.Master, w.Filed.Master = false, false
	}
	if l.Loading {
		return w, false
	}
	if _, named := o.NamedIn(); l.Synced || l.Master && named {
		w = w.afterPromotion(l) // a promotion that was given up leaves a replica of its former master, which is not in sync yet
	}
	switch {
	case !l.Master && !l.Synced && w.Standing.Empty && l.Offset > 1:
		// No look has seen the replica in sync, and it waits for another copy: what it has is better than nothing.
		w.Standing = Standing{Offset: l.Offset}
		return w, false
	case !l.Master && !l.Synced:
		return w.filed(l), false
	}
	w.Standing.Broken = false
	if !l.Master {
		return w.asReplica(l, t, r).filed(l), false
	}
	w.Standing, unrecorded = w.asMaster(o, r)
	if r.Own {
		w.Of = l.History.ID
	}
	if epoch, named := o.NamedIn(); named {
		w.NamedIn = max(w.NamedIn, epoch)
	}
	return w.filed(l), unrecorded
}

// afterPromotion gives what the data are worth if their history began with a promotion beside the history of the standing. Redis tells
// that at once. The generation of the promoted master becomes known later, or never if that master is lost. Until then the data
// count as those of the next epoch: the real epoch is that epoch or a later one.
func (w Worth) afterPromotion(l Local) Worth {
	if w.Standing.Empty || !l.History.Succeeds(History{ID: w.Of}) {
		return w
	}
	w.Standing.Epoch++
	w.Standing.Master, w.Standing.Offset, w.Of = l.Master, l.Offset, l.History.ID
	return w
}

// asMaster gives the standing of a master.
func (w Worth) asMaster(o Observation, r Recorded) (standing Standing, unrecorded bool) {
	epoch, named := o.NamedIn()
	was, offset := w.Standing, o.Local.Offset
	switch {
	case r.Known && r.Own:
		return Standing{Generation: r.Generation, Master: true, Offset: offset}, false
	case r.Known:
		return was, false
	case was.Empty:
		return Standing{Offset: offset}, false
	case named && (!was.Master || epoch > w.NamedIn || was.Disputed(o.Peers)):
		// New sentinels begin with epoch 0.
		return Standing{Generation: was.Generation, Epoch: max(epoch, was.Epoch), Master: true, Offset: offset}, true
	default:
		// Several servers may be unable to read the API. The offset tells which of them went on longest.
		was.Offset = offset
		return was, false
	}
}

// asReplica gives what the data of a replica in sync are worth.
func (w Worth) asReplica(l Local, t Told, r Recorded) Worth {
	ofRecorded, shares := w.OfRecorded(l, t, r), t.Shares(l, r)
	recorded, atLeast := Standing{Generation: r.Generation, Offset: l.Offset}, Standing{Offset: l.Offset}
	if shares {
		atLeast.Generation, atLeast.Epoch = t.AtLeast.Generation, t.AtLeast.Epoch
	}
	was := w.Standing
	switch {
	case !ofRecorded && shares && t.Master != nil && (was.Empty || !t.Master.Before(was)):
		w.Standing = Standing{Generation: t.Master.Generation, Epoch: t.Master.Epoch, Offset: l.Offset}
	case !r.Known && was.Empty:
		w.Standing = atLeast
	case ofRecorded:
		w.Standing = recorded
	case !was.Empty:
		w.Standing.Offset = l.Offset
	case (l.LinkUp || r.follows(l)) && (!t.answered(l, r) || shares):
		// The record is not up to date yet; the data are there all the same.
		w.Standing = recorded
	default:
		w.Standing = atLeast
	}
	if ofRecorded || shares && t.Master != nil {
		w.Of = l.History.ID
	}
	return w
}

// filed brings Filed up to date, as far as the files hold the data.
func (w Worth) filed(l Local) Worth {
	switch {
	case !l.Copied:
		w.Filed = w.Standing
	case w.Standing.Before(w.Filed):
		// The files hold data of a promotion that was given up for the master of the copy.
		w.Filed = Standing{Generation: w.Standing.Generation, Epoch: w.Standing.Epoch}
	}
	return w
}

// Ended gives what the data are worth when Redis has ended. copied says that a full copy had not reached the files. The copy has gone with
// the process, and so has everything where nothing is on disk.
func (w Worth) Ended(copied, persistence bool) Worth {
	switch {
	case !persistence:
		w.Standing = Standing{Empty: true}
	case copied:
		w.Standing = w.Filed
	}
	w.NamedIn = 0
	return w
}

// ClaimOver says whether a claim of mastership has done its work, or has lost its object because writes go to another server. known says
// that the record could be read.
func (d Decision) ClaimOver(l Local, known bool) bool {
	switch {
	case !l.Answering:
		return false
	case !l.Master:
		return d.Action != Claim // else this look was before the claim
	default:
		return !l.Loading && known && d.Label == MasterLabel
	}
}
