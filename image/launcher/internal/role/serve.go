package role

import (
	"net/netip"
	"slices"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// calledOff gives the recorded master where the failover that promoted this pod has ended
// without a result: that master serves, and every sentinel answers, names another server
// than this pod, and replaces nobody.
func (o Observation) calledOff() *Peer {
	answered := 0
	for _, v := range o.Views {
		if v.FailingOver || v.HasMaster && v.Master == o.Self.IP {
			return nil
		}
		if v.Reach == Answered && v.HasMaster {
			answered++
		}
	}
	for i, p := range o.Peers {
		if answered >= o.sentinels() && p.UID == o.MasterUID && p.Redis == Answered && p.Master {
			return &o.Peers[i]
		}
	}
	return nil
}

// replacedForGood says whether this master, which a majority of the sentinels does not name, is
// one of the past: it is of an earlier generation than the recorded master, or, where the
// record cannot be read, the sentinels have named it before.
func (o Observation) replacedForGood() bool {
	return o.RecordKnown && o.Standing.Generation < o.Generation || !o.RecordKnown && o.Local.Confirmed
}

// latest gives the server that the sentinels name. If that pod is gone, it gives the server that
// tells of the latest data, if these are of a later generation than this pod's; else nil.
func (o Observation) latest(named netip.Addr) *Peer {
	if p := o.peerAt(named); p != nil {
		return p
	}
	var best *Peer
	latest := o.Standing
	for i, p := range o.Peers {
		if p.IP.IsValid() && p.Status != nil && !p.Status.Standing.Empty && latest.Before(p.Status.Standing) {
			best, latest = &o.Peers[i], p.Status.Standing
		}
	}
	return best
}

// fencedPredecessor says whether the master that this one replaces certainly
// accepts no writes, so that the label need not wait for the sentinels.
func (o Observation) fencedPredecessor(agreed netip.Addr, ok bool) bool {
	if o.Fence == nil || o.Fence.Age > fencePatience || o.Fence.UID == o.Self.UID || o.Fence.UID != o.MasterUID {
		return false
	}
	if o.Fence.Successor != o.Self.UID {
		return false // it was promoted in an attempt that was given up
	}
	if o.Local.MasterFor > o.Fence.Age+record.Skew {
		return false // a master of the past, which was master before the fenced one and is none of its replicas
	}
	if !ok {
		return true
	}
	p := o.peerAt(agreed)
	return p == nil || p.UID == o.Fence.UID
}

// electedOver says whether the recorded master, which a majority still names, is
// being replaced by this pod: a sentinel with a majority's vote has promoted it,
// and the master does not answer here either. That sentinel asks a replica for
// its role once a second; waiting for that would only lengthen the outage.
func (o Observation) electedOver(agreed netip.Addr) bool {
	p := o.peerAt(agreed)
	if f := o.Fence; f != nil && f.UID == o.MasterUID && f.Successor != o.Self.UID && f.Age <= record.CarrierPatience {
		return false // a launcher is about to announce another server in a later epoch
	}
	promoted := slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.Promoting == o.Self.IP })
	return promoted && p != nil && p.UID == o.MasterUID && p.Redis != Answered && o.Local.MasterFor <= promotionPatience
}

// masterIsBack says whether this replica has just connected to its master. The sentinels
// find a master down for up to a second after it has come back.
func (o Observation) masterIsBack() bool {
	return o.Local.LinkUp && o.Local.Linked <= requestPatience
}

// masterContainerEnded says whether the container of the recorded master has
// certainly ended and this replica has to act: its address answers that
// nobody listens, at the ports of Redis and of the launcher, so the pod is there
// and its processes are not; no sentinel is at work, and no other launcher. It waits up to
// answerPatience for a replica that may hold more and has not answered.
func (o Observation) masterContainerEnded(agreed netip.Addr, live []Peer) bool {
	p := o.peerAt(agreed)
	_, failingOver := o.MasterIsDown()
	return p != nil && p.UID == o.MasterUID && o.RecordKnown && o.unclaimed(p) && o.MasterRefused >= refusedPatience &&
		p.Redis == Refused && p.Launcher == Refused && o.Local.Synced && !o.Local.LinkUp && o.Local.Unlinked-o.MasterRefused <= freshPatience && !o.Self.Terminating &&
		!failingOver && !o.MasterInView() && o.best(live) && (o.lateReplica(append(slices.Clone(live), Peer{Offset: o.Local.Offset})) == nil || o.MasterRefused > answerPatience)
}

// masterSilent says whether enough sentinels find the recorded master down, or are about to, and this replica has to act. The master does not
// answer here either. It has lost the label, so that its launcher, if it runs, holds writes back. Where the master answers a replica,
// a sentinel replaces it.
func (o Observation) masterSilent(agreed netip.Addr, live []Peer) bool {
	p := o.peerAt(agreed)
	_, failingOver := o.MasterIsDown()
	return p != nil && p.UID == o.MasterUID && o.RecordKnown && p.Redis == Unknown && p.Label != Master && !p.Terminating && o.silentFor(agreed) &&
		o.sentinels() > 1 && o.MasterDown < promotionPatience && !failingOver && (o.Fence == nil || o.Fence.By == o.Self.Name || o.Fence.Age > record.CarrierPatience) &&
		o.Local.Synced && o.promotable(o.Local.Unlinked) && !o.Self.Terminating && !o.MasterInView() && o.best(live) && o.silentReplicaBut(agreed) == nil
}

