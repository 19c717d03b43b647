// Package sentinel is what Redis Sentinel knows, and what it will do, as far as the launcher depends on it. It is pure: package
// redisnode asks the sentinels and fills its types.
package sentinel

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// InfoPeriod is how often a sentinel asks a replica for its state.
	InfoPeriod = time.Second
	// PingPeriod is how often a sentinel pings it.
	PingPeriod = 250 * time.Millisecond
)

// KnownReplica is a replica in a sentinel's memory.
type KnownReplica struct {
	Addr   netip.AddrPort
	RunID  string
	Offset int64 // when the sentinel last asked, up to a second ago
	Down   bool
	// Disconnected: the sentinel has no connection to it, and does not choose it.
	Disconnected bool
	Promoted     bool       // the sentinel that leads a failover has chosen it
	Master       bool       // it said last that it is a master
	Follows      netip.Addr // the master that it said last that it follows
	Priority     int        // 0: never promoted
	// InfoAge is how long ago the sentinel last heard all this, and PongAge how long
	// ago any answer to a ping came. Before it has heard of the replica RunID is empty.
	InfoAge, PongAge time.Duration
}

// Vote is the vote of a sentinel for the candidate that may replace a master in an epoch.
type Vote struct {
	Leader string // run ID of the candidate that it voted for last; "*" for nobody
	Epoch  int64  // in which it did
}

// eligible leaves out the replicas that Sentinel does not promote.
func eligible(known []KnownReplica) []KnownReplica {
	return slices.DeleteFunc(slices.Clone(known), func(r KnownReplica) bool { return r.Down || r.Disconnected || r.Priority == 0 })
}

// Choice is the replica that a sentinel with this memory promotes: the lowest
// priority number above 0, then the highest offset, then the lowest run ID.
func Choice(known []KnownReplica) netip.Addr {
	known = eligible(known)
	if len(known) == 0 {
		return netip.Addr{}
	}
	return slices.MinFunc(known, func(a, b KnownReplica) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Offset, a.Offset), strings.Compare(a.RunID, b.RunID))
	}).Addr.Addr()
}

// PromotesUnasked says whether a sentinel with this memory may promote a Redis that
// starts now at this address before the sentinel has asked that Redis anything. Sentinel promotes no
// replica without an answer in the last five ping periods. It asks a replica for its state together
// with the first ping of a connection, unless it has asked in the last info period.
func PromotesUnasked(known []KnownReplica, ip netip.Addr) bool {
	return slices.ContainsFunc(known, func(r KnownReplica) bool {
		return r.Addr.Addr() == ip && r.RunID != "" && r.Priority > 0 && (r.InfoAge <= InfoPeriod || r.PongAge <= 5*PingPeriod)
	})
}
