package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

func TestPodIsReadyOnlyWithRedisInItsRole(t *testing.T) {
	master := role.Local{Running: true, Answering: true, Master: true, Synced: true}
	replica := role.Local{Running: true, Answering: true, Synced: true, LinkUp: true}
	cut, loading, silent, unsynced := replica, replica, replica, replica
	cut.LinkUp, cut.LinkDown = false, replicaGone+1
	loading.Loading, silent.Answering, unsynced.Synced = true, false, false
	for name, c := range map[string]struct {
		local role.Local
		label role.Label
		want  string
	}{
		"a master that is labelled":          {master, role.MasterLabel, ""},
		"a master whose label is left":       {master, role.HoldLabel, ""},
		"a master that must not be labelled": {master, role.ClearLabel, "the reason"},
		"a replica in sync":                  {replica, role.SlaveLabel, ""},
		"a replica that has lost its master": {cut, role.SlaveLabel, "the link to the master has been down for over 10s"},
		"a replica before its first sync":    {unsynced, role.SlaveLabel, "the first synchronisation is not finished"},
		"a Redis that loads its data":        {loading, role.HoldLabel, "redis-server is loading its data"},
		"a Redis that does not answer":       {silent, role.HoldLabel, "redis-server does not answer"},
		"no Redis":                           {role.Local{}, role.ClearLabel, "the reason"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{decided: role.Decision{Label: c.label, Reason: "the reason"}}
			require.Equal(t, c.want, s.notReady(role.Observation{Local: c.local}))
		})
	}
}

// Readiness of a master means nothing to its Services, but each change of it
// makes kube-proxy work, and the label may be about to move.
func TestLabelledMasterThatDoesNotAnswerStaysReadyUntilAFailoverIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{observed: observed{answeredAt: time.Now()}}
		silent := role.Observation{Local: role.Local{Running: true}, Self: role.Member{Label: role.Master}}
		time.Sleep(masterSilent - time.Millisecond)
		require.Empty(t, s.notReady(silent))
		silent.Self.Label = role.Slave
		require.Equal(t, "redis-server does not answer", s.notReady(silent))
		silent.Self.Label = role.Master
		time.Sleep(time.Millisecond)
		require.Equal(t, "redis-server does not answer", s.notReady(silent))
	})
}

func TestClocksRunFromTheFirstMomentToTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at time.Time
		require.Zero(t, since(at))
		mark(&at, true)
		time.Sleep(3 * time.Second)
		mark(&at, true)
		require.Equal(t, 3*time.Second, since(at))
		mark(&at, false)
		require.Zero(t, since(at))
	})
}
