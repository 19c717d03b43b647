package role

import (
	"net/netip"
	"slices"
)

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
// A replica with the history of that master may only have noticed its promotion sooner.
func (o Observation) surpassed(p Peer) bool {
	if p.UID == o.MasterUID || p.Status == nil {
		return false
	}
	later := func(s Standing) bool { return !s.Empty && p.Status.Standing.Before(s) }
	return o.MasterUID == o.Self.UID && !o.fencedSelf() && later(o.Standing) ||
		slices.ContainsFunc(o.Peers, func(r Peer) bool {
			reported := r.Status != nil && later(r.Status.Standing) && !r.History.Is(p.History)
			return r.live() && (reported || r.History.Succeeds(p.History))
		})
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
