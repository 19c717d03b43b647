package role

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// serveMaster decides for a running Redis that is master.
func serveMaster(o Observation) Decision {
	agreed, ok := o.Agreed()
	serving := func(reason string) Decision {
		return Decision{State: Serving, Label: MasterLabel, Reason: reason}
	}
	switch {
	case o.Local.Recorded && o.replacedBy() != nil:
		// The sentinels may need a second more to agree on what has happened.
		return giveWay(o.replacedBy())
	case ok && agreed == o.Self.IP && o.outrankedBy() != nil && (!o.Local.NamedAnew || o.outrankedBy().UID == o.MasterUID):
		// It was away, and sentinels that do not know of its successor name it.
		return giveWayToLater(o.outrankedBy())
	case o.fencedByAnother():
		return Decision{State: Uncertain, Reason: fmt.Sprintf("%s is replacing this pod, which most sentinels had found down", o.Fence.By)}
	case ok && agreed == o.Self.IP && o.replacingSelf():
		return Decision{State: Uncertain, Reason: "a sentinel is replacing this pod"}
	case ok && agreed == o.Self.IP && o.Self.Label != Master && o.foundLost():
		// It would be taken off again at once, again and again.
		return Decision{State: Uncertain, Reason: "this pod has lost its label because most sentinels get no answer from it"}
	case ok && agreed == o.Self.IP:
		return serving("the sentinels name this pod")
	case o.fencedPredecessor(agreed, ok):
		return serving("the previous master is fenced and this pod was promoted")
	case ok && o.electedOver(agreed):
		return serving("the sentinels have elected this pod over a master that is down")
	case ok:
		return contested(o, agreed, serving)
	case !o.RecordKnown && o.outrankedBy() != nil:
		// It cannot read the record, and most sentinels do not answer. It may have stood still.
		return giveWayToLater(o.outrankedBy())
	case o.MasterUID == o.Self.UID && o.CutOff() && o.Self.Label != Master:
		// Sentinels that it cannot reach may have found it down, and be about to replace it.
		return Decision{State: Serving, Label: HoldLabel, Reason: "this pod is the recorded master, has lost its label, and cannot ask the sentinels why"}
	case o.MasterUID == o.Self.UID && o.Self.Label != Master && o.doomed():
		return Decision{State: Uncertain, Reason: "this pod is the recorded master, has lost its label, and another server is about to replace it"}
	case o.MasterUID == o.Self.UID:
		return serving("this pod is the recorded master and the sentinels do not name another")
	case o.Local.MasterFor > promotionPatience && o.replacedBy() != nil:
		// The sentinels may be those that cannot be reached from here.
		return giveWay(o.replacedBy())
	case len(o.masters()) == 0 && o.RecordKnown && o.sentinelsKnowNothing():
		return elect(o, "this pod is master without a record of it")
	case o.onlyStrangers() && o.sentinelsKnowNothing():
		return elect(o, "this pod is one of several masters without a record of it")
	default:
		return Decision{State: Uncertain, Reason: "this pod is master but the sentinels have not agreed on it yet"}
	}
}

// giveWay makes a master the replica of the one that the record has in its place.
func giveWay(p *Peer) Decision {
	return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: p.IP,
		Reason: fmt.Sprintf("the record names %s as master in place of this one", p.Name)}
}

// giveWayToLater makes a master the replica of the master of a later generation.
func giveWayToLater(p *Peer) Decision {
	return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: p.IP, Reason: fmt.Sprintf("%s is the master of a later generation", p.Name)}
}

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
		if answered == o.Sentinels && p.UID == o.MasterUID && p.Redis == Answered && p.Master {
			return &o.Peers[i]
		}
	}
	return nil
}

