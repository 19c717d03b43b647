package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPodIsReadyOnlyWithRedisInItsRole(t *testing.T) {
	master := Local{Running: true, Answering: true, Master: true}
	replica := Local{Running: true, Answering: true, Synced: true, LinkUp: true}
	cut, loading, silent, unsynced, writing := replica, replica, replica, replica, replica
	cut.LinkUp, cut.LinkDown = false, replicaGone+1
	loading.Loading, silent.Answering, unsynced.Synced, writing.Copied = true, false, false, true
	for name, c := range map[string]struct {
		local Local
		label Label
		want  string
	}{
		"a master that is labelled":            {master, MasterLabel, ""},
		"a master whose label is left":         {master, HoldLabel, ""},
		"a master that must not be labelled":   {master, ClearLabel, "the reason"},
		"a replica in sync":                    {replica, SlaveLabel, ""},
		"a replica that has lost its master":   {cut, SlaveLabel, "the link to the master has been down for over 10s"},
		"a replica before its first sync":      {unsynced, SlaveLabel, "the first synchronisation is not finished"},
		"a replica that writes its first file": {writing, SlaveLabel, "the data are not in the append-only file yet: its first rewrite is running"},
		"a Redis that loads its data":          {loading, HoldLabel, "redis-server is loading its data"},
		"a silent Redis":                       {silent, HoldLabel, "redis-server does not answer"},
		"no Redis":                             {Local{}, ClearLabel, "the reason"},
	} {
		t.Run(name, func(t *testing.T) {
			m := Memory{Decided: Decision{Label: c.label, Reason: "the reason"}}
			require.Equal(t, c.want, m.NotReady(Observation{Local: c.local}, now))
		})
	}
	writing.Copied = true
	m := Memory{last: Own{Look: Look{Failed: true}}}
	require.Contains(t, m.NotReady(Observation{Local: writing}, now), "its rewrite failed")
}

// Readiness of a master means nothing to its Services, but each change of it
// makes kube-proxy work, and the label may be about to move.
func TestLabelledMasterThatDoesNotAnswerStaysReadyUntilAFailoverIsOver(t *testing.T) {
	m := Memory{answeredAt: now}
	silent := Observation{Local: Local{Running: true}, Self: Member{Label: Master}}
	require.Empty(t, m.NotReady(silent, now.Add(masterSilent-time.Millisecond)))
	require.Equal(t, "redis-server does not answer", m.NotReady(silent, now.Add(masterSilent)))
	require.Empty(t, m.Hung(silent, now.Add(hungAfter)))
	require.NotEmpty(t, m.Hung(silent, now.Add(hungAfter+time.Second)), "the kubelet restarts it")
	loading := silent
	loading.Local.Loading = true
	require.Empty(t, m.Hung(loading, now.Add(time.Hour)))
	silent.Self.Label = Slave
	require.Equal(t, "redis-server does not answer", m.NotReady(silent, now))
}

// A refusal is an answer: the kubelet must not restart a Redis that has as many clients as it takes.
func TestRedisThatRefusesTheLauncherIsAlive(t *testing.T) {
	m := Memory{answeredAt: now.Add(-time.Hour), Served: true, last: Own{Look: Look{Master: true}}}
	facts := Facts{Began: now, PodsKnown: true, Own: Own{At: now, Running: true, Full: true}, Answers: Answers{Asked: Questions{Sentinels: true, Servers: true, Record: true}}}
	m, plan := m.Step(facts, now)
	require.Equal(t, Local{Running: true, Full: true}, plan.Seen.Local)
	require.Zero(t, m.Silent(now))
	require.False(t, plan.Pause, "its writes are not held back")
	require.Empty(t, m.NotReady(plan.Seen, now))
}
