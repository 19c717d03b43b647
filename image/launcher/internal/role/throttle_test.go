package role

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// looks feeds a Throttle with lags, of which a negative one means that no replica counts, and gives its answers.
func looks(limit int64, lags ...int64) []bool {
	throttle := Throttle{Limit: limit}
	var waits []bool
	for _, lag := range lags {
		var wait bool
		throttle, wait = throttle.Look(lag, lag >= 0)
		waits = append(waits, wait)
	}
	return waits
}

func TestWritesWaitWhileTheForemostReplicaIsTooFarBehind(t *testing.T) {
	for name, test := range map[string]struct {
		lags  []int64
		waits []bool
	}{
		"replicas keep up":                               {[]int64{0, 50, 100, 30}, []bool{false, false, false, false}},
		"replicas fall behind":                           {[]int64{90, 101, 150, 100, 101}, []bool{false, true, true, false, true}},
		"no replica counts":                              {[]int64{-1, -1}, []bool{false, false}},
		"a new replica catches up":                       {[]int64{-1, 900, 700, 500, 90, 101}, []bool{false, false, false, false, false, true}},
		"a new replica falls back while it catches up":   {[]int64{-1, 900, 700, 701, 690}, []bool{false, false, false, true, false}},
		"the only replica is lost, and another is new":   {[]int64{10, -1, 400, 300}, []bool{false, false, false, false}},
		"the foremost is lost, and the next lags more":   {[]int64{10, 400, 300, 99}, []bool{false, true, true, false}},
		"a replica that is new and does not make a gain": {[]int64{900, 900, 901}, []bool{false, false, true}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.waits, looks(100, test.lags...)) })
	}
}

func TestWritesNeverWaitWithoutALimit(t *testing.T) {
	require.Equal(t, []bool{false, false, false}, looks(0, 5, 1<<40, 1<<50))
}

// However replicas come and go, the lag that lets writes go on never rises above the limit again once it was below.
func TestLagThatWasBelowTheLimitIsKeptBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 1000).Draw(t, "limit")
		throttle, below := Throttle{Limit: limit}, false
		for _, lag := range rapid.SliceOf(rapid.Int64Range(-1, 2000)).Draw(t, "lags") {
			var wait bool
			throttle, wait = throttle.Look(lag, lag >= 0)
			if lag < 0 {
				below = false
				require.False(t, wait)
				continue
			}
			below = below || lag <= limit
			if below {
				require.Equal(t, lag > limit, wait)
			}
		}
	})
}

func TestLagIsThatOfTheForemostReplica(t *testing.T) {
	lag, ok := Lag(100, []int64{20, 90, 60})
	require.True(t, ok)
	require.Equal(t, int64(10), lag)
	lag, ok = Lag(100, []int64{103})
	require.True(t, ok)
	require.Zero(t, lag, "the replica was asked after the master")
	_, ok = Lag(100, nil)
	require.False(t, ok)
}
