package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func TestAttemptsToReplaceAMasterAreRepeatedOnce(t *testing.T) {
	now := epoch
	for name, c := range map[string]struct {
		action  Action
		ends    []Ending
		unvoted bool          // the next attempt needs no votes
		after   time.Duration // when it is due
	}{
		"replaced":                                 {FailOver, []Ending{Replaced}, false, attemptPause},
		"replaced by another":                      {ReplaceDead, []Ending{ReplacedByAnother}, false, attemptPause},
		"a failure is repeated at once":            {FailOver, []Ending{Failed}, false, 0},
		"a second one is not":                      {FailOver, []Ending{Failed, Failed}, false, attemptPause},
		"a third one is":                           {ReplaceDead, []Ending{Failed, Failed, Failed}, false, 0},
		"failures of different times":              {FailOver, []Ending{Failed, Replaced, Failed}, false, 0},
		"without votes when not elected":           {FailOver, []Ending{NotElected}, true, 0},
		"and again after the pause":                {ReplaceDead, []Ending{NotElected, NotElected}, true, attemptPause},
		"not if it was elected":                    {ReplaceDead, []Ending{NotElected, Failed}, false, attemptPause},
		"also after a failure":                     {FailOver, []Ending{Failed, NotElected}, true, attemptPause},
		"an order that was not answered":           {FailOver, []Ending{Unanswered}, false, attemptPause},
		"a silent master is left to the sentinels": {ReplaceSilent, []Ending{NotElected}, false, silentPause},
		"also after any failure":                   {ReplaceSilent, []Ending{Failed}, false, silentPause},
		"a sentinel was told":                      {Nudge, []Ending{Ordered}, false, record.OrderAge},
		"another launcher has just told one":       {Nudge, []Ending{TooSoon}, false, CalmTick},
	} {
		t.Run(name, func(t *testing.T) {
			a := Attempts{}
			for _, end := range c.ends {
				var action Action
				a, action = a.AtOnce().allow(c.action, 1, now)
				require.Equal(t, c.action, action)
				a = a.End(end, now)
			}
			require.False(t, a.Unvoted(), "no attempt runs")
			if c.after > 0 {
				_, early := a.allow(c.action, 1, now.Add(c.after-1))
				require.Equal(t, Wait, early)
			}
			next, due := a.allow(c.action, 1, now.Add(c.after))
			require.Equal(t, c.action, due)
			require.Equal(t, c.unvoted, next.Unvoted())
		})
	}
}

// The end of an attempt says nothing of another kind of attempt, of another master, or of a much later attempt.
func TestOnlyTheNextAttemptForTheSameMasterNeedsNoVotes(t *testing.T) {
	lost := func() Attempts {
		a, _ := Attempts{}.allow(ReplaceDead, 1, epoch)
		return a.End(NotElected, epoch)
	}
	next, _ := lost().allow(ReplaceDead, 1, epoch.Add(attemptMemory))
	require.True(t, next.Unvoted(), "after a look that waited for a lost node")
	next, _ = lost().allow(ReplaceDead, 0, epoch)
	require.True(t, next.Unvoted(), "though the record cannot be read by now")
	for name, begin := range map[string]func() (Attempts, Action){
		"a silent master": func() (Attempts, Action) { return lost().allow(ReplaceSilent, 1, epoch) },
		"its own Redis":   func() (Attempts, Action) { return lost().allow(FailOver, 1, epoch) },
		"another master":  func() (Attempts, Action) { return lost().allow(ReplaceDead, 2, epoch) },
		"later":           func() (Attempts, Action) { return lost().allow(ReplaceDead, 1, epoch.Add(attemptMemory+1)) },
	} {
		next, action := begin()
		require.NotEqual(t, Wait, action, name)
		require.False(t, next.Unvoted(), name)
		require.True(t, next.End(Failed, epoch).began.IsZero() || action == ReplaceSilent, "%s: a failure is repeated", name)
	}
}

func TestOneAttemptRunsAtATime(t *testing.T) {
	running, action := Attempts{}.allow(ReplaceDead, 1, epoch)
	require.Equal(t, ReplaceDead, action)
	require.True(t, running.Running())
	for action, want := range map[Action]Action{
		FailOver: Wait, Nudge: Wait, ReplaceDead: Wait, ReplaceSilent: Wait, Claim: Wait, Follow: Follow, StartReplica: StartReplica, CallOff: CallOff, Wait: Wait,
	} {
		_, allowed := running.allow(action, 1, epoch.Add(time.Hour))
		require.Equal(t, want, allowed, "%v", action)
	}
	ended := running.End(Replaced, epoch)
	_, action = ended.allow(Claim, 1, epoch)
	require.Equal(t, Claim, action)
}