// contested decides for a master while the sentinels agree on another.
func contested(o Observation, agreed netip.Addr, serving func(string) Decision) Decision {
	p := o.peerAt(agreed)
	recorded := o.MasterUID == o.Self.UID
	young := o.Local.MasterFor <= promotionPatience && !o.Local.Confirmed
	named := "gone"
	if p != nil && p.Redis == Answered {
		named = "a replica"
	}
	switch {
	case recorded && young && !o.Local.Claimed && agreed == o.PreviousIP:
		return serving("this pod has replaced the master that the sentinels still name")
	case young && !recorded && o.calledOff() != nil:
		return giveWay(o.calledOff())
	case young && !recorded:
		return Decision{State: Uncertain, Reason: "this pod was promoted; the sentinels have not agreed on it yet"}
	case recorded && p != nil && p.Redis == Answered && p.Master && p.Status != nil && o.older(*p):
		return serving(fmt.Sprintf("this pod is the recorded master; %s, which the sentinels name, has data of an earlier generation", p.Name))
	case p != nil && p.Redis == Answered && p.Master && !o.RecordKnown && o.Standing.Master && p.Status != nil && o.older(*p):
		return Decision{State: Uncertain, Reason: fmt.Sprintf("the sentinels name %s, whose data are of an earlier generation, and the record cannot be read", p.Name)}
	case p != nil && p.Redis == Answered && p.Master:
		return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: agreed,
			Reason: fmt.Sprintf("the sentinels have replaced this master by %s", p.Name)}
	case (!recorded && o.replacedForGood() || recorded && o.disputed()) && o.latest(agreed) != nil:
		// Also where that server is no master: Sentinel knows no priority of a master, and might promote this one for it.
		return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: o.latest(agreed).IP,
			Reason: fmt.Sprintf("this master has been replaced, and %s has later data or is to have them", o.latest(agreed).Name)}
	case recorded && !o.fencedSelf() && (p == nil || p.Redis != Unknown):
		// Sentinel names nobody who has not been master: that one has given it up, as
		// one that died and follows this pod, and the label is what sentinels go by.
		d := serving("this pod is the recorded master; the one that the sentinels still name is " + named)
		if o.Local.Claimed && o.replacing(agreed) {
			d.Action, d.Target = CallOff, agreed
		}
		return d
	case !recorded && p != nil && p.Redis == Answered && !o.MasterInView() && !o.replacing(agreed):
		return elect(o, fmt.Sprintf("the sentinels name %s, which is a replica, and nobody but this pod is master", p.Name))
	case !recorded && p == nil && o.PodsKnown && !o.MasterInView() && !o.replacing(agreed) && len(o.liveReplicas()) == 0:
		return elect(o, fmt.Sprintf("the sentinels name %v, which is gone; this pod is the only master", agreed))
	case !recorded && o.outrankedBy() != nil:
		// Both are masters of the past. Sentinel takes both for replicas, does not know what they have, and would promote either.
		return giveWayToLater(o.outrankedBy())
	default:
		return Decision{State: Uncertain, Label: ClearLabel, Reason: "the sentinels name another master, which does not say it is master yet"}
	}
}

// replacedForGood says whether this master, which a majority of the sentinels does not name, is
// one of the past: it is of an earlier generation than the recorded master, or, where the
// record cannot be read, the sentinels have named it before.
func (o Observation) replacedForGood() bool {
	return o.RecordKnown && o.Standing.Generation < o.Generation || !o.RecordKnown && o.Local.Confirmed
}

// latest gives the server that the sentinels name, or, where that pod is gone, the one that
// tells of the latest data, if they are of a later generation than this pod's; else nil.
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
	if o.Fence.Successor != "" && o.Fence.Successor != o.Self.UID {
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
	if f := o.Fence; f != nil && f.UID == o.MasterUID && f.Successor != "" && f.Successor != o.Self.UID && f.Age <= record.CarrierPatience {
		return false // a launcher is about to announce another server in a later epoch
	}
	promoted := slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.Promoting == o.Self.IP })
	return promoted && p != nil && p.UID == o.MasterUID && p.Redis != Answered && o.Local.MasterFor <= promotionPatience
}

