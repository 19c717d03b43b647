package role

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// The lives in this file are like those of lives_test.go. They are about promotions that the
// record does not show, or does not show yet.

// until lets time pass until a condition holds.
func (w *world) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 80 {
		if holds() {
			return
		}
		w.live(step)
	}
	t.Fatalf("waited 40 s for %s", what)
}

// promoted waits until another server than one is master, which it gives.
func (w *world) promoted(t *testing.T, other *simServer) (master *simServer) {
	t.Helper()
	w.until(t, "another master than "+other.Name, func() bool {
		i := slices.IndexFunc(w.servers, func(s *simServer) bool { return s != other && s.redis.master && s.alive(w) && !s.isolated })
		if i >= 0 {
			master = w.servers[i]
		}
		return i >= 0
	})
	return master
}

// synced waits until a replica is in sync with a master.
func (w *world) synced(t *testing.T, replica, master *simServer) {
	t.Helper()
	w.until(t, replica.Name+" to be in sync with "+master.Name, func() bool {
		return replica.redis.linkUp && replica.redis.follows == master.IP
	})
}

// third gives the server that is neither of two.
func (w *world) third(a, b *simServer) *simServer {
	return w.servers[slices.IndexFunc(w.servers, func(s *simServer) bool { return s != a && s != b })]
}

// A master that dies while the API is away is replaced, and so is its successor. The record
// names neither, and in the end names the present master by chance.
func TestMasterThatIsPromotedAgainWithoutTheAPITakesANewGeneration(t *testing.T) {
	w := settled(t, true)
	first := w.labelled()[0]
	generation := w.record.Generation
	w.apiDown = true
	first.redis.frozen = w.now + 20*time.Second
	second := w.promoted(t, first)
	w.third(first, second).isolated = true
	w.synced(t, first, second)
	w.live(5 * time.Second)
	w.restart(second, 40*time.Second)
	require.Same(t, first, w.promoted(t, second))
	w.live(5 * time.Second)
	w.apiDown = false
	w.live(5 * time.Second)
	require.Greater(t, w.record.Generation, generation)
	require.Equal(t, first.UID, w.record.Master.UID)
	w.endsWell(t)
}

// The recorded master and its successor die while the API is away. The master before them comes
// back from a lost network, and most sentinels cannot be reached.
func TestMasterOfThePastIsNotFollowedByWhoeverSawALaterPromotion(t *testing.T) {
	w := settled(t, false)
	first := w.labelled()[0]
	first.isolated = true
	second := w.promoted(t, first)
	third := w.third(first, second)
	w.until(t, "the record of "+second.Name, func() bool { return w.record.Master.UID == second.UID })
	w.apiDown = true
	w.synced(t, third, second)
	w.campaigns = 1 // the launcher of the second lives to the end of its replacement
	second.kill(w)
	require.Same(t, third, w.promoted(t, second))
	w.synced(t, second, third)
	w.sentinels[0].isolated, w.sentinels[1].isolated = true, true
	w.live(time.Second)
	third.kill(w)
	w.live(4 * time.Second)
	first.isolated = false
	w.live(5 * time.Second)
	require.Empty(t, w.broken)
	w.endsWell(t)
}

// A replica synchronises with a promoted master the moment before that pod and all sentinels are
// replaced. Its standing does not tell of that promotion yet, and its history does.
func TestReplicaOfALaterPromotionDoesNotFollowAMasterOfThePast(t *testing.T) {
	w := settled(t, false)
	first := w.labelled()[0]
	w.apiDown = true
	first.kill(w)
	second := w.promoted(t, first)
	for _, s := range w.servers {
		if s != second {
			w.synced(t, s, second)
		}
	}
	w.live(time.Second)
	second.isolated = true
	next := w.promoted(t, second)
	w.apiDown = false
	w.synced(t, w.third(second, next), next)
	w.replace(w.index(next), time.Second)
	w.forgetPromotions()
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	second.isolated = false
	w.live(20 * time.Second)
	require.Empty(t, w.broken)
	w.endsWell(t)
}

