package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

func TestSameSeedGivesTheSamePlan(t *testing.T) {
	one, same, other := newPlanner(7), newPlanner(7), newPlanner(8)
	differs := false
	for range 50 {
		a := one.round()
		assert.Equal(t, a, same.round())
		differs = differs || len(a) != len(other.round())
	}
	assert.True(t, differs, "another seed gives another plan")
}

func TestRoundsAreShortAndEndWithRecovery(t *testing.T) {
	p := newPlanner(1)
	seen := map[string]bool{}
	for range 500 {
		steps := p.round()
		assert.LessOrEqual(t, len(steps), 3)
		for i, s := range steps {
			seen[s.Fault+" "+s.Target] = true
			assert.Equal(t, i < len(steps)-1, s.Overlaps)
			assert.Less(t, s.Pause, maxPause)
		}
	}
	assert.Len(t, seen, len(choices), "every fault comes up")
}

func TestPromiseFollowsWhatCanBeKept(t *testing.T) {
	of := func(words ...string) []step {
		var steps []step
		for i := 0; i < len(words); i += 2 {
			steps = append(steps, step{Fault: words[i], Target: words[i+1], Pause: time.Second})
		}
		return steps
	}
	for _, c := range []struct {
		steps   []step
		lost    int
		bounded bool
	}{
		{of("delete", "master"), 0, true},
		{of("kill-redis", "master"), asyncTail, true},
		{of("cut-off", "master"), asyncTail, true},
		{of("cut-off-from-api", "master"), 0, true},
		{of("cut-off-from-slaves", "master"), 0, true},
		{of("cut-off-from-sentinels", "master"), asyncTail, true},
		{of("roll-out", "server"), 0, true},
		{of("roll-out", "sentinel", "kill-redis-without-api", "master"), asyncTail, true},
		{of("stop-api", "api", "exhaust-memory", "slave"), 0, true},
		{of("roll-out", "server", "delete", "slave"), 0, false},
		{of("lose-node", "sentinel"), asyncTail, true},
		{of("lose-node", "sentinel", "kill-redis", "master"), 2 * asyncTail, false},
		{of("freeze", "sentinel", "delete", "sentinel"), 0, true},
		{of("freeze", "sentinel", "kill-redis", "master"), asyncTail, true},
		{of("kill-redis", "slave", "kill-redis", "master"), asyncTail, false},
		{of("replace-and-kill-all", "slave"), 0, false},
		{of("freeze-and-kill-successor", "master"), asyncTail, false},
	} {
		lost, bounded := promise(c.steps)
		assert.Equal(t, c.lost, lost, c.steps)
		assert.Equal(t, c.bounded, bounded, c.steps)
	}
}

func TestNothingMayBeLostThatWasAcknowledgedWhenAllFaultsWereOver(t *testing.T) {
	ordered := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	over := lastEffect([]step{{Fault: "kill-redis"}, {Fault: "force-delete"}}, ordered)
	assert.Equal(t, 3*time.Second, over.Sub(ordered))
	assert.Equal(t, 3*time.Second+freezeTime, lastEffect([]step{{Fault: "freeze"}, {Fault: "delete"}}, ordered).Sub(ordered))
	late := over.Add(1500 * time.Millisecond)
	assert.NoError(t, lateLoss(writer.Report{}, over))
	assert.NoError(t, lateLoss(writer.Report{Lost: 900, LastLostAt: &over}, over))
	assert.EqualError(t, lateLoss(writer.Report{Lost: 900, LastLostAt: &late}, over),
		"900 acknowledged writes are lost, the last of them acknowledged 1.5 s after the faults were over")
}

func TestConfirmedWritesMayBeLostOnlyWithTwoServersOrInOneMoment(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lost := func(span time.Duration) writer.Report {
		last := first.Add(span)
		return writer.Report{Lost: 700, FirstLostAt: &first, LastLostAt: &last}
	}
	killed := []step{{Fault: "kill-redis", Target: "slave"}, {Fault: "kill-redis", Target: "master"}}
	both := func(gone int) struck { return struck{of: 2, struck: 2, gone: gone} }
	assert.NoError(t, confirmedLoss(writer.Report{}, killed, both(0)))
	assert.NoError(t, confirmedLoss(lost(2*time.Second), killed, both(0)), "not in the files yet")
	assert.NoError(t, confirmedLoss(lost(3*time.Second), killed, both(2)), "both servers may be gone")
	assert.NoError(t, confirmedLoss(lost(3*time.Second), []step{{Fault: "lose-node"}}, both(0)), "two servers may be on the node")
	for gone := range 2 {
		assert.EqualError(t, confirmedLoss(lost(3*time.Second), killed, both(gone)),
			"700 writes that a replica had are lost, confirmed within 3.0 s, and a server that had them is still there")
	}
}

func TestServerThatNoFaultHasStruckKeepsWhatItHas(t *testing.T) {
	now := time.Now()
	lost := writer.Report{Lost: 260, FirstLostAt: &now, LastLostAt: &now}
	two := struck{of: 3, struck: 2, gone: 1}
	asleep := []step{{Fault: "freeze", Target: "slave"}, {Fault: "kill-launcher", Target: "master"}, {Fault: "force-delete", Target: "master"}}
	assert.EqualError(t, confirmedLoss(lost, asleep, two), "260 writes that a replica had are lost, and no fault has struck 1 of the 3 servers")
	assert.NoError(t, confirmedLoss(writer.Report{Lost: asyncTail, FirstLostAt: &now, LastLostAt: &now}, asleep, two), "what was on its way to it")
	assert.NoError(t, confirmedLoss(lost, asleep, struck{of: 3, struck: 3, gone: 1}), "all were struck, and lose what was not in their files")
	cut := step{Fault: "cut-off-from-sentinels", Target: "master"}
	assert.Error(t, confirmedLoss(lost, []step{cut}, two), "its label tells the master that it is being replaced")
	assert.Error(t, confirmedLoss(lost, []step{cut, {Fault: "stop-api", Target: "api"}}, two), "an isolated master holds writes back")
}
