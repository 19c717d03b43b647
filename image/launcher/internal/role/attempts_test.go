package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func TestAttemptsToReplaceAMasterAreRepeatedOnceAndThenLeftToASentinel(t *testing.T) {
	dead, silent := Lost{}, Lost{Lost: record.Lost{Silent: true}}
	now := epoch
	begun := Attempts{}.Begin(now)
	for name, c := range map[string]struct {
		lost Lost
		ends []Ending
		left Remainder
		due  bool
	}{
		"replaced":                                  {dead, []Ending{Replaced}, Nothing, false},
		"replaced by another":                       {dead, []Ending{ReplacedByAnother}, Nothing, false},
		"a failure is repeated at once":             {dead, []Ending{Failed}, Nothing, true},
		"a second one is not":                       {dead, []Ending{Failed, Failed}, TellSentinel, true},
		"a third one is":                            {dead, []Ending{Failed, Failed, Failed}, Nothing, true},
		"failures of different times":               {dead, []Ending{Failed, Replaced, Failed}, Nothing, true},
		"not elected":                               {dead, []Ending{NotElected}, TellSentinel, false},
		"an order that was not answered":            {dead, []Ending{Unanswered}, Nothing, false},
		"a silent master is left to the sentinels":  {silent, []Ending{NotElected}, Withdraw, false},
		"also where another replaces it":            {silent, []Ending{ReplacedByAnother}, Withdraw, false},
		"and after any failure":                     {silent, []Ending{Failed}, Withdraw, false},
		"though not while a replica may still obey": {silent, []Ending{Unanswered}, Nothing, false},
		"nor when it is replaced":                   {silent, []Ending{Replaced}, Nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, left := begun, Nothing
			for _, end := range c.ends {
				a, left = a.End(c.lost, end, now)
			}
			require.Equal(t, c.left, left)
			require.Equal(t, c.due, a.Due(FailOver, now))
		})
	}
	require.False(t, begun.Due(FailOver, now.Add(attemptPause-1)))
	require.True(t, begun.Due(FailOver, now.Add(attemptPause)))
	require.True(t, begun.Due(ReplaceSilent, now.Add(silentPause)))
	require.False(t, begun.Due(Nudge, now.Add(record.OrderAge-1)))
	require.True(t, begun.Postpone(Nudge, now).Due(Nudge, now.Add(CalmTick)))
	require.False(t, begun.Postpone(Nudge, now).Due(Nudge, now.Add(CalmTick-1)))

	unanswered, _ := begun.End(dead, Unanswered, now)
	require.True(t, unanswered.MayStillObey(now.Add(orderLasts-1)))
	require.False(t, unanswered.MayStillObey(now.Add(orderLasts)))
	answered, _ := unanswered.End(dead, Replaced, now)
	require.False(t, answered.MayStillObey(now.Add(time.Second)))
}
