package role

import (
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// Settings are the values of the chart that decisions depend on.
type Settings struct {
	// Servers and Sentinels are how many the release has. Quorum is how many sentinels must find a master down.
	Servers, Sentinels, Quorum int
	// DownAfter is how long a master may be silent before the sentinels find it down.
	DownAfter time.Duration
	// Persistence: the servers keep their data on volumes of their pods.
	Persistence bool
	// VolumesKept: the volumes outlive the pods. A server whose pod has not run yet, or does not exist, may have data.
	VolumesKept bool
	// RestoreFrom names the backup that a release begins with that has never had data; empty: none.
	RestoreFrom string
	// MinReplicas is how many replicas in sync a master must have to accept writes, unless it may serve alone.
	MinReplicas int
	// MasterService: there is a sentinel Service that can be asked by name for the master.
	MasterService bool
	// External is the master outside of the release; only On and Addr are set.
	External External
}

// Own is what this pod's own Redis has told in one look.
type Own struct {
	At       time.Time     // when it answered, or was found silent
	Running  bool          // the process exists
	Answered bool          // it answered INFO
	Full     bool          // it refused the launcher as one client too many
	Follows  netip.Addr    // of a replica: its master
	Unlinked time.Duration // of a replica: how long its link has been down, as Redis tells it; 0 or less before the first link
	Online   int           // of a master: replicas online and not lagging
	Look
}

// Facts are what one look has found. Step says which facts it lacks.
type Facts struct {
	Began     time.Time // when the look began
	Self      Member    // this pod as the API has it; Terminating once TERM has come
	Settings  Settings
	Own       Own
	PodsKnown bool // the pod list has been read
	// Replacing: this pod has fetched a backup that is to replace the data of the running release.
	Replacing bool
	// Written is the record that was written beside the loop since the last look; nil if there is none.
	Written *record.Record
	Answers
}

// Questions are what Step has to know before it decides. The zero value means: nothing.
type Questions struct {
	// Sentinels and Servers ask all sentinel pods, and all other server pods. They are asked at the same time.
	Sentinels, Servers bool
	// Quick bounds the time for the answers of sentinels and servers: a failover is under way, or may be.
	Quick bool
	// Record asks the API for the record of the master.
	Record bool
	// Master is the master that this replica follows, to be asked what its data are worth; invalid: nobody is asked.
	Master netip.Addr
	// Service asks the sentinel Service for the master.
	Service bool
}

// Answers are the answers to Questions. Each question is asked at most once in a look.
type Answers struct {
	Views   []View // one for each sentinel pod with an address
	Peers   []Peer // all other server pods
	Record  record.Record
	Told    Told
	Service netip.Addr // the master that the sentinel Service names, and that says it is master; invalid: none

	// Asked are the questions that have been answered, or whose time is over.
	Asked Questions
	// RecordFailed: the API refused the record, or could not be reached. RecordLate: it has not answered yet.
	RecordFailed, RecordLate bool
}
