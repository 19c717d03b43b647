package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWritesPauseUntilTheThreatIsOver(t *testing.T) {
	const downAfter = 3 * time.Second
	limit := PauseLimit(downAfter)
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	began := WritePause{DownAfter: downAfter, Began: epoch}
	paused := began
	paused.OrderedAt = epoch
	master := func(d time.Duration, threats Threats) PauseFacts {
		return PauseFacts{Now: at(d), Answered: true, Master: true, Threats: threats}
	}
	with := func(f PauseFacts, change func(*PauseFacts)) PauseFacts {
		change(&f)
		return f
	}
	serves := func(f *PauseFacts) { f.Serves = true }
	silent := func(f *PauseFacts) { f.Answered = false }
	replaced, unlabelled := Threats{Replaced: true}, Threats{Unlabelled: true}
	for name, c := range map[string]struct {
		pause WritePause
		facts PauseFacts
		want  PauseStep
	}{
		"begins":                                   {began, master(0, unlabelled), OrderPause},
		"is kept":                                  {paused, master(limit/2, unlabelled), KeepPause},
		"is renewed before it ends":                {paused, master(limit/2+1, unlabelled), OrderPause},
		"ends when the loop finds the master":      {paused, with(master(time.Second, Threats{}), serves), EndPause},
		"not while there is another threat":        {paused, with(master(100, replaced), serves), KeepPause},
		"nor before the loop has looked":           {paused, master(100, Threats{}), KeepPause},
		"ends when nobody comes":                   {paused, master(downAfter+1, unlabelled), OutlastPause},
		"later where the master is isolated":       {paused, master(downAfter+1, Threats{Isolated: true}), OrderPause},
		"though not for ever":                      {paused, master(replacedWithin(downAfter)+1, Threats{Isolated: true}), OutlastPause},
		"unless a former replica is master":        {paused, with(master(time.Hour, replaced), func(f *PauseFacts) { f.Succeeded = true }), OrderPause},
		"much later where the pod is gone":         {paused, master(forcedEnd, Threats{Gone: true}), OrderPause},
		"is left where Redis is a replica":         {paused, PauseFacts{Now: at(1), Answered: true, Threats: replaced}, LeavePause},
		"is left where Redis does not answer":      {paused, with(master(1, unlabelled), silent), LeavePause},
		"not where it stands still":                {paused, with(master(time.Hour, replaced), silent), KeepPause},
		"nor where the kubelet is about to end it": {paused, with(master(1, Threats{Gone: true}), silent), KeepPause},
	} {
		t.Run(name, func(t *testing.T) {
			_, step, why := c.pause.Step(c.facts)
			require.Equal(t, c.want, step)
			require.Equal(t, step != KeepPause && step != OrderPause, why != "")
		})
	}
	woken, _, _ := paused.Step(with(master(time.Hour, replaced), silent))
	_, step, _ := woken.Step(master(time.Hour+time.Second, replaced))
	require.Equal(t, OrderPause, step, "a Redis that stood still is paused anew, and the time counts from then")
}
