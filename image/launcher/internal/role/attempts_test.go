package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func TestAttemptsToReplaceAMasterAreRepeatedOnceAndThenLeftToASentinel(t *testing.T) {
	now := epoch
	for name, c := range map[string]struct {
		action Action
		ends   []Ending
		tell   bool
		after  time.Duration // when the next attempt is due
	}{
		"replaced":                                 {FailOver, []Ending{Replaced}, false, attemptPause},
		"replaced by another":                      {ReplaceDead, []Ending{ReplacedByAnother}, false, attemptPause},
		"a failure is repeated at once":            {FailOver, []Ending{Failed}, false, 0},
		"a second one is not":                      {FailOver, []Ending{Failed, Failed}, true, attemptPause},
		"a third one is":                           {ReplaceDead, []Ending{Failed, Failed, Failed}, false, 0},
		"failures of different times":              {FailOver, []Ending{Failed, Replaced, Failed}, false, 0},
		"not elected":                              {FailOver, []Ending{NotElected}, true, attemptPause},
		"an order that was not answered":           {FailOver, []Ending{Unanswered}, false, attemptPause},
		"a silent master is left to the sentinels": {ReplaceSilent, []Ending{NotElected}, false, silentPause},
		"also after any failure":                   {ReplaceSilent, []Ending{Failed}, false, silentPause},
		"a sentinel was told":                      {Nudge, []Ending{Ordered}, false, record.OrderAge},
		"another launcher has just told one":       {Nudge, []Ending{TooSoon}, false, CalmTick},
	} {
		t.Run(name, func(t *testing.T) {
			a, tell := Attempts{}, false
			for _, end := range c.ends {
				var action Action
				a, action = a.Told().AtOnce().allow(c.action, now)
				require.Equal(t, c.action, action)
				a, tell = a.End(end, now)
			}
			require.Equal(t, c.tell, tell)
			if tell {
				_, action := a.allow(c.action, now.Add(time.Hour))
				require.Equal(t, Wait, action, "the sentinel has not been told yet")
				a = a.Told()
			}
			if c.after > 0 {
				_, early := a.allow(c.action, now.Add(c.after-1))
				require.Equal(t, Wait, early)
			}
			_, due := a.allow(c.action, now.Add(c.after))
			require.Equal(t, c.action, due)
		})
	}
}

func TestOneAttemptRunsAtATime(t *testing.T) {
	running, action := Attempts{}.allow(ReplaceDead, epoch)
	require.Equal(t, ReplaceDead, action)
	require.True(t, running.Running())
	for action, want := range map[Action]Action{
		FailOver: Wait, Nudge: Wait, ReplaceDead: Wait, ReplaceSilent: Wait, Claim: Wait, Follow: Follow, StartReplica: StartReplica, CallOff: CallOff, Wait: Wait,
	} {
		_, allowed := running.allow(action, epoch.Add(time.Hour))
		require.Equal(t, want, allowed, "%v", action)
	}
	ended, _ := running.End(Replaced, epoch)
	_, action = ended.allow(Claim, epoch)
	require.Equal(t, Claim, action)
}

func TestOrderThatWasNotAnsweredMayStillBeObeyedForAWhile(t *testing.T) {
	unanswered, _ := Attempts{}.End(Unanswered, epoch)
	require.True(t, unanswered.MayStillObey(epoch.Add(orderLasts-1)))
	require.False(t, unanswered.MayStillObey(epoch.Add(orderLasts)))
	for _, end := range []Ending{ReplacedByAnother, Ordered, Failed} {
		other, _ := unanswered.End(end, epoch)
		require.True(t, other.MayStillObey(epoch.Add(time.Second)), "%d", end)
	}
	answered, _ := unanswered.End(Replaced, epoch)
	require.False(t, answered.MayStillObey(epoch.Add(time.Second)))
}