// The recorded master dies the moment after a replica has synchronised with it. Its launcher sees
// the master of the past, and most sentinels cannot be reached.
func TestMasterOfThePastIsNotFollowedWhileAReplicaGoesOnFromItsSuccessor(t *testing.T) {
	w := settled(t, false)
	first := w.labelled()[0]
	first.isolated = true
	second := w.promoted(t, first)
	w.synced(t, w.third(first, second), second)
	w.until(t, "the record of "+second.Name, func() bool { return w.record.Master.UID == second.UID })
	second.kill(w)
	w.sentinels[0].isolated, w.sentinels[1].isolated = true, true
	first.isolated = false
	w.live(5 * time.Second)
	require.Empty(t, w.broken)
	w.endsWell(t)
}

// Without persistence a master that restarts has nothing. Its replicas had synchronised with it,
// and no launcher had looked yet.
func TestReplicaThatNoLookHasSeenLinkedIsNotWiped(t *testing.T) {
	w := settled(t, false)
	master := w.labelled()[0]
	var replicas []*simServer
	for _, s := range w.servers {
		if s != master {
			s.kill(w)
			replicas = append(replicas, s)
		}
	}
	w.until(t, "the replicas to start again", func() bool { return replicas[0].redis.running && replicas[1].redis.running })
	for range 2 {
		w.advance(step, []int{w.index(master), 3, 4, 5}, nil)
	}
	require.True(t, replicas[0].redis.linkUp)
	w.restart(master, time.Second)
	w.live(5 * time.Second)
	require.Empty(t, w.broken)
	w.endsWell(t)
}

// The sentinel that leads a failover is lost when it has promoted a replica and told nobody. The
// master wakes up, and the other sentinels still name it. What it knows is as old as its sleep.
func TestMasterThatStoodStillReadsTheRecordBeforeItServes(t *testing.T) {
	w := settled(t, true)
	w.noVotes = true // Sentinel replaces it
	first := w.labelled()[0]
	first.thawAt = w.now + time.Minute
	second := w.promoted(t, first)
	w.until(t, "the record of "+second.Name, func() bool { return w.record.Master.UID == second.UID })
	leader := slices.IndexFunc(w.sentinels, func(s *simSentinel) bool { return s.leads != nil })
	require.GreaterOrEqual(t, leader, 0, "nobody has been told")
	w.replaceSentinel(leader, time.Second)
	first.thawAt = w.now
	w.live(2 * time.Second)
	require.False(t, first.redis.master, "%s follows its successor", first.Name)
	w.endsWell(t)
}

// A replica stands still or is cut off while its master restarts alone and begins a new history. The
// master's pod is lost when the other replica has a copy. The first replica has the higher offset, of
// the old history, and comes back before the sentinels replace the master. If it was cut off, its
// link seems to be up: nobody is left to tell it that the other end is gone.
func TestReplicaThatMissedARestartIsNotPromotedOverOneInSync(t *testing.T) {
	for name, away := range map[string]func(w *world, s *simServer, is bool){
		"it stands still": func(w *world, s *simServer, is bool) {
			if s.redis.frozen = w.now + step; is {
				s.redis.frozen = w.now + time.Hour
			}
		},
		"it is cut off": func(_ *world, s *simServer, is bool) { s.isolated = is },
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t, true)
			master := w.labelled()[0]
			var replicas []*simServer
			for _, s := range w.servers {
				if s != master {
					replicas = append(replicas, s)
				}
			}
			missing, other := replicas[0], replicas[1]
			w.live(20 * time.Second) // the old history becomes longer than the new one
			away(w, missing, true)
			w.restart(other, 8*time.Second)
			w.restart(master, time.Second)
			w.until(t, master.Name+" to restart", func() bool { return master.redis.master && master.Label == Master })
			w.synced(t, other, master)
			w.live(3 * time.Second)
			require.Less(t, other.redis.offset, missing.redis.offset)
			w.replace(w.index(master), time.Second)
			away(w, missing, false)
			require.Same(t, other, w.promoted(t, master))
			w.live(10 * time.Second)
			require.Empty(t, w.broken)
			w.endsWell(t)
		})
	}
}

