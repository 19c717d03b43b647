// Package role decides what a server pod is and does. It is pure: an
// Observation goes in, a Decision comes out, no clock is read and nothing is
// called.
package role

import (
	"net/netip"
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
	Generation int64 `json:"generation"` // number of the master the data came from; see record.Record
	// Epoch is the sentinels' configuration epoch of a master that was promoted while nobody could
	// write that into the record; 0 for a recorded master. It counts within the generation. Until the
	// epoch or the generation of a promotion is known, the next epoch stands for it.
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
	NeverRan    bool   // it has not been started yet, and its volume is new and empty; false where volumes outlive their pods
	Volume      string // ID of the data volume of this pod; empty if it is not known, and for other pods, whose status tells it
	Label       string // redis-role as the API has it
	Revision    string // of a pod of a StatefulSet: the revision of its template; else empty
	Ordinal     int    // of a pod of a StatefulSet: its number; else 0
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
	Passing  bool     `json:"passing"` // it passes connections on to another server, which answers clients at its address
	Standing Standing `json:"standing"`
	Volume   string   `json:"volume,omitempty"` // ID of its data volume; empty if it is not known
	Reason   string   `json:"reason"`
	Rule     string   `json:"rule"` // the ID of the rule that decided; empty before one has
	// Lacks says which data of another server this master does not have; empty if none are known to be missing.
	Lacks string `json:"lacks,omitempty"`
	// Restore says what has become of the backup that the release should begin with, if that is not as it should be.
	Restore string `json:"restore,omitempty"`
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
	Known       int // sentinels that it knows, with itself: the number that its own majority is of; 0 without a master
	ConfigEpoch int64
	Down        bool          // it, or a quorum, finds the master down
	DownFor     time.Duration // how long it has
	Silent      time.Duration // how long the master has not answered its pings
	FailingOver bool
	Unelected   bool // it has only begun that failover, and waits for the votes of the others
	// Switched says that the failover that it leads is over, but for replicas that
	// have not been told yet: Master is the successor.
	Switched bool
	// Chosen is the replica that it makes master in the failover that it leads. Chosen is invalid
	// before the sentinel has chosen, and when it has seen the replica as master.
	Chosen netip.Addr
	// Promoting is the replica that it has told to become master, after a majority
	// elected it for that because the master is down; invalid otherwise.
	Promoting netip.Addr
}

// Fence is a master that accepts no writes when a replica is promoted in its place: it is dead or hands over.
type Fence struct {
	UID       string
	Age       time.Duration
	By        string // the replica that saw it ended; empty if it says so itself
	Successor string // UID of the replica that the writer promotes in its place
}

// Observation is everything a decision is made from.
type Observation struct {
	Self     Member
	Local    Local
	Standing Standing

	Servers   int // configured
	Sentinels int // configured
	Quorum    int // how many sentinels must find a master down
	DownAfter time.Duration
	// Persistence: the servers keep their data on volumes of their pods.
	Persistence bool
	// VolumesKept: the volumes outlive the pods. A server whose pod has not run yet, or does not exist, may have data.
	VolumesKept bool

	// RestoreFrom names the backup that a release begins with that has never had data; empty: none.
	RestoreFrom string
	// External is the master outside of the release, while the release follows one. Settled is its address where it is set, also after the
	// release has got a master of its own; else, and where that master has the address, invalid.
	External External
	Settled  netip.Addr

	// Replacing: this pod has fetched a backup that is to replace the data of the running release.
	Replacing bool

	Views []View // one for each sentinel pod with an address
	Peers []Peer // all other server pods

	PodsKnown bool // the pod list has been read, so that a pod that is not in it does not exist
	// ServiceMaster is the master that the sentinel Service names, where the pod list could not be read; invalid: none.
	ServiceMaster netip.Addr
	RecordKnown   bool // the record could be read
	Initialised   bool
	Generation    int64 // of the recorded master
	// GenerationFor is how long this pod has known that generation: a claim may be that young.
	GenerationFor time.Duration
	MasterUID     string     // the record's master
	PreviousIP    netip.Addr // the master before it
	Fence         *Fence

	Waiting time.Duration // how long this pod has been looking for its role
	// Unnamed is how long ago any sentinel has named a master. It counts from when this launcher could first ask the sentinels.
	Unnamed time.Duration
	// Masterless is how long no other server has answered as master, with a majority of the sentinels in view.
	Masterless time.Duration
	// Foremost is how long no other server that answers has come before this pod in an election. The time while this launcher could not see the
	// others does not count.
	Foremost   time.Duration
	MasterDown time.Duration // how long a majority of sentinels has found the master down
	// MasterRefused is how long the sentinels' master has been seen to refuse connections to Redis and to its launcher.
	MasterRefused time.Duration
}

// searching is how long this server has been without a role that holds. A replica
// that is still loading or fetching its data has lost nothing while there is a master.
func (o Observation) searching() time.Duration {
	switch {
	case !o.Local.Running:
		return o.Waiting
	case o.Local.Master:
		return o.Local.MasterFor
	case o.followsSettled():
		return o.Masterless // its link to a master outside of the release says nothing
	default:
		return min(o.Local.LinkDown, o.Masterless)
	}
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
