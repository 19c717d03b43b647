package role

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// The lives in this file are ones that the random lives of machine_test.go once
// found to end badly.

// booted is a release of three servers half a second after the first of them
// has been elected and before anybody is in sync with it.
func booted(t *testing.T, persistence bool) *world {
	w := newWorld(t, persistence)
	w.live(time.Second)
	require.True(t, w.servers[0].redis.master)
	require.False(t, w.servers[1].redis.linkUp)
	return w
}

// settled is a release in which everything works.
func settled(t *testing.T, persistence bool) *world {
	w := booted(t, persistence)
	w.live(20 * time.Second)
	require.Empty(t, w.problem())
	return w
}

func (w *world) live(d time.Duration) { w.advance(d, everybody, nil) }

// endsWell heals the release and checks how it ends.
func (w *world) endsWell(t *testing.T) {
	t.Helper()
	w.heal()
	healed := w.now
	w.live(settleTime)
	require.Empty(t, w.broken)
	require.Empty(t, w.problem())
	lost, latest := w.lost(healed+keepTime, w.labelled()[0].redis.data)
	require.Zero(t, lost, "writes accepted up to %v after everything worked again are lost", latest-healed)
	require.Empty(t, w.unkept(w.labelled()[0].redis.data), "writes that a replica had confirmed are lost")
}

// index says where in the release a server is.
func (w *world) index(s *simServer) int { return slices.Index(w.servers, s) }

func TestMasterLostBeforeTheFirstSyncIsReplaced(t *testing.T) {
	for _, persistence := range []bool{true, false} {
		w := booted(t, persistence)
		w.replace(0, time.Second)
		w.endsWell(t)
	}
}

func TestEverythingRestartsAndTheNewMasterIsLostAtOnce(t *testing.T) {
	w := settled(t, true)
	for _, s := range w.servers {
		w.restart(s, time.Second)
	}
	w.live(2 * time.Second)
	for i, s := range w.servers {
		if s.redis.master {
			w.replace(i, time.Second)
		}
	}
	require.True(t, w.anyData())
	w.endsWell(t)
	require.NotZero(t, w.labelled()[0].redis.data.writes)
}

func TestMasterThatDiesWithItsDataDoesNotWipeItsReplicas(t *testing.T) {
	w := settled(t, false)
	w.labelled()[0].kill(w)
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	w.endsWell(t)
	require.NotZero(t, w.labelled()[0].redis.data.writes)
}

func TestLoneMasterThatIsCutOffIsNotOneOfTwo(t *testing.T) {
	w := settled(t, true)
	master := w.labelled()[0]
	for _, s := range w.servers {
		if s != master {
			w.restart(s, 40*time.Second)
			s.apiCut = true
		}
	}
	w.live(30 * time.Second)
	require.True(t, master.accepts(w), "a master alone may serve while it can see that it is not cut off")
	master.isolated = true
	w.live(5 * time.Second)
	require.False(t, master.accepts(w), "and not while it cannot")
	for range 200 {
		for _, s := range w.servers {
			s.apiCut = false
		}
		w.live(step)
		require.Empty(t, w.doubt)
	}
	w.endsWell(t)
}

func TestPatienceIsNotUsedUpBeforeTheReleaseIsInView(t *testing.T) {
	w := settled(t, true)
	master := w.labelled()[0]
	for _, s := range w.servers {
		if s != master {
			w.restart(s, time.Second)
			s.apiCut = true
		}
	}
	w.live(time.Minute)
	master.isolated, master.probedAt = true, w.now-nodeGrace // the API has given its node up already
	for _, s := range w.servers {
		s.apiCut = false
	}
	w.live(20 * time.Second)
	for _, s := range w.servers {
		require.True(t, s == master || !s.redis.master, "%s has not been looking for 30 s", s.Name)
	}
	w.endsWell(t)
}

func TestClaimEndsWithTheProcess(t *testing.T) {
	w := newWorld(t, false)
	for _, s := range w.sentinels {
		s.upAt = time.Minute
	}
	w.live(time.Second)
	require.True(t, w.servers[0].redis.master)
	w.live(time.Second)
	w.apiDown = true
	w.servers[0].kill(w)
	w.live(5 * time.Second)
	w.endsWell(t)
}

// succeeded is a release whose first master has been cut off for a while, and has a successor.
func succeeded(t *testing.T, since time.Duration) (w *world, first, second *simServer) {
	w = settled(t, true)
	first = w.labelled()[0]
	first.isolated = true
	w.live(since)
	second = w.labelled()[0]
	require.NotSame(t, first, second)
	return w, first, second
}

