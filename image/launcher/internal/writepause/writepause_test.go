package writepause

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// threats are the reasons to pause writes. The first two states of a launcher are no such reasons.
var threats = map[string]struct {
	arise func(l *launcher)
	want  role.Threats
}{
	"no threat":                           {func(*launcher) {}, role.Threats{}},
	"the look is old":                     {func(l *launcher) { l.label.want(role.Master, true) }, role.Threats{}},
	"this pod is gone":                    {func(l *launcher) { l.gone.Store(true) }, role.Threats{Gone: true}},
	"nobody reaches this master":          {(*launcher).isolate, role.Threats{Isolated: true}},
	"another server is being made master": {func(l *launcher) { l.Follow(replaced) }, role.Threats{Replaced: true}},
	"a replica may execute an order":      {func(l *launcher) { l.SetUnanswered(true) }, role.Threats{Unanswered: true}},
	"another pod has taken the label":     {func(l *launcher) { l.label.Disown() }, role.Threats{Unlabelled: true}},
	"this pod has given up the label":     {func(l *launcher) { l.label.want(role.Slave, false) }, role.Threats{Unlabelled: true}},
}

func TestWritesPauseFromTheLossOfTheLabelUntilTheLoopFindsThisPodTheMasterAgain(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.disown()
		l.requireHeard(connect, info, pause)
		require.False(t, l.label.Owned(), "the label is taken back")
		require.EqualValues(t, 1, l.alerts.Load(), "the loop looks at once")
		l.awaitRenewal("the loop has not looked yet")
		l.label.want(role.Master, true)
		l.awaitRenewal("the look is old")
		l.SetUnanswered(true)
		l.label.want(role.Master, false)
		l.awaitRenewal("there is another threat")
		l.SetUnanswered(false)
		l.await(unpause, 1, "the loop has looked, and there is no threat")
		l.awaitEnd("it had looked again and was the master")
		require.True(t, l.log.contains(`as="another pod has taken the label master off this one"`))

		paused := l.count(pause)
		l.disown()
		require.Equal(t, paused+1, l.count(pause), "the label is lost again")
	})
}

func TestLossOfALabelThatThisPodHasGivenUpPausesNothing(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.label.want(role.Slave, false)
		l.disown()
		require.Empty(t, l.redis.Heard())
		require.Zero(t, l.alerts.Load())
		l.label.want(role.Master, false)
		l.disown()
		l.requireHeard(connect, info, pause)
	})
}

func TestWritesGoOnWhenNobodyHasReplacedTheMasterInTime(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		began := time.Now()
		l.disown()
		l.await(unpause, 1, "nobody replaces the master")
		require.InDelta(t, downAfter, time.Since(began), float64(4*lookEvery))
		l.awaitEnd("nobody had replaced it for 3s")
	})
}

func TestRedisThatIsNoMasterAnyMoreIsNotToldToGoOn(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.disown()
		l.redis.Answer("INFO", isReplica)
		l.awaitEnd("it was no master any more")
		l.requireHeard(connect, info, pause, info)
	})
}

// A Redis that stands still accepts no new connection. A Redis that goes on reads what waits in its sockets.
func TestRedisThatStandsStillIsToldToPauseBeforeItIsAskedAnything(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.Warm(t.Context(), l.child, time.Now().Add(-time.Hour))
		l.requireHeard(connect, info)
		l.redis.Answer("INFO", silence)
		l.redis.Answer("CLIENT PAUSE", silence)
		l.follow(replaced)
		l.requireHeard(connect, info, pause, connect, info)

		l.redis.Answer("INFO", isMaster)
		l.redis.Answer("CLIENT PAUSE", obeyed)
		l.awaitRenewal("Redis goes on")
		l.follow(serves)
		l.await(unpause, 1, "the loop finds this master in order")
		require.True(t, l.log.contains(`as="it did not answer, or another is being made master"`))
	})
}

