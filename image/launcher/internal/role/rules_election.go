package role

import "fmt"

// electionRules choose the master among the servers that are up, when nobody else can say who it is. The winner writes itself into the record,
// which only one can.
var electionRules = []rule[*election, Decision]{
	{
		ID:      "election-without-record",
		When:    "the pods or the record cannot be read",
		Then:    "wait",
		Why:     "Nobody becomes master beside a master that cannot be seen, and the record is the lock (ADR 0001).",
		Label:   ClearLabel,
		applies: func(e *election) bool { return !e.RecordKnown || !e.PodsKnown },
		decide:  func(e *election) Decision { return e.wait("the pods or the record of the master cannot be read") },
	},
	{
		ID:      "election-while-terminating",
		When:    "this pod is terminating",
		Then:    "wait",
		Why:     "It would not stay.",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.Self.Terminating },
		decide:  func(e *election) Decision { return e.wait("this pod is terminating") },
	},
	{
		ID:      "election-while-fenced",
		When:    "the record has this pod as fenced, and a replica lives",
		Then:    "wait",
		Why:     "This pod has given mastership away, whatever it holds (ADR 0003).",
		Label:   ClearLabel,
		applies: (*election).givenAway,
		decide:  func(e *election) Decision { return e.wait("this pod is fenced, and %s holds the data", e.live[0].Name) },
	},
	{
		ID:      "recorded-master-ready",
		When:    "the recorded master cannot be reached from here, but the API finds it ready",
		Then:    "wait",
		Why:     "This pod may be cut off, and not the recorded master.",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.recordedOutOfReach() && e.recordedPeer.Ready },
		decide: func(e *election) Decision {
			return e.wait("the recorded master %s cannot be reached from here, but the API finds it ready", e.recordedPeer.Name)
		},
	},
	{
		ID:      "recorded-master-young",
		When:    "the recorded master cannot be reached from here, and its generation is known for less than 5 s",
		Then:    "wait",
		Why:     "It may have claimed mastership a moment ago, and accepts writes until it notices that it is cut off.",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.recordedOutOfReach() && e.GenerationFor < claimPatience },
		decide: func(e *election) Decision {
			return e.wait("the recorded master %s cannot be reached from here, and may have claimed mastership a moment ago", e.recordedPeer.Name)
		},
	},
	{
		ID:      "chosen-master-starting",
		When:    "the recorded master tells that it has been chosen and is starting",
		Then:    "wait",
		Why:     "There is a master in a moment.",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.recordedStarts },
		decide:  func(e *election) Decision { return e.wait("%s has been chosen and is starting", e.recordedPeer.Name) },
	},
	{
		ID:      "promoted-replica-goes-on",
		When:    "another server has a history that began when a replica of this pod was promoted",
		Then:    "wait",
		Why:     "The data of that server are the later ones (ADR 0027).",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.succeeded(e.Local.History) },
		decide: func(e *election) Decision {
			return e.wait("a replica of this pod was promoted, and its data go on from there")
		},
	},
	{
		ID:      "most-advanced-data-elsewhere",
		When:    "another server holds the most advanced data",
		Then:    "wait",
		Why:     "That server decides by the same rules, and claims mastership.",
		Label:   ClearLabel,
		applies: (*election).betterElsewhere,
		decide:  func(e *election) Decision { return e.wait("%s holds the most advanced data", e.best.Name) },
	},
	{
		ID: "standings-missing",
		When: "a configured or existing server has not told what data it holds, may hold better data than this pod, and still has time. Its time begins when " +
			"no server that answers comes before this pod",
		Then:    "wait for it",
		Why:     "Later data must not be lost to a server that was quicker, or because the server that holds them restarts at this moment (ADR 0020).",
		Label:   ClearLabel,
		applies: func(e *election) bool { return e.missing > 0 && !e.unbeatable(e.best) && e.waited() < e.patience },
		decide: func(e *election) Decision {
			return e.wait("waiting up to %v for %d more server(s) to tell what data they hold", e.patience, e.missing)
		},
	},
	{
		ID: "backup-before-the-first-master",
		When: "the values name a backup to restore, no master has served in this release before, and neither this pod nor another server that takes part " +
			"holds data",
		Then:  "fetch the backup; its data are those of this pod then",
		Why:   "The release begins with the data of the backup. That happens once, as the record knows of a master afterwards (ADR 0038).",
		Label: ClearLabel,
		applies: func(e *election) bool {
			return e.RestoreFrom != "" && !e.Initialised && e.best.Standing.Empty && !e.Local.Running
		},
		decide: func(e *election) Decision {
			d := e.wait("this pod fetches the backup %s before it becomes master", e.RestoreFrom)
			d.Action = Restore
			return d
		},
	},
	{
		ID:    "most-advanced-data",
		When:  "anything else: this pod holds the most advanced data",
		Then:  "claim mastership: write this pod into the record with a new generation, then start or become master",
		Why:   "Only one such write can succeed (ADR 0001).",
		Label: HoldLabel,
		decide: func(e *election) Decision {
			return Decision{State: Starting, Action: Claim, Reason: e.why + "; this pod holds the most advanced data"}
		},
	},
}

// wait is the decision to go on waiting. The reason begins with why there is an election.
func (e *election) wait(format string, args ...any) Decision {
	return Decision{State: Discovering, Reason: e.why + "; " + fmt.Sprintf(format, args...)}
}