// past is a release whose first master has come back, with its data of an
// earlier generation, while the recorded master and two sentinels are away; it
// gives the first master and a replica of the recorded one, which restarts.
func past(t *testing.T) (w *world, first, replica *simServer) {
	w, first, second := succeeded(t, 30*time.Second)
	for _, s := range w.servers {
		if s != first && s != second {
			replica = s
		}
	}
	require.Greater(t, replica.redis.data.writes, first.redis.data.writes)
	for _, s := range w.sentinels[1:] {
		s.isolated = true
	}
	w.restart(second, time.Hour)
	w.restart(replica, time.Second)
	first.isolated = false
	return w, first, replica
}

func TestMasterOfThePastIsNotFollowedWithoutASentinelMajority(t *testing.T) {
	w, first, replica := past(t)
	written := replica.disk.writes
	w.live(time.Minute)
	require.GreaterOrEqual(t, replica.disk.writes, written, "the data are still there")
	require.NotEqual(t, first.IP, replica.redis.follows)
	for _, s := range w.servers {
		s.upAt = min(s.upAt, w.now)
	}
	w.endsWell(t)
	require.GreaterOrEqual(t, w.labelled()[0].redis.data.writes, written)
}

func TestBestOfTwoMastersWithoutARecordIsElectedWhereSentinelsKnowNothing(t *testing.T) {
	w := settled(t, true)
	recorded := w.labelled()[0]
	var others []*simServer
	for i, s := range w.servers {
		if s != recorded {
			others = append(others, s)
			s.redis.offset += int64(i)
		}
	}
	for i, s := range w.servers {
		if s == recorded {
			w.replace(i, time.Hour)
		}
	}
	for _, s := range others {
		s.becomeMaster(w, "by hand")
	}
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	w.live(40 * time.Second)
	require.Len(t, w.labelled(), 1, "one of them is the master before a third server comes")
	require.True(t, w.labelled()[0].accepts(w))
	for _, s := range w.servers {
		s.upAt = min(s.upAt, w.now)
	}
	w.endsWell(t)
}

func TestReplicaSucceedsADeadMasterSoonWhereAllSentinelsAreNew(t *testing.T) {
	w := settled(t, true)
	master := w.labelled()[0]
	w.restart(master, time.Hour)
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	w.live(7 * time.Second)
	require.NotEmpty(t, w.labelled())
	require.True(t, w.labelled()[0].accepts(w))
	require.NotSame(t, master, w.labelled()[0])
	master.upAt = w.now
	w.endsWell(t)
}

// hungry is a release whose master still serves, but has had no replica in sync for
// a while; after half a minute Sentinel promotes none.
func hungry(t *testing.T, persistence bool, since time.Duration) (w *world, master *simServer) {
	w = settled(t, persistence)
	master = w.labelled()[0]
	for _, s := range w.servers {
		if s != master {
			s.hungryUntil = w.now + time.Hour
		}
	}
	w.live(since)
	require.True(t, master.accepts(w), "it writes alone")
	return w, master
}

func TestMasterComesBackWhereSentinelPromotesNoReplica(t *testing.T) {
	for what, dies := range map[string]func(w *world, master *simServer){
		"Redis":         func(w *world, master *simServer) { master.kill(w) },
		"the container": func(w *world, master *simServer) { w.restart(master, 3*time.Second) },
	} {
		w, master := hungry(t, true, time.Minute)
		written := master.redis.data.writes
		dies(w, master)
		w.live(15 * time.Second)
		require.True(t, master.accepts(w), what)
		require.GreaterOrEqual(t, master.redis.data.writes, written, what)
		require.Equal(t, []*simServer{master}, w.labelled(), what)
		w.endsWell(t)
	}
}

func TestMasterComesBackWithWhatItHasWrittenAlone(t *testing.T) {
	w, master := hungry(t, true, 15*time.Second)
	written := master.redis.data.writes
	master.kill(w)
	w.live(10 * time.Second)
	require.True(t, master.accepts(w))
	require.GreaterOrEqual(t, master.redis.data.writes, written)
	w.endsWell(t)
}

func TestReplicaThatSentinelDoesNotPromoteIsElectedWhereNothingElseIsLeft(t *testing.T) {
	for what, dies := range map[string]func(w *world, master *simServer){
		"the pod":                   func(w *world, master *simServer) { w.replace(0, time.Second) },
		"Redis without persistence": func(w *world, master *simServer) { master.kill(w) },
	} {
		w, master := hungry(t, what == "the pod", time.Minute)
		require.Same(t, w.servers[0], master)
		dies(w, master)
		w.live(2 * time.Minute)
		require.Len(t, w.labelled(), 1, what)
		require.NotSame(t, master, w.labelled()[0], what)
		require.NotZero(t, w.labelled()[0].redis.data.writes, what)
		w.endsWell(t)
	}
}