// The plan stays the same all the time. So the plan orders no second pause.
func TestRedisThatStandsStillWhenItsPauseIsRenewedPausesAgainWhenItGoesOn(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.follow(replaced)
		l.requireHeard(connect, pause, info)
		var stands atomic.Bool
		l.redis.AnswerBy("CLIENT PAUSE", func(string) string { stands.Store(true); return silence })
		l.redis.AnswerBy("INFO", func(string) string {
			if stands.Load() {
				return silence
			}
			return isMaster
		})
		l.await(pause, 2, "the pause is renewed")
		synctest.Wait()
		l.redis.Answer("CLIENT PAUSE", obeyed)
		l.redis.Answer("INFO", isMaster)
		l.awaitRenewal("Redis goes on, and another server is being made master")
		l.follow(serves)
		l.await(unpause, 1, "the loop finds this master in order")
	})
}

func TestPauseThatWaitsInTheSocketOfRedisCountsAsAPause(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.redis.Answer("CLIENT PAUSE", silence)
		l.redis.Answer("INFO", isReplica) // Redis has gone on, and follows another
		l.follow(replaced)
		l.awaitEnd("it was no master any more")
	})
}

func TestConnectionForThePauseIsTriedWhereItMayBeOfNoUse(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		masterAt := time.Now()
		warm := func(child *process.Child) int {
			l.Warm(t.Context(), child, masterAt)
			return l.count(info)
		}
		time.Sleep(time.Second) // by the clock of the bubble, as below
		l.redis.Answer("INFO", refused)
		require.Equal(t, 1, warm(l.child))
		l.redis.Answer("INFO", isMaster)
		require.Equal(t, 2, warm(l.child), "Redis did not answer")
		require.Equal(t, 2, warm(l.child), "it is ready")
		time.Sleep(warmEvery)
		require.Equal(t, 3, warm(l.child), "Redis may end a connection that is not used")
		masterAt = time.Now()
		require.Equal(t, 4, warm(l.child), "Sentinel has ended the connections of a new master")
		time.Sleep(time.Second)
		require.Equal(t, 5, warm(l.child))
		next := &process.Child{}
		require.Equal(t, 6, warm(next), "Redis has started again")
		l.guard(nil) // the Guard asks Redis nothing, and only Warm does
		l.follow(replaced)
		time.Sleep(warmEvery)
		require.Equal(t, 6, warm(next), "the pause has the connection for itself")
	})
}

func TestWritesPauseOnceFromTheFirstPlanThatSaysSoToTheLast(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.follow(replaced)
		l.requireHeard(connect, pause, info)
		l.follow(replaced)
		l.awaitRenewal("the plan is the same")
		l.follow(serves)
		l.awaitEnd("it had looked again and was the master")
		require.EqualValues(t, 1, l.alerts.Load(), "the second plan was nothing new")
		require.Equal(t, 1, l.count(unpause))
		l.follow(replaced)
		require.EqualValues(t, 2, l.alerts.Load())
		l.awaitRenewal("the plan is a new one")
	})
}

func TestWritesDoNotGoOnByThemselvesWhereAFormerReplicaIsMaster(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		plan := replaced
		plan.Succeeded, plan.Action = true, role.Wait
		began := time.Now()
		l.follow(plan)
		for time.Since(began) < 2*downAfter {
			l.awaitRenewal("a former replica is master")
		}
		plan.Action = role.Follow
		l.follow(plan)
		l.await(unpause, 1, "the loop acts upon it")
		l.awaitEnd("nobody had replaced it for 3s")
	})
}

func TestRefusedPauseIsTriedAgainOnlyWhereThisPodIsGone(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.redis.Answer("CLIENT PAUSE", refused)
		l.disown()
		l.disown() // the Guard takes the news only when the first pause is over
		l.requireHeard(connect, info, pause, info, pause)
		require.False(t, l.log.contains("held writes back"))

		l.gone.Store(true)
		l.disown()
		l.awaitRenewal("the kubelet is about to end Redis")
		l.awaitRenewal("the kubelet is about to end Redis")
		l.redis.Answer("CLIENT PAUSE", obeyed)
		l.awaitRenewal("Redis obeys by now")
		began := time.Now()
		l.awaitRenewal("the kubelet is about to end Redis")
		require.Greater(t, time.Since(began), 10*lookEvery, "Redis has obeyed, and the order is not repeated at each look")
	})
}

