package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMasterIsIsolatedWhileTheSentinelsMayBeReplacingItAndNobodyTellsIt(t *testing.T) {
	const downAfter = 3 * time.Second
	at := func(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }
	both := Contact{}.API(at(0)).Sentinels(at(0), false)
	cutOff := both.Sentinels(at(1), true)
	for name, c := range map[string]struct {
		contact Contact
		now     float64
		want    bool
	}{
		"not while the sentinels answer":                                  {both, 10, false},
		"not before they can find the master down":                        {cutOff, 2.4, false},
		"half a second before that":                                       {cutOff, 2.5, true},
		"not while the API answers":                                       {cutOff.API(at(2.3)), 2.5, false},
		"where the API has answered before they could find it down":       {cutOff.API(at(0.8)), 2.5, true},
		"where the API has stopped to answer since":                       {cutOff.API(at(2.3)), 2.8, true},
		"not where the sentinels answer again":                            {cutOff.Sentinels(at(3), false), 3.1, false},
		"not after a pause in which nobody has replaced it":               {cutOff.Serve(), 6, false},
		"not at once where the sentinels have had the time, unnoticed":    {cutOff.API(at(5.1)), 6, false},
		"though when the API has not answered for down-after by then":     {cutOff.API(at(5.1)), 7.7, true},
		"again where the API has answered after a pause, and stops again": {cutOff.Serve().API(at(4)), 5, true},
		"not a master that nobody has answered yet":                       {Contact{}.Sentinels(at(0), true), 10, false},
		"where no sentinel has answered yet, when the API has stopped":    {Contact{}.API(at(0)).Sentinels(at(1), true), 2.5, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, c.contact.Isolated(at(c.now), downAfter))
		})
	}
	require.False(t, cutOff.API(at(1)).AskAPI(at(2.2), downAfter))
	require.True(t, cutOff.API(at(1)).AskAPI(at(2.3), downAfter), "before the answer counts")
	require.False(t, cutOff.API(at(2.25)).AskAPI(at(2.3), downAfter), "the loop has just asked")
	require.False(t, both.AskAPI(at(9), downAfter), "the sentinels would tell")
	require.False(t, cutOff.API(at(9)).AskAPI(at(9.9), downAfter), "the sentinels have had their time")
	require.True(t, cutOff.API(at(9)).AskAPI(at(10), downAfter))
	require.True(t, cutOff.API(at(4.9)).AskAPI(at(5.1), downAfter), "no answer is from after their time")
}
