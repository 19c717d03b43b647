package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNextStartWaitsLongerAfterEachCrash(t *testing.T) {
	var pauses []time.Duration
	for crashes := range 9 {
		pauses = append(pauses, Restarts{Crashes: crashes}.pause()/time.Second)
	}
	require.Equal(t, []time.Duration{0, 0, 1, 2, 4, 8, 16, 16, 16}, pauses)
}

func TestProcessThatHasServedStartsAgainAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		lived  time.Duration
		loaded bool
		want   Restarts
	}{
		"it served for a second":                     {time.Second, true, Restarts{}},
		"it ended at once":                           {time.Second - 1, true, Restarts{Crashes: 3}},
		"it ended while it loaded its data":          {10*time.Second - 1, false, Restarts{Crashes: 3, Unloaded: 2}},
		"it ended after it had loaded data for long": {10 * time.Second, false, Restarts{Unloaded: 2}},
	} {
		c.want.Started = epoch
		require.Equal(t, c.want, Restarts{Started: epoch, Crashes: 2, Unloaded: 1}.After(c.loaded, epoch.Add(c.lived)), name)
	}
}

func TestProcessStartsAgainWhenThePauseIsOver(t *testing.T) {
	require.True(t, Restarts{}.Due(epoch), "it has not started before")
	crashed := Restarts{Started: epoch, Crashes: 3}
	require.False(t, crashed.Due(epoch.Add(2*time.Second-1)))
	require.True(t, crashed.Due(epoch.Add(2*time.Second)))
}
