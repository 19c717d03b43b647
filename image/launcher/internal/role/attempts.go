package role

import (
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// orderLasts is how long a replica that has not answered counts as a replica that may still execute the order to become master. The
// order has no end of its own. The kubelet restarts a Redis that stands still for a minute.
const orderLasts = 30 * time.Second

// InformedAfter is how long a launcher that could not replace a dead master waits before it tells a sentinel. Each sentinel has asked every
// replica since the death then, since it asks once in sentinel.InfoPeriod. Before, it would choose by what it has heard while the master still
// wrote.
const InformedAfter = sentinel.InfoPeriod + 200*time.Millisecond

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
	// Ordered: a sentinel was told to replace the master, or could not be told.
	Ordered
	// ReplacedByAnother: another launcher or a sentinel replaces the master, or has replaced it, or the master has come back.
	ReplacedByAnother
	// NotElected: this launcher cannot replace the master, and a sentinel can.
	NotElected
	// Unanswered: a replica was told to become master and has not answered.
	Unanswered
	// Failed: something else has failed. The replica may have ended in this moment, or somebody has written the record.
	Failed
	// TooSoon: another launcher has just acted. The attempt may be repeated after CalmTick.
	TooSoon
)

// Attempts are what a launcher remembers of its attempts to replace a master. One attempt runs at a time.
type Attempts struct {
	running    bool
	action     Action    // of the last one
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

// replaces says whether an action is an attempt to replace a master.
func (a Action) replaces() bool {
	return a == FailOver || a == Nudge || a == ReplaceDead || a == ReplaceSilent
}

// Running says whether an attempt has begun and not ended.
func (a Attempts) Running() bool { return a.running }

// allow gives the action that a launcher carries out now: an attempt begins when it is due. A server does not claim mastership while an
// attempt runs.
func (a Attempts) allow(action Action, now time.Time) (Attempts, Action) {
	switch {
	case a.running && (action.replaces() || action == Claim):
		return a, Wait
	case !action.replaces():
		return a, action
	case now.Sub(a.began) < pauseBefore(action):
		return a, Wait
	}
	a.running, a.action, a.began = true, action, now
	return a, action
}

// AtOnce makes the next attempt due.
func (a Attempts) AtOnce() Attempts {
	a.began = time.Time{}
	return a
}

// End notes how the attempt has ended. tell says that a sentinel is to be told to replace the master; the attempt goes on then.
func (a Attempts) End(end Ending, now time.Time) (next Attempts, tell bool) {
	repeated := a.repeated
	a.running, a.repeated = false, false
	switch {
	case end == Replaced:
		a.unanswered = time.Time{}
	case end == Unanswered:
		a.unanswered = now
	case end == TooSoon:
		a.began = now.Add(CalmTick - pauseBefore(a.action))
	case a.action != FailOver && a.action != ReplaceDead:
		// The sentinels replace a silent master by themselves, unless it answers again.
	case end == Failed && !repeated:
		a.repeated = true
		return a.AtOnce(), false
	case end == Failed || end == NotElected:
		a.running = true
		return a, true
	}
	return a, false
}

// Told notes that a sentinel was told, or could not be told, to replace the master.
func (a Attempts) Told() Attempts {
	a.running = false
	return a
}

// MayStillObey says whether a replica may still execute an order of this launcher to become master.
func (a Attempts) MayStillObey(now time.Time) bool {
	return !a.unanswered.IsZero() && now.Sub(a.unanswered) < orderLasts
}