// serveReplica decides for a running Redis that is a replica.
func serveReplica(o Observation) Decision {
	agreed, ok := o.Agreed()
	d := Decision{State: Serving, Label: SlaveLabel, Reason: fmt.Sprintf("replica of %v", o.Local.Follows)}
	if !o.Local.LinkUp {
		d.State, d.Reason = Uncertain, fmt.Sprintf("replica of %v, not connected to it", o.Local.Follows)
	}
	masters := o.masters()
	live := o.liveReplicas()
	switch {
	case ok && agreed == o.Self.IP:
		if o.Local.LinkDown > promotionPatience && len(masters) == 0 {
			elected := elect(o, "the sentinels name this pod and nobody else is master")
			d.Action, d.Reason = elected.Action, elected.Reason
		}
	case ok && agreed != o.Local.Follows:
		p := o.peerAt(agreed)
		switch {
		case o.Local.Astray > astrayPatience && p != nil && p.Redis == Answered && p.Master && p.Status != nil && o.older(*p):
			d.Reason = fmt.Sprintf("the sentinels name %s, whose data are of an earlier generation; they have not learned of this replica's master yet", p.Name)
		case o.Local.Astray > astrayPatience && p != nil && p.Redis == Answered && p.Master:
			d.Action, d.Target, d.Reason = Follow, agreed, fmt.Sprintf("the sentinels name %s", p.Name)
		case len(masters) == 0 && o.stalled(agreed):
			// Whom they name may have less data than this pod and wait for it.
			elected := elect(o, fmt.Sprintf("the sentinels name %v, nobody is master", agreed))
			d.Action, d.Reason = elected.Action, elected.Reason
		}
	case ok && !o.Local.LinkUp && o.successor(agreed) != nil:
		p := o.successor(agreed)
		d.Action, d.Target, d.Reason = Follow, p.IP, fmt.Sprintf("%s has replaced the master that the sentinels still name", p.Name)
	case ok && !(o.Local.Synced && o.promotable(o.Local.Unlinked)) && o.Local.LinkDown > o.DownAfter && len(masters) == 0 && o.leftToNobody(agreed):
		// Sentinel promotes nobody who has not synchronised, or long ago, and nobody else is there.
		elected := lostMaster(o, agreed, func(format string, args ...any) Decision {
			return Decision{Reason: fmt.Sprintf(format, args...)}
		})
		d.Action, d.Reason = elected.Action, elected.Reason
	case ok && o.masterContainerEnded(agreed, live):
		d.Action, d.Target = ReplaceDead, agreed
		d.Reason = fmt.Sprintf("nothing listens in the pod of the master %v any more", agreed)
	case ok && o.masterSilent(agreed, live):
		d.Action, d.Target = ReplaceSilent, agreed
		d.Reason = fmt.Sprintf("most sentinels get no answer from the master %v, and it has lost its label", agreed)
	case ok:
		_, failingOver := o.MasterIsDown()
		if o.MasterDown > nudgePatience && !failingOver && o.Local.Synced && !o.masterIsBack() && len(masters) == 0 && o.best(live) {
			d.Action, d.Target, d.Reason = Nudge, agreed, "the master has been down for long and the sentinels do not replace it"
		}
	case len(masters) == 1 && masters[0].IP != o.Local.Follows && o.Local.LinkDown > astrayPatience && !o.older(masters[0]):
		d.Action, d.Target, d.Reason = Follow, masters[0].IP, fmt.Sprintf("%s is the only master", masters[0].Name)
	case len(masters) == 0 && o.Local.LinkDown > o.DownAfter && o.sentinelsKnowNothing():
		elected := elect(o, "the master is gone and the sentinels know nothing")
		d.Action, d.Reason = elected.Action, elected.Reason
	case o.onlyStrangers() && o.Local.LinkDown > o.DownAfter && o.sentinelsKnowNothing():
		elected := elect(o, fmt.Sprintf("%d server(s) say they are master, and nobody knows of them", len(masters)))
		d.Action, d.Reason = elected.Action, elected.Reason
	}
	return d
}

// masterIsBack says whether this replica has just connected to its master. The sentinels
// find a master down for up to a second after it has come back.
func (o Observation) masterIsBack() bool {
	return o.Local.LinkUp && o.Local.Linked <= nudgePatience
}

// masterContainerEnded says whether the container of the recorded master has
// certainly ended and this replica is the one to act: its address answers that
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

// masterSilent says whether enough sentinels find the recorded master down, or are about to, and this replica is the one to act. The master does not
// answer here either. It has lost the label, so that its launcher, if it runs, holds writes back. Where the master answers a replica,
// a sentinel replaces it.
func (o Observation) masterSilent(agreed netip.Addr, live []Peer) bool {
	p := o.peerAt(agreed)
	_, failingOver := o.MasterIsDown()
	return p != nil && p.UID == o.MasterUID && o.RecordKnown && p.Redis == Unknown && p.Label != Master && !p.Terminating && o.silentFor(agreed) &&
		!failingOver && (o.Fence == nil || o.Fence.By == o.Self.Name || o.Fence.Age > record.CarrierPatience) &&
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
	handedOver := f.By == "" && f.Successor != ""
	return f.UID == master.UID && (handedOver || f.By == o.Self.Name || f.Age > record.CarrierPatience)
}

// doomed says whether another server is about to become master in place of this one, so that
// what this one accepts from now on would be lost. Either a sentinel is replacing this master. Or
// a sentinel is replacing another master and has promoted a server, or will promote one while this
// master has no label. Or a sentinel names another server, which is master, in a later epoch, and the other
// sentinels are about to hear of it. An elected master, which no majority has named yet, calls that off.
func (o Observation) doomed() bool {
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

// successor gives the recorded master, if it has replaced the one that the
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
