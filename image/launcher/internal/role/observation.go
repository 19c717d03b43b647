// Package role decides what a server pod is and does. It is pure: an
// Observation goes in, a Decision comes out, no clock is read and nothing is
// called.
package role

import (
	"net/netip"
	"slices"
	"time"
)

// The values of the label redis-role.
const (
	Master   = "master"
	Slave    = "slave"
	Sentinel = "sentinel"
)

// Reach says how far an attempt to talk to somebody got.
type Reach int

const (
	// Unknown: no answer in time. It may be alive; nothing may be concluded.
	Unknown Reach = iota
	// Refused: the pod's network said that nobody listens. The process does not run.
	Refused
	// Answered: it answered.
	Answered
)

// Standing is what a server's data are worth as the start of a master.
type Standing struct {
	Empty      bool  `json:"empty"`      // no data at all
	Generation int64 `json:"generation"` // number of the master the data came from; see kube.Record
	// Epoch is the sentinels' configuration epoch of a master that was promoted while nobody could
	// write that into the record; 0 for a recorded master. It counts within the generation.
	Epoch  int64 `json:"epoch,omitempty"`
	Master bool  `json:"master"`           // this server was that master itself
	Offset int64 `json:"offset"`           // replication offset reached in that generation
	Broken bool  `json:"broken,omitempty"` // Redis could not load them several times in a row
	// Unreadable: there are data, and what was written down of them cannot be read. They
	// may be of any generation, which is not the same as generation 0.
	Unreadable bool `json:"unreadable,omitempty"`
}

// Before says whether the data are certainly of an earlier master than the other data.
func (s Standing) Before(other Standing) bool {
	return s.Generation < other.Generation || s.Generation == other.Generation && s.Epoch < other.Epoch
}

// Member is a server pod.
type Member struct {
	Name, UID   string
	IP          netip.Addr // invalid until the pod has one
	Created     time.Time
	Terminating bool
	Ready       bool   // the API finds it ready
	NeverRan    bool   // it has not been started yet: its volume is new and empty
	Label       string // redis-role as the API has it
}

// Local is the state of this pod's own Redis.
type Local struct {
	Running   bool          // the process exists
	Answering bool          // it answered INFO just now
	Full      bool          // it takes no more clients, nor this launcher: it is alive, and nothing else is known
	Loading   bool          // it reads its data from disk
	Silent    time.Duration // how long it has not answered, while it runs
	Master    bool
	Claimed   bool       // it is master by the record, and not because it was promoted
	Confirmed bool       // a majority of the sentinels has named it since it is master
	Recorded  bool       // the record has named this pod since it is master
	NamedAnew bool       // a majority of the sentinels names it, in a later epoch than before: it has just been promoted
	Follows   netip.Addr // of a replica
	LinkUp    bool       // of a replica: connected to its master and in sync
	Synced    bool       // of a replica: it holds a part of the present history; see Held.InSync
	Copied    bool       // its files do not hold its data yet; see Held.Copied
	Offset    int64
	History   History
	Online    int // of a master: replicas online and not lagging

	MasterFor time.Duration // how long it has been master
	Astray    time.Duration // of a replica: how long it has followed another than the sentinels' master
	Linked    time.Duration // of a replica: how long the link has been up
	LinkDown  time.Duration // of a replica: how long the link has been down
	Unlinked  time.Duration // the same as its Redis tells it, to Sentinel, too: 0 or less before the first link
}

// Status is what a launcher tells of itself to its peers.
type Status struct {
	UID      string   `json:"uid"`
	State    string   `json:"state"`
	Claimed  bool     `json:"claimed"` // it has been granted mastership and is starting as master
	Synced   bool     `json:"synced"`  // it is a replica in sync; see Held.InSync
	Copied   bool     `json:"copied"`  // its files do not hold its data yet; see Held.Copied
	Passing  bool     `json:"passing"` // it passes connections on to another server: what answers clients at its address is that one
	Standing Standing `json:"standing"`
	Reason   string   `json:"reason"`
	// Lacks says which data of another server this master does not have; empty if none are known to be missing.
	Lacks string `json:"lacks,omitempty"`
}

