package role

import (
	"fmt"
	"net/netip"
	"slices"
)

// discover finds the role of a server whose Redis does not run.
func discover(o Observation) Decision {
	wait := func(format string, args ...any) Decision {
		return Decision{State: Discovering, Label: ClearLabel, Reason: fmt.Sprintf(format, args...)}
	}
	masters := o.masters()
	agreed, ok := o.Agreed()
	if ok && agreed != o.Self.IP {
		if p := o.peerAt(agreed); p != nil && p.Redis == Answered && p.Master {
			return start(agreed, "the sentinels name %s and it is master", p.Name)
		}
	}
	if len(masters) == 1 && ok && agreed == o.Self.IP && o.surpassed(masters[0]) {
		masters = nil // its own launcher demotes it; to follow it would lose what replicas of this pod hold
	}
	if len(masters) == 1 && ok && agreed == o.Self.IP && !o.RecordKnown && o.older(masters[0]) {
		return wait("the sentinels name this pod, %s may have older data, and the record cannot be read", masters[0].Name)
	}
	if len(masters) == 1 && (!ok || agreed == o.Self.IP) && o.mayBeOfThePast(masters[0]) && o.unheard(masters[0]) != nil {
		// This server would pass the data of that master on to the replicas of this pod.
		return wait("%s is the only master and may be of an earlier generation; %s, which may hold later data, does not answer",
			masters[0].Name, o.unheard(masters[0]).Name)
	}
	if len(masters) == 1 && (!ok && !o.older(masters[0]) && !o.surpassed(masters[0]) || agreed == o.Self.IP || masters[0].UID == o.MasterUID) {
		return start(masters[0].IP, "%s is the only master", masters[0].Name)
	}
	if o.onlyStrangers() && o.sentinelsKnowNothing() && (len(masters) > 1 || o.older(masters[0])) {
		return elect(o, fmt.Sprintf("%d server(s) say they are master, and nobody knows of them", len(masters)))
	}
	if len(masters) == 1 && !ok {
		return wait("%s is the only master, but this pod or a replica holds later data", masters[0].Name)
	}
	if len(masters) > 0 {
		return wait("%d server(s) say they are master; the sentinels must agree on one", len(masters))
	}
	live := o.liveReplicas()
	switch {
	case ok && agreed == o.Self.IP && len(live) > 0 && o.futile():
		return Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: o.Self.IP,
			Reason: fmt.Sprintf("this pod died as master, a sentinel is busy with one that has died, and %s holds the data", live[0].Name)}
	case ok && agreed == o.Self.IP && len(live) > 0 && o.ahead(live):
		return elect(o, fmt.Sprintf("this pod died as master, and %s does not hold all of its data", live[0].Name))
	case ok && agreed == o.Self.IP && len(live) > 0 && o.Waiting < answerPatience && o.lateReplica(live) != nil:
		return wait("this pod died as master; %s, which may hold more than the others, does not answer at the moment", o.lateReplica(live).Name)
	case ok && agreed == o.Self.IP && len(live) > 0:
		return Decision{State: Discovering, Label: ClearLabel, Action: FailOver,
			Reason: fmt.Sprintf("this pod died as master and %s holds the data", live[0].Name)}
	case ok && agreed == o.Self.IP && o.Waiting < o.DownAfter && o.silentReplica() != nil:
		return wait("this pod died as master; %s, which may hold the data, does not answer at the moment", o.silentReplica().Name)
	case ok && agreed == o.Self.IP:
		return unlessReplaced(o, elect(o, "this pod died as master and no replica lives"))
	case ok && len(live) > 0 && o.leftToNobody(agreed) && o.Masterless > promotionPatience:
		return elect(o, fmt.Sprintf("the sentinels name %s, which is a replica, and no other replica lives", live[0].Name))
	case ok && len(live) > 0 && o.stalled(agreed):
		return elect(o, fmt.Sprintf("the sentinels name %v, which is not master, and promote nobody", agreed))
	case ok && len(live) > 0:
		return diedAsSuccessor(o, agreed, live[0].Name, wait)
	case ok:
		return lostMaster(o, agreed, wait)
	case o.sentinelsKnowNothing() && (len(live) == 0 || !o.sentinelMayKnow() || o.Waiting > lostPatience):
		// A live replica has what this pod may not have on its disk.
		return elect(o, "nobody knows a master")
	case o.Waiting > lostPatience && len(live) == 0 && o.allSentinelsSeen():
		return elect(o, "the sentinels have not agreed on a master for long, and no replica lives")
	default:
		return wait("the sentinels do not agree on a master yet")
	}
}

// diedAsSuccessor decides for a server whose Redis does not run, while the sentinels
// name a master that does not serve and a replica holds the data. If this is the one
// that they are promoting, the sentinel that does it waits for it until the failover
// timeout, and the others with it. Its launcher knows that for certain, ends that, and
// has the replica promoted.
func diedAsSuccessor(o Observation, agreed netip.Addr, holder string, wait func(string, ...any) Decision) Decision {
	act := func(action Action, format string) Decision {
		return Decision{State: Discovering, Label: ClearLabel, Action: action, Target: agreed, Reason: fmt.Sprintf(format, holder)}
	}
	down, failingOver := o.MasterIsDown()
	switch {
	case slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.Master == agreed && v.Chosen == o.Self.IP }):
		return act(CallOff, "a sentinel is making this pod master, which has died, and %s holds the data")
	case o.MasterUID == o.Self.UID && agreed == o.PreviousIP && down && !failingOver:
		return act(Nudge, "this pod died as master, the one before it is down, and %s holds the data")
	default:
		return wait("the sentinels name %v, which is not master; they will promote a replica", agreed)
	}
}