// A master stands still and is replaced. Its successor is lost without persistence while the other
// replica receives a full copy, and the API is away. The sentinels know no priority of a master.
// So the first master follows its successor, and is not promoted over the replica.
func TestMasterThatStoodStillIsNotPromotedForTheReplicaThatHasMore(t *testing.T) {
	w := settled(t, false)
	first := w.labelled()[0]
	first.redis.frozen = w.now + 30*time.Second
	second := w.promoted(t, first)
	third := w.third(first, second)
	w.until(t, "the record of "+second.Name, func() bool { return w.record.Master.UID == second.UID })
	w.synced(t, third, second)
	w.live(time.Second)
	w.apiDown = true
	third.hungryUntil = w.now + 20*time.Second
	w.until(t, third.Name+" to receive a copy", func() bool { return third.redis.copying })
	w.restart(second, time.Minute)
	w.until(t, first.Name+" to wake up", func() bool { return w.now > first.redis.frozen })
	w.live(40 * time.Second)
	require.False(t, first.redis.master)
	require.Empty(t, w.broken)
	w.endsWell(t)
}

// A replica stands still while its master dies and is replaced by a server with less data. The successor dies in the
// moment in which the replica wakes up. What the replica has more is of a history that has ended.
func TestReplicaOfAnEarlierHistoryIsNotPromotedForItsOffset(t *testing.T) {
	w := settled(t, false)
	first := w.labelled()[0]
	i := slices.IndexFunc(w.servers, func(s *simServer) bool { return s != first })
	second := w.servers[i]
	third := w.third(first, second)
	second.isolated = true
	w.live(time.Second)
	first.accept(w, 100)
	w.live(time.Second)
	third.thawAt = w.now + time.Hour
	first.kill(w)
	second.isolated = false
	second.joinedAt = w.now
	require.Same(t, second, w.promoted(t, first))
	w.synced(t, first, second)
	second.accept(w, 5)
	w.live(2 * time.Second)
	require.Greater(t, third.redis.offset, second.redis.offset)
	second.kill(w)
	third.thawAt = w.now
	w.live(2 * time.Second)
	require.Empty(t, w.broken)
	require.False(t, third.redis.master, "its data are of a history that has ended")
	w.endsWell(t)
}

// The launcher of a replica replaces a master that stands still, as it replaces a dead one. The master may wake up at any moment.
func TestMasterThatStandsStillIsReplacedByTheLauncherOfAReplica(t *testing.T) {
	for _, noVotes := range []bool{false, true} { // without votes a sentinel does it
		w := settled(t, true)
		w.noVotes = noVotes
		first := w.labelled()[0]
		first.redis.frozen = w.now + time.Minute
		second := w.promoted(t, first)
		led := slices.ContainsFunc(w.sentinels, func(s *simSentinel) bool { return s.leads != nil })
		require.Equal(t, noVotes, led, "a sentinel leads a failover")
		require.LessOrEqual(t, second.redis.offset, first.redis.offset)
		w.endsWell(t)
	}
}

// A launcher that has been elected to replace a silent master may end before it promotes anybody. The master answers again and sees
// in the record that it is being replaced: its writes wait until nobody does so any more.
func TestMasterThatAnswersWhileItIsReplacedHoldsWritesBack(t *testing.T) {
	w := settled(t, true)
	first := w.labelled()[0]
	other := w.servers[slices.IndexFunc(w.servers, func(s *simServer) bool { return s != first })]
	dead := record.Lost{Member: first.record(), Silent: true}
	w.write(w.record.FenceLost(dead, other.record(), other.UID, w.clock()))
	first.Label = "" // a sentinel's launcher has taken it
	w.live(time.Second)
	require.True(t, first.plan.Pause)
	require.True(t, first.plan.Succeeded, "for as long as it may take")
	require.Empty(t, first.Label)
	w.live(record.CarrierPatience + record.Skew)
	require.False(t, first.plan.Pause)
	require.Equal(t, Master, first.Label)
	w.endsWell(t)
}

// A master is lost the moment after it was promoted. Its replica restarts and has asked it in vain for the generation of the data.
// The files of the former master tell of the generation before, and lack the last writes.
func TestFilesOfAReplicaOfALostSuccessorWinOverThoseOfTheFormerMaster(t *testing.T) {
	w := settled(t, true)
	first := w.labelled()[0]
	w.restart(first, 20*time.Second)
	second := w.promoted(t, first)
	third := w.third(first, second)
	for third.redis.data.last.by != second {
		w.advance(step, []int{w.index(first), 3, 4, 5, w.index(third), w.index(second)}, nil)
	}
	second.isolated = true
	written := third.redis.data.last
	w.live(step)
	w.restart(third, time.Second)
	w.live(time.Minute)
	require.True(t, third.redis.master)
	w.endsWell(t)
	require.True(t, w.labelled()[0].redis.data.holds(written))
}
