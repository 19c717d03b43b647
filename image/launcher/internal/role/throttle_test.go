package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const throttleLimit = 100

// throttled feeds a Throttle with looks, one every 10 ms, and gives its verdicts.
func throttled(looks ...map[string]int64) []Verdict {
	throttle, now := Throttle{Limit: throttleLimit, Longest: time.Minute}, time.Unix(1800000000, 0)
	var verdicts []Verdict
	for _, behind := range looks {
		var verdict Verdict
		now = now.Add(10 * time.Millisecond)
		throttle, verdict = throttle.Look(Lags{Now: now, Behind: behind})
		verdicts = append(verdicts, verdict)
	}
	return verdicts
}

func TestWritesWaitWhileEveryReplicaIsTooFarBehind(t *testing.T) {
	type lags = map[string]int64
	for name, test := range map[string]struct {
		looks    []lags
		verdicts []Verdict
	}{
		"replicas keep up":                            {[]lags{{"a": 0}, {"a": 50}, {"a": 100}}, []Verdict{Go, Go, Go}},
		"they fall behind":                            {[]lags{{"a": 90}, {"a": 101}, {"a": 150}, {"a": 100}, {"a": 101}}, []Verdict{Go, Hold, Hold, Go, Hold}},
		"one of them keeps up":                        {[]lags{{"a": 0, "b": 0}, {"a": 500, "b": 100}, {"a": 900, "b": 101}}, []Verdict{Go, Go, Hold}},
		"no replica counts":                           {[]lags{nil, nil}, []Verdict{Go, Go}},
		"a new replica catches up":                    {[]lags{nil, {"a": 900}, {"a": 700}, {"a": 90}, {"a": 101}}, []Verdict{Go, Go, Go, Go, Hold}},
		"it falls back meanwhile":                     {[]lags{nil, {"a": 900}, {"a": 700}, {"a": 701}, {"a": 690}}, []Verdict{Go, Go, Go, Hold, Go}},
		"the near one is lost, and a new one is left": {[]lags{{"a": 0, "b": 900}, {"b": 800}, {"b": 801}}, []Verdict{Go, Go, Hold}},
		"two that take turns get no further and wait": {[]lags{{"a": 90, "b": 95}, {"a": 120, "b": 110}, {"a": 130, "b": 140}}, []Verdict{Go, Hold, Hold}},
		"a replica that was away counts as a new one": {[]lags{{"a": 0}, nil, {"a": 400}, {"a": 300}}, []Verdict{Go, Go, Go, Go}},
		"a replica that is new and does not gain":     {[]lags{{"a": 900}, {"a": 900}, {"a": 901}}, []Verdict{Go, Go, Hold}},
		"a new replica does not excuse an old one":    {[]lags{{"a": 90}, {"a": 120, "b": 900}, {"a": 5000, "b": 890}}, []Verdict{Go, Hold, Hold}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.verdicts, throttled(test.looks...)) })
	}
}

func TestWritesNeverWaitWithoutALimit(t *testing.T) {
	_, verdict := Throttle{}.Look(Lags{Behind: map[string]int64{"a": 1 << 50}})
	require.Equal(t, Go, verdict)
}

// The sentinels' messages wait with the writes, and their pings behind them: a wait without a break would have a healthy master
// replaced.
func TestWritesThatWaitForLongGoOnForAMoment(t *testing.T) {
	throttle, now := Throttle{Limit: throttleLimit, Longest: 100 * time.Millisecond}, time.Unix(1800000000, 0)
	var verdicts []Verdict
	for range 25 {
		var verdict Verdict
		throttle, verdict = throttle.Look(Lags{Now: now, Behind: map[string]int64{"a": 500}})
		throttle.least["a"] = 0 // it is no new one
		verdicts, now = append(verdicts, verdict), now.Add(10*time.Millisecond)
	}
	require.Equal(t, Go, verdicts[0], "it is new")
	require.Equal(t, Hold, verdicts[1])
	require.Equal(t, Breathe, verdicts[11])
	require.Equal(t, Hold, verdicts[12])
	require.Equal(t, Breathe, verdicts[22])
}

// Redis reads what clients send while their writes wait. A client that does not wait for answers would fill its memory.
func TestWritesGoOnWhenRedisFillsItsMemoryMeanwhile(t *testing.T) {
	throttle, now := Throttle{Limit: throttleLimit, Memory: throttleLimit, Longest: time.Minute, least: map[string]int64{"a": 0}}, time.Unix(1800000000, 0)
	look := func(memory int64) (verdict Verdict) {
		throttle, verdict = throttle.Look(Lags{Now: now, Behind: map[string]int64{"a": 500}, Memory: memory})
		return verdict
	}
	require.Equal(t, Hold, look(5000))
	require.Equal(t, Hold, look(5000+throttleLimit))
	require.Equal(t, Breathe, look(5001+throttleLimit))
	require.Equal(t, Hold, look(5001+throttleLimit), "what has waited was carried out")
}

// However replicas come and go: while a replica counts that was near enough, writes go on exactly when one is near enough.
func TestLagThatWasBelowTheLimitIsKeptBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		throttle, below, now := Throttle{Limit: throttleLimit, Longest: time.Hour, Memory: 1}, map[string]bool{}, time.Unix(1800000000, 0)
		lags := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.Int64Range(0, 2*throttleLimit))
		for _, behind := range rapid.SliceOf(lags).Draw(t, "looks") {
			var verdict Verdict
			throttle, verdict = throttle.Look(Lags{Now: now, Behind: behind})
			seasoned, near := false, false
			for name, lag := range behind {
				seasoned, near = seasoned || below[name], near || lag <= throttleLimit
			}
			if seasoned {
				require.Equal(t, !near, verdict == Hold)
			}
			before := below
			below = map[string]bool{}
			for name, lag := range behind {
				below[name] = before[name] || lag <= throttleLimit
			}
		}
	})
}