// unlessReplaced puts the end of a failover of this pod before its return as the
// master. The replica that a sentinel has chosen has died since, or it would be
// waited for; Sentinel would promote it when it comes back, beside this pod.
func unlessReplaced(o Observation, d Decision) Decision {
	if d.Action != Claim || !o.replacing(o.Self.IP) {
		return d
	}
	return Decision{State: Discovering, Label: d.Label, Action: CallOff, Target: o.Self.IP,
		Reason: "a sentinel is replacing this pod, and no replica lives that it could replace it by"}
}

// ahead says whether this pod, which died as master, has what no live replica has: all of
// them had lost their link long before, or a moment before and have not come as far as its
// files. Its own data are whole again in the time that Redis needs to read them. Where a
// sentinel is replacing this pod, the sentinel may succeed at any moment.
func (o Observation) ahead(live []Peer) bool {
	fresh := slices.ContainsFunc(live, func(p Peer) bool {
		before := p.Unlinked - o.Waiting
		behind := p.Status != nil && p.Status.Standing.Generation == o.Standing.Generation && p.Offset < o.Standing.Offset
		return p.LinkUp || before <= linkSlack || before <= freshPatience && !behind
	})
	own := o.MasterUID == o.Self.UID && o.Standing.Master && !o.Standing.Empty && !o.Standing.Broken && o.Standing.Generation == o.Generation
	return own && !fresh && !o.fencedSelf() && !o.replacing(o.Self.IP)
}

// silentReplica gives a server that could replace this master and did not
// answer this time: its launcher tells that it has synchronised, or is silent
// too while the API finds the pod ready; nil if there is none.
func (o Observation) silentReplica() *Peer { return o.silentReplicaBut(netip.Addr{}) }

// silentReplicaBut is silentReplica without the pod at an address.
func (o Observation) silentReplicaBut(ip netip.Addr) *Peer {
	for i, p := range o.Peers {
		if p.Redis != Unknown || p.Terminating || p.IP == ip {
			continue
		}
		if p.Status != nil && p.Status.Synced || p.Status == nil && p.Launcher == Unknown && p.Ready {
			return &o.Peers[i]
		}
	}
	return nil
}

// lateReplica gives a replica that may hold more data than the live ones, and whose Redis or launcher has not answered this
// time; nil if every such replica has answered. The launcher of a replica must answer as well: when the master has died, only the
// launcher can tell whether its replica was in sync.
func (o Observation) lateReplica(live []Peer) *Peer {
	if p := o.silentReplica(); p != nil {
		return p
	}
	for i, p := range o.Peers {
		late := p.Redis == Answered && !p.Master && !p.LinkUp && p.Status == nil && p.Launcher == Unknown && p.Ready && !p.Terminating
		if late && !slices.ContainsFunc(live, func(other Peer) bool { return other.Offset >= p.Offset }) {
			return &o.Peers[i]
		}
	}
	return nil
}

// surpassed says whether a peer that says it is master is a master of the past. The record names
// another pod or cannot be read, and later data exist. They are on a replica in sync, whether Sentinel
// would promote it or refuse it, or on this pod if it is the recorded master and has not handed over.
func (o Observation) surpassed(p Peer) bool {
	if p.UID == o.MasterUID || p.Status == nil {
		return false
	}
	later := func(s Standing) bool { return !s.Empty && p.Status.Standing.Before(s) }
	return o.MasterUID == o.Self.UID && !o.fencedSelf() && later(o.Standing) ||
		slices.ContainsFunc(o.Peers, func(r Peer) bool {
			return r.live() && (r.Status != nil && later(r.Status.Standing) || r.History.Succeeds(p.History))
		})
}

// lostMaster waits for the agreed master, which does not serve, as long as it
// may come back, and elects another where no replica can be promoted.
func lostMaster(o Observation, agreed netip.Addr, wait func(string, ...any) Decision) Decision {
	p := o.peerAt(agreed)
	down, _ := o.MasterIsDown()
	switch {
	case p == nil:
		return elect(o, "the sentinels' master is gone and no replica lives")
	case p.Status != nil && p.Redis == Refused:
		return elect(o, "the sentinels' master has stopped and no replica lives")
	case o.searching() > lostPatience && (p.Redis == Refused || (p.Redis == Unknown && down)):
		return elect(o, "the sentinels' master has not come back and no replica lives")
	case o.searching() > lostPatience && p.Redis == Answered:
		return elect(o, "the pod that the sentinels name is not master, and no replica lives")
	default:
		return wait("waiting for %s, which the sentinels name", p.Name)
	}
}

// sentinelMayKnow says whether a sentinel whose answer is late may name a master that the
// others, which do not run at the moment, know as well.
func (o Observation) sentinelMayKnow() bool {
	none := 0
	for _, v := range o.Views {
		if v.Reach == Answered && !v.HasMaster {
			none++
		}
	}
	return none < o.majority() && !o.allSentinelsSeen()
}

// allSentinelsSeen says whether every sentinel pod gave a clear answer, so that
// no master can be known to a majority that this pod does not see.
func (o Observation) allSentinelsSeen() bool {
	_, silent := o.memory()
	return o.PodsKnown && silent == 0
}

func start(target netip.Addr, format string, args ...any) Decision {
	return Decision{State: Starting, Label: ClearLabel, Action: StartReplica, Target: target, Reason: fmt.Sprintf(format, args...)}
}
