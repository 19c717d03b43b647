package role

import "slices"

// replacesData says whether this pod goes on loading a backup that is to replace the data of the running release. If the recorded master is leaving or
// may be lost, this pod may be needed as a replica, and does not go on.
func (o Observation) replacesData() bool {
	if !o.Replacing || o.Self.Terminating || o.Local.Master || !o.RecordKnown || o.MasterUID == o.Self.UID || o.Fence != nil && o.Fence.Age < fencePatience {
		return false
	}
	return slices.ContainsFunc(o.Peers, func(p Peer) bool { return p.UID == o.MasterUID && p.Redis == Answered && p.Master && !p.Terminating })
}

// replacingRules decide for a server that loads a backup to replace the data of the running release.
var replacingRules = []rule[*situation, Decision]{
	{
		ID:      "replacing-begins",
		When:    "Redis runs as a replica",
		Then:    "end Redis, and keep its data until the backup has replaced the data of the release",
		Why:     "The memory of a server has room for one set of data. The master and the other replicas serve on (ADR 0043).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.Local.Running },
		decide: func(*situation) Decision {
			return Decision{State: Discovering, Action: Detach, Reason: "a backup is to replace the data of the release, and this pod loads it"}
		},
	},
	{
		ID:    "replacing-loads",
		When:  "Redis does not run",
		Then:  "load the backup in a Redis without a port, and then take over from the master",
		Why:   "Nothing changes for clients until the data are loaded (ADR 0043).",
		Label: ClearLabel,
		decide: func(*situation) Decision {
			return Decision{State: Discovering, Action: LoadBackup, Reason: "this pod loads the backup that is to replace the data of the release"}
		},
	},
}
