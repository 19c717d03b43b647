package role

// masterLabelled says whether another pod has the label master.
func (o Observation) masterLabelled() bool {
	for _, p := range o.Peers {
		if p.Label == Master {
			return true
		}
	}
	return false
}

// masters gives the peers that say they are master.
func (o Observation) masters() []Peer {
	var out []Peer
	for _, p := range o.Peers {
		if p.Redis == Answered && p.Master {
			out = append(out, p)
		}
	}
	return out
}

// older says whether the data of a peer that says it is master are certainly,
// or for all that is known, of an earlier master than this pod's own. To follow
// it would lose what has been written since.
func (o Observation) older(p Peer) bool {
	if o.Standing.Empty || (o.MasterUID != "" && p.UID == o.MasterUID) {
		return false
	}
	return p.Status == nil || p.Status.Standing.Before(o.Standing) || o.Local.History.Succeeds(p.History)
}

// mayBeOfThePast says whether the data of a peer that says it is master may be of an earlier generation than
// the recorded one, as where the record cannot be read.
func (o Observation) mayBeOfThePast(p Peer) bool {
	return !o.RecordKnown || p.UID != o.MasterUID && p.Status != nil && p.Status.Standing.Generation < o.Generation
}

// unheard gives a server other than this master that has not told what data it holds; nil if there is none.
func (o Observation) unheard(master Peer) *Peer {
	for i, p := range o.Peers {
		if p.UID != master.UID && !p.Terminating && !p.NeverRan && p.Status == nil {
			return &o.Peers[i]
		}
	}
	return nil
}

// onlyStrangers says whether there are masters in view, the record names none of
// them, and each has told what its data are worth: promoted or left over, and
// with no sentinel to say which.
func (o Observation) onlyStrangers() bool {
	masters := o.masters()
	for _, p := range masters {
		if p.UID == o.MasterUID || p.Status == nil {
			return false
		}
	}
	return o.RecordKnown && len(masters) > 0
}

// fencedSelf says whether this pod has given mastership away, or died as master.
func (o Observation) fencedSelf() bool { return o.Fence != nil && o.Fence.UID == o.Self.UID }

// MasterInView says whether another server says it is master.
func (o Observation) MasterInView() bool { return len(o.masters()) > 0 }
