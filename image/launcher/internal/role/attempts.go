package role

import (
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// orderLasts is how long a replica that has not answered counts as a replica that may still execute the order to become master. The
// order has no end of its own. The kubelet restarts a Redis that stands still for a minute.
const orderLasts = 30 * time.Second

const (
	// attemptPause is the least time between the beginnings of two attempts to replace a dead master.
	attemptPause = 2 * time.Second
	// silentPause is the same for a silent master. Sentinels that have voted for this launcher begin nothing by themselves.
	silentPause = 250 * time.Millisecond
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
	// ReplacedByAnother: another launcher or a sentinel replaces the master, or has replaced it.
	ReplacedByAnother
	// NotElected: this launcher cannot replace the master, and a sentinel can.
	NotElected
	// Unanswered: a replica was told to become master and has not answered.
	Unanswered
	// Failed: something else has failed. The replica may have ended in this moment, or somebody has written the record.
	Failed
)

// Remainder is what an attempt leaves to do.
type Remainder int

const (
	// Nothing is left to do.
	Nothing Remainder = iota
	// Withdraw takes back the fence of a silent master: the sentinels replace it, unless it answers again.
	Withdraw
	// TellSentinel has a sentinel replace the master.
	TellSentinel
)

// Attempts are what a launcher remembers of its attempts to replace a master.
type Attempts struct {
	began      time.Time // when the last one began; zero: the next one is due
	repeated   bool      // the last one was a failure that is repeated once
	unanswered time.Time // when a replica last did not answer the order to become master; zero: every order was answered
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

// Due says whether it is time for the attempt that a decision wants.
func (a Attempts) Due(action Action, now time.Time) bool {
	return now.Sub(a.began) >= pauseBefore(action)
}

// Begin notes the beginning of an attempt.
func (a Attempts) Begin(now time.Time) Attempts {
	a.began = now
	return a
}

// AtOnce makes the next attempt due.
func (a Attempts) AtOnce() Attempts {
	a.began = time.Time{}
	return a
}

// Postpone makes the next attempt of an action due after CalmTick: it was refused for a moment only.
func (a Attempts) Postpone(action Action, now time.Time) Attempts {
	a.began = now.Add(CalmTick - pauseBefore(action))
	return a
}

// End notes how an attempt has ended, and gives what is left to do.
func (a Attempts) End(lost Lost, end Ending, now time.Time) (Attempts, Remainder) {
	repeated := a.repeated
	a.repeated = false
	switch {
	case end == Unanswered:
		a.unanswered = now
		return a, Nothing
	case end == Replaced:
		a.unanswered = time.Time{}
		return a, Nothing
	case lost.Silent:
		return a, Withdraw
	case end == ReplacedByAnother:
		return a, Nothing
	case end == Failed && !repeated:
		a.repeated = true
		return a.AtOnce(), Nothing
	}
	return a, TellSentinel
}

// MayStillObey says whether a replica may still execute an order of this launcher to become master.
func (a Attempts) MayStillObey(now time.Time) bool {
	return !a.unanswered.IsZero() && now.Sub(a.unanswered) < orderLasts
}