func TestReplicaThatHasNotSynchronisedLeavesTheMasterTimeToComeBack(t *testing.T) {
	w, master := hungry(t, true, time.Minute)
	for _, s := range w.servers {
		if s != master {
			w.restart(s, time.Second)
		}
	}
	w.live(3 * time.Minute)
	written := master.redis.data.writes
	w.restart(master, 5*time.Second)
	w.live(20 * time.Second)
	require.True(t, master.accepts(w))
	require.GreaterOrEqual(t, master.redis.data.writes, written)
	w.endsWell(t)
}

func TestFencedMasterDoesNotClaimBesideALiveReplica(t *testing.T) {
	w := settled(t, true)
	master := w.labelled()[0]
	w.write(w.record.FenceLost(record.Lost{Member: master.record()}, master.record(), "", w.clock()))
	w.restart(master, 0)
	for i := range w.sentinels {
		w.replaceSentinel(i, 20*time.Second)
	}
	w.live(15 * time.Second)
	require.False(t, master.redis.master, "it has given mastership away")
	w.endsWell(t)
	require.NotSame(t, master, w.labelled()[0])
}

func TestDataThatRedisCannotLoadGiveWayToOtherData(t *testing.T) {
	w := settled(t, true)
	broken := w.labelled()[0]
	broken.corrupt = true
	for _, s := range w.servers {
		w.restart(s, time.Second)
	}
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	w.live(time.Minute)
	require.Len(t, w.labelled(), 1)
	require.NotSame(t, broken, w.labelled()[0])
	w.endsWell(t)
	require.NotZero(t, w.labelled()[0].redis.data.writes)
}

func TestDataThatRedisCannotLoadDoNotGiveWayToNone(t *testing.T) {
	w := settled(t, true)
	broken := w.labelled()[0]
	broken.corrupt = true
	for _, s := range w.servers {
		if s != broken {
			s.disk = data{}
		}
		w.restart(s, time.Second)
	}
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second)
	}
	w.live(5 * time.Minute)
	for _, s := range w.servers {
		require.False(t, s.redis.master, "%s is master without the data", s.Name)
	}
	broken.corrupt = false // repaired by hand
	w.endsWell(t)
	require.Same(t, broken, w.labelled()[0])
}

func TestSuccessorThatRestartsDoesNotFollowAMasterOfThePast(t *testing.T) {
	w, past, successor := succeeded(t, 20*time.Second)
	written := successor.redis.data.writes
	for _, s := range w.servers {
		if s != past {
			w.restart(s, time.Second)
		}
	}
	past.isolated = false
	w.live(3 * time.Second)
	require.True(t, successor.redis.master)
	require.GreaterOrEqual(t, successor.redis.data.writes, written)
	w.endsWell(t)
	require.Same(t, successor, w.labelled()[0])
}

func TestRecordedMasterThatClaimsAndIsCutOffServesBesideNobody(t *testing.T) {
	w := settled(t, true)
	recorded, second, third := w.servers[0], w.servers[1], w.servers[2]
	w.restart(recorded, 40*time.Second)
	w.restart(second, 10*time.Second)
	w.restart(third, time.Second)
	for _, s := range w.sentinels {
		s.stop()
		s.upAt = w.now + time.Second
	}
	w.advance(40*time.Second, everybody, map[int]bool{w.index(second): true})
	require.True(t, recorded.redis.master)
	require.False(t, second.redis.running, "it has waited for the recorded master, and has not looked since that is back")
	recorded.isolated = true
	sentinelsFirst := []int{3, 4, 5, 0, 1, 2}
	for range 200 {
		w.advance(step, sentinelsFirst, nil)
		require.Empty(t, w.doubt)
	}
	w.endsWell(t)
}

func TestLaterOfTwoMastersOfThePastSucceedsTheMasterThatIsGone(t *testing.T) {
	w, first, second := succeeded(t, 20*time.Second)
	second.isolated = true
	w.live(20 * time.Second)
	third := w.labelled()[0]
	for i := range w.sentinels {
		w.replaceSentinel(i, time.Second) // the new ones know nothing of what the others have
	}
	w.live(20 * time.Second)
	written := second.redis.data
	w.replace(w.index(third), 10*time.Second)
	first.isolated, second.isolated = false, false
	w.endsWell(t)
	require.True(t, w.labelled()[0].redis.data.holds(written.last))
}

func TestMasterWithoutLabelLosesNoWriteToTheReplicaThatSucceedsIt(t *testing.T) {
	w := settled(t, true)
	first, second, third := w.servers[0], w.servers[1], w.servers[2]
	first.isolated, second.isolated = true, true
	w.live(10 * time.Second)
	require.Equal(t, []*simServer{third}, w.labelled())
	first.isolated, second.isolated = false, false
	w.live(20 * time.Second)
	require.Empty(t, w.problem())
	third.isolated, second.isolated = true, true
	w.live(8 * time.Second)
	require.Equal(t, []*simServer{first}, w.labelled())
	w.replace(w.index(first), time.Second)
	w.endsWell(t)
}
