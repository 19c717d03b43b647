package writepause

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

func TestIsolatedMasterPausesWritesForAsLongAsTheSentinelsMayNeedToReplaceIt(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		began := time.Now()
		l.HeardAPI(began)
		l.cutOff()
		l.await(pause, 1, "neither the sentinels nor the API answer")
		require.Less(t, time.Since(began), downAfter, "writes pause before the sentinels find the master down")
		require.Greater(t, time.Since(began), downAfter/2, "the silence is short at first")
		require.Positive(t, l.asked.Load(), "the API was asked before")
		require.False(t, l.label.Owned(), "the label is taken back")
		require.EqualValues(t, 1, l.alerts.Load())

		began = time.Now()
		l.await(unpause, 1, "nobody replaces the master")
		require.InDelta(t, downAfter+2*time.Second, time.Since(began), float64(4*lookEvery))
		l.awaitEnd("nobody had replaced it for 5s")
		require.True(t, l.log.contains(`as="neither the sentinels nor the API answer, and the sentinels may be replacing it"`))

		heard := l.redis.Heard()
		time.Sleep(time.Minute) // by the clock of the bubble
		require.Equal(t, heard, l.redis.Heard(), "the silence that was survived goes on")
		l.cutOff()
		l.awaitRenewal("the sentinels have answered, and are silent again")
	})
}

func TestMasterThatTheSentinelsDoNotReachAsksTheAPIAgainAndAgainAndDoesNotPauseWhileItAnswers(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.answerAPI(func(context.Context) error { return nil })
		l.cutOff()
		time.Sleep(2 * time.Second) // by the clock of the bubble, as below
		require.Zero(t, l.asked.Load(), "the sentinels will not find the master down soon")
		time.Sleep(downAfter)
		often := l.asked.Load()
		require.Greater(t, often, int64(20), "an answer is old after less than half a second")
		time.Sleep(time.Minute)
		require.InDelta(t, 60, l.asked.Load()-often, 5, "the sentinels have had their time")
		require.Empty(t, l.redis.Heard())
		require.True(t, l.label.Owned())
		require.Zero(t, l.alerts.Load())

		l.answerAPI(func(context.Context) error { return context.DeadlineExceeded })
		l.await(pause, 1, "the API does not answer any more")
	})
}

func TestReplicaDoesNotAskTheAPIWhetherItIsReplaced(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.follow(replicates)
		l.label.want(role.Slave, false)
		l.cutOff()
		time.Sleep(time.Minute) // by the clock of the bubble
		require.Zero(t, l.asked.Load())
		require.Empty(t, l.redis.Heard())
	})
}

func TestIsolatedMasterGoesOnWhenTheAPIAnswersInTimeAgain(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.cutOff()
		l.await(pause, 1, "neither the sentinels nor the API answer")
		l.label.want(role.Master, false)
		l.awaitRenewal("the loop has looked, but the API does not answer")
		l.answerAPI(func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(600 * time.Millisecond):
				return nil
			}
		})
		for range 2 {
			l.awaitRenewal("each answer of the API tells what was so some time ago")
		}
		l.answerAPI(func(context.Context) error { return nil })
		l.await(unpause, 1, "the API answers in time")
		l.awaitEnd("it had looked again and was the master")
	})
}

func TestMasterThatTheLoopHasFoundAgainPausesWhenItIsIsolatedLater(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		l.cutOff()
		l.disown()
		l.label.want(role.Master, false)
		l.await(unpause, 1, "the loop has looked, and there is no threat")
		l.await(pause, 2, "neither the sentinels nor the API answer")
	})
}

func TestQuestionToTheAPIEndsBeforeItsAnswerIsTooOld(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, l *launcher) {
		var ended atomic.Int64
		l.answerAPI(func(ctx context.Context) error {
			began := time.Now()
			<-ctx.Done()
			if time.Since(began) <= time.Second {
				ended.Add(1)
			}
			return ctx.Err()
		})
		l.isolate()
		require.Eventually(t, func() bool { return ended.Load() > 0 }, bound, lookEvery, "waited for a question that the API does not answer to end")
		require.Positive(t, l.count(pause), "the question does not delay the pause")
	})
}

func TestMasterThatNobodyCanReplaceUnnoticedDoesNotPause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lone  bool
		label string
		hears bool
	}{
		"it is the only server":     {lone: true, label: role.Master},
		"it has given up the label": {label: role.Slave},
		"the sentinels answer":      {label: role.Master, hears: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, l *launcher) {
				l.label.want(c.label, false)
				l.isolate()
				if c.hears {
					l.HeardSentinels(time.Now().Add(-time.Second), false)
				}
				time.Sleep(time.Minute) // by the clock of the bubble
				require.Empty(t, l.redis.Heard())
				require.Zero(t, l.alerts.Load())
				isolated := c.label == role.Slave
				require.Equal(t, isolated, l.Threats().Isolated)
				require.Equal(t, isolated, l.asked.Load() > 0, "the API is asked where the answer tells something")
				require.Equal(t, !isolated, l.label.Owned())
			}, func(s *Settings) { s.Lone = func() bool { return c.lone } })
		})
	}
}
