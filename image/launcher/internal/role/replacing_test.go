package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReplicaThatHasFetchedABackupLoadsItWhileTheMasterServes(t *testing.T) {
	serving := together(sentinels("b b b"), follows("b"), peer("b", isMaster, reports(wasMaster(3, 5000))), peer("c", isReplica), recorded("b"))
	replacing := func(o *Observation) { o.Replacing = true }
	d := Decide(observe(serving, replacing))
	require.Equal(t, Detach, d.Action, d.Reason)
	require.Equal(t, ClearLabel, d.Label)
	require.Equal(t, "replacing-begins", d.Rule)
	stopped := func(o *Observation) { o.Local = Local{} }
	d = Decide(observe(serving, replacing, stopped))
	require.Equal(t, LoadBackup, d.Action, d.Reason)

	for name, change := range map[string]func(*Observation){
		"nothing was fetched":              func(o *Observation) { o.Replacing = false },
		"the record cannot be read":        func(o *Observation) { o.RecordKnown = false },
		"the master is silent":             func(o *Observation) { o.Peers[0].Redis = Unknown },
		"the master has become a replica":  func(o *Observation) { o.Peers[0].Master = false },
		"the master is leaving":            func(o *Observation) { o.Peers[0].Terminating = true },
		"the record names another master":  func(o *Observation) { o.MasterUID = o.Peers[1].UID },
		"the record names this pod":        func(o *Observation) { o.MasterUID = o.Self.UID },
		"somebody is replacing the master": func(o *Observation) { o.Fence = &Fence{UID: o.MasterUID, Age: time.Second} },
		"this pod is leaving":              func(o *Observation) { o.Self.Terminating = true },
		"this pod has been promoted":       func(o *Observation) { o.Local.Master = true },
	} {
		d := Decide(observe(serving, replacing, change))
		require.NotContains(t, []Action{Detach, LoadBackup}, d.Action, name)
	}
}
