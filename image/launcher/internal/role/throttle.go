package role

import "time"

// Throttle decides when the writes of a master wait for its replicas. It bounds what a crash of the master can lose,
// in bytes of the replication stream.
//
// A replica that has just finished a full copy is behind by all that was written during the copy. If no other replica has been within
// the limit, writes go on while the new replica catches up, and wait when it falls further behind.
type Throttle struct {
	// Limit is the lag of the foremost replica, in bytes, above which writes wait; 0 turns the Throttle off.
	Limit int64
	// Longest is how long writes may wait without a break. Each sentinel publishes messages on the master. A message waits as writes do, and
	// the pings of the sentinel wait behind it.
	Longest time.Duration
	// Memory is how many bytes more Redis may use while writes wait.
	Memory int64

	least  map[string]int64 // the least lag of each replica since it counts
	since  time.Time        // since when writes have waited without a break; zero: they do not
	memory int64            // what Redis used then, in bytes
}

// Lags is what a look at a master and its replicas has found.
type Lags struct {
	Now time.Time
	// Behind is how many bytes of the stream each replica that counts has not carried out, by a name of the replica.
	Behind map[string]int64
	// Memory is what the Redis of the master uses, in bytes. Redis reads what its clients send also while their writes wait.
	Memory int64
}

// within says whether a replica is no further behind than the limit.
func (l Lags) within(limit int64) bool {
	for _, lag := range l.Behind {
		if lag <= limit {
			return true
		}
	}
	return false
}

// Verdict is what a Throttle decides.
type Verdict int

const (
	// Go lets writes go on.
	Go Verdict = iota
	// Hold lets writes wait.
	Hold
	// Breathe lets the waiting writes go on, and then looks again.
	Breathe
)

func (v Verdict) String() string { return [...]string{"go", "hold", "breathe"}[v] }

// Look takes what a look has found. Without a replica that counts, writes do not wait; min-replicas-to-write decides whether the master accepts
// them.
func (t Throttle) Look(l Lags) (Throttle, Verdict) {
	if t.Limit == 0 || len(l.Behind) == 0 {
		return Throttle{Limit: t.Limit, Longest: t.Longest, Memory: t.Memory}, Go
	}
	least, gains, near := make(map[string]int64, len(l.Behind)), false, false
	for name, lag := range l.Behind {
		was, known := t.least[name]
		if !known {
			was = lag
		}
		gains = gains || lag <= was
		near = near || known && was <= t.Limit
		least[name] = min(was, lag)
	}
	t.least = least
	// A replica that catches up excuses the lag only while no other replica has been within the limit.
	behind := !l.within(t.Limit) && (near || !gains)
	switch {
	case !behind:
		t.since = time.Time{}
		return t, Go
	case t.since.IsZero():
		t.since, t.memory = l.Now, l.Memory
		return t, Hold
	case l.Now.Sub(t.since) >= t.Longest || l.Memory-t.memory > t.Memory:
		t.since = time.Time{}
		return t, Breathe
	default:
		return t, Hold
	}
}