// fencedByAnother says whether a replica's launcher is replacing this master. It may have been elected before this master answered
// again. Its time is CarrierTime, and the clocks may differ.
func (o Observation) fencedByAnother() bool {
	f := o.Fence
	return f != nil && f.UID == o.Self.UID && f.By != "" && f.Age <= record.CarrierPatience+record.Skew
}

// unclaimed says whether nobody else is replacing a dead master by what the record says. The launcher that does may
// die before it has promoted anybody, and the sentinels that voted for it begin nothing by themselves for a while. A
// master that promotes its successor itself has ended with its container.
func (o Observation) unclaimed(master *Peer) bool {
	f := o.Fence
	if f == nil {
		return true
	}
	handedOver := f.By == ""
	return f.UID == master.UID && (handedOver || f.By == o.Self.Name || f.Age > record.CarrierPatience)
}

// aboutToBeReplaced says whether another server is about to become master in place of this one, so that
// what this one accepts from now on would be lost. Either a sentinel is replacing this master. Or
// a sentinel is replacing another master and has promoted a server, or will promote one while this
// master has no label. Or a sentinel names another server, which is master, in a later epoch, and the other
// sentinels are about to hear of it. An elected master, which no majority has named yet, calls that off.
func (o Observation) aboutToBeReplaced() bool {
	elected := o.Local.Claimed && o.MasterUID == o.Self.UID && !o.Local.Confirmed
	own := int64(-1)
	for _, v := range o.Views {
		if v.Reach == Answered && v.HasMaster && v.Master == o.Self.IP {
			own = max(own, v.ConfigEpoch)
		}
	}
	promoted := func(ip netip.Addr) bool {
		p := o.peerAt(ip)
		return p != nil && p.Redis == Answered && p.Master
	}
	return o.replacingSelf() || !elected && slices.ContainsFunc(o.Views, func(v View) bool {
		chosen := o.Self.Label != Master && v.Chosen.IsValid() && v.Chosen != o.Self.IP
		announced := v.Reach == Answered && v.HasMaster && own >= 0 && v.ConfigEpoch > own && promoted(v.Master)
		return announced || v.FailingOver && (chosen || promoted(v.Chosen) || promoted(v.Promoting))
	})
}

// formerReplicaServes says whether a former replica of this master is master, while neither the API nor most
// sentinels can be asked. The sentinels have most likely promoted it.
func (o Observation) formerReplicaServes() bool {
	return o.CutOff() && !o.RecordKnown && slices.ContainsFunc(o.masters(), func(p Peer) bool { return p.History.Succeeds(o.Local.History) })
}

// disputed says whether a server tells of later data than this recorded master. The
// standing of a master that has just been recorded may still be that of its predecessor.
func (o Observation) disputed() bool {
	own := o.Standing
	if recorded := (Standing{Generation: o.Generation}); own.Before(recorded) {
		own = recorded
	}
	return own.Disputed(o.Peers)
}

// replacedBy gives the recorded master, if that has replaced this one and says it
// is master: what the API and the pod itself agree on needs no sentinel.
func (o Observation) replacedBy() *Peer {
	for i, p := range o.Peers {
		if o.RecordKnown && o.PreviousIP == o.Self.IP && p.UID == o.MasterUID && p.Redis == Answered && p.Master {
			return &o.Peers[i]
		}
	}
	return nil
}

// outrankedBy gives another master whose data are of a later generation or epoch than those of
// this master. It may have been promoted so lately that the record does not name it.
func (o Observation) outrankedBy() *Peer {
	for i, p := range o.Peers {
		if p.Redis == Answered && p.Master && p.Status != nil && o.Standing.Before(p.Status.Standing) {
			return &o.Peers[i]
		}
	}
	return nil
}

// successor gives the recorded master, if it has replaced the master that the
// sentinels still name and says it is master. Data are safe sooner with a
// replica that need not wait for the sentinels. If the named server says it is master, too, the
// record may be the older news: that server was replaced once, and has replaced its successor.
func (o Observation) successor(named netip.Addr) *Peer {
	if p := o.peerAt(named); p != nil && p.Redis == Answered && p.Master {
		return nil
	}
	for i, p := range o.Peers {
		if p.UID == o.MasterUID && p.Redis == Answered && p.Master && p.IP != named && named == o.PreviousIP {
			return &o.Peers[i]
		}
	}
	return nil
}

// best says whether no live replica holds more data than this one; the lower
// name wins a tie.
func (o Observation) best(live []Peer) bool {
	for _, p := range live {
		if p.Offset > o.Local.Offset || (p.Offset == o.Local.Offset && p.Name < o.Self.Name) {
			return false
		}
	}
	return true
}
