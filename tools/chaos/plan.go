package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

// step is one fault of a plan. It names its target by role and number, not by
// pod, so that the same seed gives the same plan on every cluster.
type step struct {
	Fault  string        `json:"fault"`
	Target string        `json:"target"` // master, slave, sentinel; server and sentinel for a roll-out; api
	Number int           `json:"number"` // which of the slaves or sentinels, by name
	Pause  time.Duration `json:"pause"`  // before the fault
	// Overlaps says that the release is not left to recover before the next step.
	Overlaps bool `json:"overlaps"`
}

func (s step) String() string {
	switch {
	case s.Fault == "stop-api":
		return s.Fault
	case s.Fault == "roll-out":
		return s.Fault + " of the " + s.Target + "s"
	case s.Target == "master":
		return s.Fault + " of the master"
	}
	return fmt.Sprintf("%s of the %s %d", s.Fault, s.Target, s.Number)
}

// choice is a fault that a plan may hold.
type choice struct {
	fault, target string
	weight        int
}

// choices are the faults, with how often each comes.
var choices = []choice{
	{"delete", "master", 4}, {"kill-redis", "master", 4}, {"kill-launcher", "master", 3}, {"force-delete", "master", 2}, {"freeze", "master", 3},
	{"delete", "slave", 2}, {"kill-redis", "slave", 2}, {"kill-launcher", "slave", 2}, {"freeze", "slave", 1},
	{"delete", "sentinel", 2}, {"kill-redis", "sentinel", 2}, {"kill-launcher", "sentinel", 2}, {"freeze", "sentinel", 1},
	{"cut-off", "master", 2}, {"cut-off", "slave", 1}, {"cut-off", "sentinel", 1},
	{"cut-off-from-api", "master", 1}, {"cut-off-from-api", "slave", 1}, {"cut-off-from-api", "sentinel", 1},
	{"cut-off-from-sentinels", "master", 1}, {"cut-off-from-slaves", "master", 1},
	{"lose-node", "master", 1}, {"lose-node", "slave", 1}, {"lose-node", "sentinel", 1},
	{"exhaust-memory", "master", 1}, {"exhaust-memory", "slave", 1},
	{"roll-out", "server", 1}, {"roll-out", "sentinel", 1},
	{"stop-api", "api", 1}, {"kill-redis-without-api", "master", 1},
	{"replace-and-kill-all", "slave", 2}, {"freeze-and-kill-successor", "master", 2},
}

const (
	// maxPause is the longest pause before a fault.
	maxPause = 4 * time.Second
	// overlapShare is how many of ten steps are followed by another at once.
	overlapShare = 3
)

// planner draws steps from a seed.
type planner struct{ random *rand.Rand }

func newPlanner(seed uint64) *planner { return &planner{rand.New(rand.NewPCG(seed, 0))} }

// next draws a step.
func (p *planner) next() step {
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	drawn := p.random.IntN(sum)
	for _, c := range choices {
		if drawn -= c.weight; drawn < 0 {
			return step{
				Fault: c.fault, Target: c.target, Number: p.random.IntN(2),
				Pause: time.Duration(p.random.Int64N(int64(maxPause))), Overlaps: p.random.IntN(10) < overlapShare,
			}
		}
	}
	panic("the weights do not add up")
}

// round draws the steps until one that is left to recover: one to three.
func (p *planner) round() []step {
	var steps []step
	for {
		s := p.next()
		if len(steps) == 2 {
			s.Overlaps = false
		}
		steps = append(steps, s)
		if !s.Overlaps {
			return steps
		}
	}
}

// harmless are the faults of a master that cost no acknowledged write: it is
// only asked to leave, or stays.
var harmless = []string{"delete", "cut-off-from-api", "cut-off-from-slaves"}

// double are the faults that hit several servers.
var double = []string{"replace-and-kill-all", "freeze-and-kill-successor"}

// promise is how many acknowledged writes of a plain client may be lost in a
// round: none where the master is only asked to leave or stays, and what had not left its
// sockets for each time that it dies, or may have been on a node that was lost. Where servers fail together there is no
// bound, as no replica may have been connected.
func promise(steps []step) (lost int, bounded bool) {
	servers := 0
	for _, s := range steps {
		if (s.Target == "sentinel" || s.Target == "api") && s.Fault != "lose-node" {
			continue
		}
		servers++
		if slices.Contains(double, s.Fault) {
			servers++
		}
		if s.Fault == "lose-node" || s.Target == "master" && !slices.Contains(harmless, s.Fault) {
			lost += asyncTail
		}
	}
	return lost, servers <= 1
}

// lastEffect is when the last of the faults has certainly had its effect: a pod
// deleted by force lives on for up to two seconds, a frozen process wakes up.
func lastEffect(steps []step, ordered time.Time) time.Time {
	last := ordered.Add(3 * time.Second)
	for _, s := range steps {
		if s.Fault == "freeze" {
			return last.Add(freezeTime)
		}
	}
	return last
}

// lateLoss says whether a write was lost that was acknowledged when all faults
// were over: whoever was master then had to keep it, or to be replaced by a
// server that had it.
func lateLoss(r writer.Report, over time.Time) error {
	if r.LastLostAt == nil || !r.LastLostAt.After(over) {
		return nil
	}
	return fmt.Errorf("%d acknowledged writes are lost, the last of them acknowledged %.1f s after the faults were over",
		r.Lost, r.LastLostAt.Sub(over).Seconds())
}

// syncedAfter is the age at which a write is safe in the files of a server: with
// appendfsync everysec Redis may confirm writes up to two seconds before they are.
const syncedAfter = 2 * time.Second

// confirmedLoss says whether writes were lost that a replica had confirmed, in whatever
// combination of faults. Each was on two servers, so where at most one pod is gone with its
// volume, a server had it until somebody with less data became its master. Two servers may be on a
// node that is lost, while the third, which was behind, is there. Processes that are killed together
// may lose what was not in their files yet. A server that no fault has struck loses nothing, and has
// everything but what was on its way to it.
func confirmedLoss(r writer.Report, steps []step, servers struck) error {
	if r.Lost == 0 || servers.gone > 1 || slices.ContainsFunc(steps, func(s step) bool { return s.Fault == "lose-node" }) {
		return nil
	}
	if servers.struck < servers.of && r.Lost > asyncTail {
		return fmt.Errorf("%d writes that a replica had are lost, and no fault has struck %d of the %d servers", r.Lost, servers.of-servers.struck, servers.of)
	}
	if span := r.LastLostAt.Sub(*r.FirstLostAt); span > syncedAfter {
		return fmt.Errorf("%d writes that a replica had are lost, confirmed within %.1f s, and a server that had them is still there", r.Lost, span.Seconds())
	}
	return nil
}

// silencing are the faults that keep a server from answering for a while and end no process.
var silencing = []string{"freeze", "cut-off", "cut-off-from-sentinels", "cut-off-from-slaves", "freeze-and-kill-successor"}

// asyncTail is how many acknowledged writes one client may lose with a master
// that dies: Redis replicates asynchronously.
const asyncTail = 2