// Peer is another server pod and what could be found out about it.
type Peer struct {
	Member
	Redis  Reach // whether its Redis answers
	Master bool  // it says it is master
	LinkUp bool
	Offset int64
	// History is the replication history of its Redis.
	History History
	Status  *Status // nil: its launcher did not answer
	// Unlinked is, of a replica, how long ago its link to its master ended; 0 or less: it is up, or has never been.
	Unlinked time.Duration

	Launcher Reach // whether its launcher answers
}

// live says whether the peer is a running replica in sync.
func (p Peer) live() bool {
	return !p.Terminating && p.Redis == Answered && !p.Master && (p.LinkUp || (p.Status != nil && p.Status.Synced))
}

// View is what one sentinel pod believes.
type View struct {
	Reach       Reach
	HasMaster   bool
	Master      netip.Addr
	ConfigEpoch int64
	Down        bool          // it, or a quorum, finds the master down
	DownFor     time.Duration // how long it has
	Silent      time.Duration // how long the master has not answered its pings
	FailingOver bool
	// Switched says that the failover that it leads is over, but for replicas that
	// have not been told yet: Master is the successor.
	Switched bool
	// Chosen is the replica that it makes master in the failover that it leads;
	// invalid before there is one, and when it has seen that one as master.
	Chosen netip.Addr
	// Promoting is the replica that it has told to become master, after a majority
	// elected it for that because the master is down; invalid otherwise.
	Promoting netip.Addr
}

// Fence is a master that accepts no writes when a replica is promoted in its place: it is dead or hands over.
type Fence struct {
	UID       string
	Age       time.Duration
	Successor string // UID of the replica that it promotes in its place; empty if a sentinel chooses
}

// Observation is everything a decision is made from.
type Observation struct {
	Self     Member
	Local    Local
	Standing Standing

	Servers   int // configured
	Sentinels int // configured
	DownAfter time.Duration
	// Persistence: the servers keep their data on volumes of their pods.
	Persistence bool

	Views []View // one for each sentinel pod with an address
	Peers []Peer // all other server pods

	PodsKnown   bool // the pod list has been read, so that a pod that is not in it does not exist
	RecordKnown bool // the record could be read
	Initialised bool
	Generation  int64 // of the recorded master
	// GenerationFor is how long this pod has known that generation: a claim may be that young.
	GenerationFor time.Duration
	MasterUID     string     // the record's master
	PreviousIP    netip.Addr // the master before it
	Fence         *Fence

	Waiting time.Duration // how long this pod has been looking for its role
	// Masterless is how long no other server has answered as master, with a majority of the sentinels in view.
	Masterless time.Duration
	MasterDown time.Duration // how long a majority of sentinels has found the master down
	// MasterRefused is how long the sentinels' master has been seen to refuse connections to Redis and to its launcher.
	MasterRefused time.Duration
}

// majority is the number of sentinels that is more than half of the configured ones.
func (o Observation) majority() int { return o.Sentinels/2 + 1 }

// NamedIn gives the configuration epoch in which a majority of the sentinels names this pod.
func (o Observation) NamedIn() (epoch int64, ok bool) {
	if agreed, ok := o.Agreed(); !ok || agreed != o.Self.IP {
		return 0, false
	}
	for _, v := range o.Views {
		if v.Reach == Answered && v.HasMaster && v.Master == o.Self.IP {
			epoch = max(epoch, v.ConfigEpoch)
		}
	}
	return epoch, true
}

// Agreed is the master that a majority of the configured sentinels names.
func (o Observation) Agreed() (netip.Addr, bool) {
	votes := map[netip.Addr]int{}
	for _, v := range o.Views {
		if v.Reach == Answered && v.HasMaster {
			votes[v.Master]++
			if votes[v.Master] >= o.majority() {
				return v.Master, true
			}
		}
	}
	return netip.Addr{}, false
}

// sentinelsKnowNothing says whether a majority of the configured sentinels
// certainly has no memory of a master: not created yet, or not running. One
// that merely does not answer may have one.
func (o Observation) sentinelsKnowNothing() bool {
	remembering, _ := o.memory()
	return o.PodsKnown && remembering == 0 && !o.CutOff()
}

