package role

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// promotable says whether Sentinel would promote a replica whose link to the
// master ended so long ago: it takes none for which that is more than ten times
// down-after longer than it has found the master down (sentinelSelectSlave). The
// sentinels are asked for the latter, so that all servers count alike.
func (o Observation) promotable(unlinked time.Duration) bool {
	var down time.Duration
	for _, v := range o.Views {
		down = max(down, v.DownFor)
	}
	return unlinked <= down+10*o.DownAfter
}

// Replica is a replica that may replace a dead master, as a look found it.
type Replica struct {
	IP      netip.Addr
	Offset  int64
	History History
}

// Replicas gives the live replicas of a dead master, this pod included. history is the ID of the master's replication
// history; empty if it is not known. A replica of another history has not synchronised with that master, and offsets of two
// histories cannot be compared: where the replicas differ and the master's history is not known, there is none. The
// first replica holds the most data; the lower name wins a tie.
func (o Observation) Replicas(history string) []Replica {
	live := o.liveReplicas()
	if o.liveSelf() {
		live = append(live, Peer{Member: o.Self, Offset: o.Local.Offset, History: o.Local.History})
	}
	slices.SortStableFunc(live, func(a, b Peer) int { return cmp.Or(cmp.Compare(b.Offset, a.Offset), cmp.Compare(a.Name, b.Name)) })
	var replicas []Replica
	for _, p := range live {
		switch {
		case history == "" && p.History.ID != live[0].History.ID:
			return nil
		case history == "" || p.History.ID == history:
			replicas = append(replicas, Replica{p.IP, p.Offset, p.History})
		}
	}
	return replicas
}

// liveReplicas gives the peers that run as replicas and hold data, and that
// Sentinel would promote: to wait for another would be to wait for ever.
func (o Observation) liveReplicas() []Peer {
	var out []Peer
	for _, p := range o.Peers {
		if p.live() && o.promotable(p.Unlinked) {
			out = append(out, p)
		}
	}
	return out
}

// leftToNobody says whether the sentinels can promote no replica that there is. Sentinel never
// promotes the server that it names itself. That server may be a replica that holds data. While its
// link is up it follows a master that serves, and there is nothing to decide.
func (o Observation) leftToNobody(named netip.Addr) bool {
	live := o.liveReplicas()
	if len(live) == 0 {
		return true
	}
	others := slices.ContainsFunc(live, func(p Peer) bool { return p.IP != named || p.LinkUp })
	return !others && o.silentReplica() == nil && !o.replacing(named)
}

// stalled says whether the sentinels have promoted nobody in place of the master that they name, in
// more time than they need for two attempts. One sentinel may find all replicas too old to be
// promoted while another does not.
func (o Observation) stalled(named netip.Addr) bool {
	p := o.peerAt(named)
	return o.searching() > lostPatience && o.Masterless > lostPatience && !o.replacing(named) && o.silentReplica() == nil && (p == nil || p.Redis != Unknown)
}