// Connections to the address of a Redis that has ended may reach its successor.
func TestNothingIsSentToARedisThatIsNotGuardedAnyMore(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]*process.Child{"none is guarded": nil, "another process is guarded": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, l *launcher) {
				l.disown()
				l.requireHeard(connect, info, pause)
				l.guard(next)
				heard := l.redis.Heard()
				require.Same(t, next, l.Guarded())
				require.ErrorIs(t, l.Tell(l.child, func() error { require.Fail(t, "nobody must be told"); return nil }), ErrNotGuarded)
				require.ErrorIs(t, l.Tell(nil, func() error { require.Fail(t, "nobody must be told"); return nil }), ErrNotGuarded)
				l.awaitEnd(ErrNotGuarded.Error())
				require.Equal(t, heard, l.redis.Heard())

				l.guard(nil)
				l.disown()
				l.follow(replaced)
				require.EqualValues(t, 3, l.alerts.Load(), "the Guard goes on to the next event")
				require.Equal(t, heard, l.redis.Heard(), "no Redis is there")
				l.guard(&process.Child{})
				l.disown()
				require.Equal(t, 2, l.count(pause), "the next Redis")
			})
		})
	}
}

// A look asks for the label when Redis has answered. The order comes after that.
func TestNothingIsSentToARedisThatEndsBetweenALookAndTheOrderThatFollowsFromIt(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]*process.Child{"none is guarded": nil, "another process is guarded": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, l *launcher) {
				ends := func() { l.guard(next) }
				l.label.onQuestion(ends)
				l.disown()
				l.requireHeard(connect, info)

				l.label.onQuestion(nil)
				l.guard(l.child)
				l.disown()
				l.requireHeard(connect, info, pause)
				l.label.onQuestion(ends)
				l.label.want(role.Master, false)
				l.awaitEnd("it had looked again and was the master")
				l.requireHeard(connect, info, pause, info)
			})
		})
	}
}

func TestRedisIsGuardedUntilTheCommandThatIsUnderWayHasEnded(t *testing.T) {
	t.Parallel()
	l := prepare(t, startRedis(t))
	started, changed := make(chan struct{}), make(chan struct{})
	go func() {
		<-started
		l.guard(nil)
		close(changed)
	}()
	require.NoError(t, l.Tell(l.child, func() error {
		close(started)
		select {
		case <-changed:
			require.Fail(t, "the guard has ended before the command")
		case <-time.After(50 * time.Millisecond): // the command is under way for as long as that
		}
		return nil
	}))
	select {
	case <-changed:
	case <-time.After(bound):
		require.FailNow(t, "the guard did not end after the command", "waited %v", bound)
	}
}

func TestWritesAreResumedOnlyWithoutAThreat(t *testing.T) {
	t.Parallel()
	for name, c := range threats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := prepare(t, startRedis(t))
			c.arise(l)
			require.Equal(t, c.want, l.Threats())
			require.ErrorIs(t, l.Resume(t.Context(), &process.Child{}), ErrNotGuarded, "another process")
			require.Empty(t, l.redis.Heard())
			require.NoError(t, l.Resume(t.Context(), l.child))
			if c.want.Any() {
				require.Empty(t, l.redis.Heard())
			} else {
				l.requireHeard(connect, unpause)
			}
		})
	}
}

func TestResumptionThatRedisRefusesIsAnError(t *testing.T) {
	t.Parallel()
	l := prepare(t, startRedis(t))
	l.redis.Answer("CLIENT UNPAUSE", refused)
	require.ErrorContains(t, l.Resume(t.Context(), l.child), "refused")
}

func TestPauseIsOrderedOnlyAgainstAThreat(t *testing.T) {
	t.Parallel()
	for name, c := range threats {
		if c.want.Replaced {
			continue // Follow orders that pause
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, l *launcher) {
				c.arise(l)
				synctest.Wait()
				require.Empty(t, l.redis.Heard(), "the order must come from Pause")
				l.Pause()
				synctest.Wait()
				if c.want.Any() {
					l.requireHeard(connect, info, pause)
					require.EqualValues(t, 1, l.alerts.Load())
				} else {
					require.Empty(t, l.redis.Heard())
					require.Zero(t, l.alerts.Load())
				}
			})
		})
	}
}

func TestPauseIsOrderedWithoutWaitingForTheGuard(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	synctest.Test(t, func(t *testing.T) {
		l := prepare(t, redis)
		l.SetUnanswered(true)
		for range 3 {
			l.Pause()
		}
		require.Empty(t, l.redis.Heard())
		go l.Run(t.Context())
		synctest.Wait()
		l.requireHeard(connect, info, pause)
	})
}