// CutOff says whether a majority of the configured sentinels does not answer: this
// pod may not see a master that others see.
func (o Observation) CutOff() bool {
	_, silent := o.memory()
	return silent >= o.majority()
}

// memory counts the sentinels that name a master, and those that may.
func (o Observation) memory() (remembering, silent int) {
	for _, v := range o.Views {
		switch {
		case v.Reach == Answered && v.HasMaster:
			remembering++
		case v.Reach == Unknown:
			silent++
		}
	}
	return remembering, silent
}

// searching is how long this server has been without a role that holds. A replica
// that is still loading or fetching its data has lost nothing while there is a master.
func (o Observation) searching() time.Duration {
	switch {
	case !o.Local.Running:
		return o.Waiting
	case o.Local.Master:
		return o.Local.MasterFor
	default:
		return min(o.Local.LinkDown, o.Masterless)
	}
}

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

// masterLabelled says whether another pod has the label master.
func (o Observation) masterLabelled() bool {
	for _, p := range o.Peers {
		if p.Label == Master {
			return true
		}
	}
	return false
}

// MasterIsDown says whether a majority of the sentinels finds the master down,
// and whether one of them is replacing it.
func (o Observation) MasterIsDown() (down, failingOver bool) {
	n := 0
	for _, v := range o.Views {
		if v.Down {
			n++
		}
		failingOver = failingOver || v.FailingOver
	}
	return n >= o.majority(), failingOver
}

// foundLost says whether a majority of the sentinels finds this master lost, so that
// their launchers take the label off it; not for ever, where nobody succeeds it.
func (o Observation) foundLost() bool {
	n := 0
	for _, v := range o.Views {
		if v.HasMaster && v.Master == o.Self.IP && FindsLost(v.Down, v.Silent, o.DownAfter) {
			n++
		}
	}
	return n >= o.majority() && o.MasterDown < promotionPatience
}

// futile says whether a sentinel leads a failover that keeps the others from
// replacing this pod, whose Redis has died: one that has made it master and is
// telling the replicas, or one that makes a server master whose Redis certainly
// does not run, which Sentinel tries until the failover timeout.
func (o Observation) futile() bool {
	return slices.ContainsFunc(o.Views, func(v View) bool {
		chosen := o.peerAt(v.Chosen)
		dead := v.Chosen.IsValid() && chosen != nil && chosen.Redis == Refused
		return v.FailingOver && v.HasMaster && v.Master == o.Self.IP && (v.Switched || dead)
	})
}

// replacing says whether a sentinel is replacing a master.
func (o Observation) replacing(master netip.Addr) bool {
	return slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.HasMaster && v.Master == master })
}

// replacingSelf says whether a sentinel is replacing this pod, whether it has told
// the others yet or not.
func (o Observation) replacingSelf() bool {
	return slices.ContainsFunc(o.Views, func(v View) bool {
		return v.FailingOver && v.HasMaster && v.Switched == (v.Master != o.Self.IP)
	})
}

// peerAt gives the peer with an address; nil if no pod has it.
func (o Observation) peerAt(ip netip.Addr) *Peer {
	for i, p := range o.Peers {
		if p.IP == ip {
			return &o.Peers[i]
		}
	}
	return nil
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

// Foremost gives the live replicas that hold the most data, this pod included;
// nil if all of them do, so that it does not matter which one is promoted.
func (o Observation) Foremost() []netip.Addr {
	type holder struct {
		ip     netip.Addr
		offset int64
	}
	var replicas []holder
	if o.Local.Answering && !o.Local.Master && o.Local.Synced && !o.Self.Terminating {
		replicas = append(replicas, holder{o.Self.IP, o.Local.Offset})
	}
	for _, p := range o.liveReplicas() {
		replicas = append(replicas, holder{p.IP, p.Offset})
	}
	var most int64
	for _, r := range replicas {
		most = max(most, r.offset)
	}
	var out []netip.Addr
	for _, r := range replicas {
		if r.offset == most {
			out = append(out, r.ip)
		}
	}
	if len(out) == len(replicas) {
		return nil
	}
	return out
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
