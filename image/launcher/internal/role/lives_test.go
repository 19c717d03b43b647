package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	w.live(settleTime)
	require.Empty(t, w.broken)
	require.Empty(t, w.problem())
}

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

func TestSuccessorThatRestartsDoesNotFollowAMasterOfThePast(t *testing.T) {
	w := settled(t, true)
	past := w.labelled()[0]
	past.isolated = true
	w.live(20 * time.Second)
	successor := w.labelled()[0]
	require.NotSame(t, past, successor)
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
