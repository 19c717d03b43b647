package role

import (
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

const (
	// attemptPause is the least time between the beginnings of two attempts to replace a dead master.
	attemptPause = 2 * time.Second
	// silentPause is the same for a silent master. Sentinels that have voted for this launcher begin nothing by themselves.
	silentPause = 250 * time.Millisecond
	// attemptMemory is how long the end of an attempt counts for the next one. The next attempt begins up to attemptPause after the last one
	// began, and a look before it takes up to 2 s where pods do not answer.
	attemptMemory = 5 * time.Second
)

// Lost is a master that this launcher replaces without the help of its Redis.
type Lost struct {
	record.Lost
	// Replicas may replace the master.
	Replicas []Replica
	// Frozen: the launcher of a silent master does not answer either. It cannot demote the master when that wakes up.
	Frozen bool
}

// LostMaster gives the master that a decision replaces. The result is false if the decision does not have this launcher replace a master.
func (m *Memory) LostMaster(o Observation, d Decision) (Lost, bool) {
	recorded := record.Lost{Member: m.Record.Master, Generation: m.Record.Generation}
	switch d.Action {
	case FailOver:
		return Lost{Lost: record.Lost{Member: o.Self.record(), Reason: "redis-server has ended"}, Replicas: o.Replicas(m.ServedHistory)}, true
	case ReplaceDead:
		recorded.Reason = "its container has ended"
		return Lost{Lost: recorded, Replicas: o.Replicas(o.Local.History.ID)}, true
	case ReplaceSilent:
		recorded.Reason, recorded.Silent = "most sentinels find it down", true
		frozen := slices.ContainsFunc(o.Peers, func(p Peer) bool { return p.IP == d.Target && p.Launcher == Unknown })
		return Lost{Lost: recorded, Replicas: o.Replicas(o.Local.History.ID), Frozen: frozen}, true
	}
	return Lost{}, false
}

// Address is the address of the lost master.
func (l Lost) Address() (netip.Addr, error) { return netip.ParseAddr(l.IP) }

// Ending is how an attempt to replace a master has ended.
type Ending int

const (
	// Replaced: the successor is master.
	Replaced Ending = iota
	// Ordered: a sentinel was told to replace the master, or could not be told.
	Ordered
	// ReplacedByAnother: another launcher or a sentinel replaces the master, or has replaced it, or the master has come back.
	ReplacedByAnother
	// NotElected: this launcher has not got the votes of a majority of the configured sentinels.
	NotElected
	// Unanswered: a replica was told to become master and has not answered.
	Unanswered
	// Failed: something else has failed. The replica may have ended in this moment, somebody may have written the record, or the API does not
	// answer.
	Failed
	// TooSoon: another launcher has just acted. The attempt may be repeated after CalmTick.
	TooSoon
)

// Attempts are what a launcher remembers of its attempts to replace a master. One attempt runs at a time.
type Attempts struct {
	running    bool
	action     Action    // of the last one
	generation int64     // the latest of the records in all of them; each master has another; 0: no record was known
	began      time.Time // when the last one began; zero: the next one is due
	ended      time.Time // when the last one ended
	repeated   bool      // the last one was a failure that is repeated at once
	unvoted    bool      // the sentinels did not elect this launcher in the last one
}

// pauseBefore is the least time between the beginnings of two attempts.
func pauseBefore(action Action) time.Duration {
	switch action {
	case Nudge:
		return record.OrderAge
	case ReplaceSilent:
		return silentPause
	default:
		return attemptPause
	}
}

// replaces says whether an action is an attempt to replace a master.
func (a Action) replaces() bool {
	return a == FailOver || a == Nudge || a == ReplaceDead || a == ReplaceSilent
}

// Running says whether an attempt has begun and not ended.
func (a Attempts) Running() bool { return a.running }

// allow gives the action that a launcher carries out now: an attempt begins when it is due. generation is that of the record, or 0. A server does not
// claim mastership while an attempt runs.
func (a Attempts) allow(action Action, generation int64, now time.Time) (Attempts, Action) {
	switch {
	case a.running && (action.replaces() || action == Claim):
		return a, Wait
	case !action.replaces():
		return a, action
	case now.Sub(a.began) < pauseBefore(action):
		return a, Wait
	}
	if action != a.action || a.generation > 0 && generation > 0 && generation != a.generation || now.Sub(a.ended) > attemptMemory {
		a.repeated, a.unvoted = false, false // the last attempt was of another kind, for another master, or long ago
	}
	a.running, a.action, a.generation, a.began = true, action, max(generation, a.generation), now
	return a, action
}

// AtOnce makes the next attempt due.
func (a Attempts) AtOnce() Attempts {
	a.began = time.Time{}
	return a
}

// Unvoted says whether the attempt that runs may replace the master without the votes of the sentinels, if the record names the successor. The
// sentinels name the master, and have not voted for this launcher in the attempt before. SENTINEL FAILOVER replaces a master without votes, too.
func (a Attempts) Unvoted() bool { return a.running && a.unvoted }

// End notes how the attempt has ended.
func (a Attempts) End(end Ending, now time.Time) Attempts {
	repeated := a.repeated
	a.running, a.repeated, a.unvoted, a.ended = false, false, false, now
	switch {
	case end == TooSoon:
		a.began = now.Add(CalmTick - pauseBefore(a.action))
	case a.action != FailOver && a.action != ReplaceDead:
		// The sentinels replace a silent master by themselves, unless it answers again.
	case end == Failed || end == NotElected:
		a.unvoted = end == NotElected
		if !repeated {
			a.repeated = true
			return a.AtOnce()
		}
	}
	return a
}
