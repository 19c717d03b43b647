package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNextStartWaitsLongerAfterEachCrash(t *testing.T) {
	var pauses []time.Duration
	for crashes := range 9 {
		pauses = append(pauses, Restarts{Crashes: crashes}.Pause()/time.Second)
	}
	require.Equal(t, []time.Duration{0, 0, 1, 2, 4, 8, 16, 16, 16}, pauses)
}

func TestProcessThatHasServedStartsAgainAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		lived  time.Duration
		loaded bool
		want   Restarts
	}{
		"it served for a second":                     {time.Second, true, Restarts{0, 0}},
		"it ended at once":                           {time.Second - 1, true, Restarts{3, 0}},
		"it ended while it loaded its data":          {10*time.Second - 1, false, Restarts{3, 2}},
		"it ended after it had loaded data for long": {10 * time.Second, false, Restarts{0, 2}},
	} {
		require.Equal(t, c.want, Restarts{Crashes: 2, Unloaded: 1}.After(c.lived, c.loaded), name)
	}
}
