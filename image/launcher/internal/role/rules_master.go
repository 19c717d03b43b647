package role

import "fmt"

// masterRules decide for a running Redis that is master.
var masterRules = []rule[*situation, Decision]{
	{
		ID:      "master-replaced-in-record",
		When:    "the record has named this pod since it is master, and now names another pod in its place, which says that it is master",
		Then:    "follow that pod",
		Why:     "The API and that pod agree. The sentinels may need a second more to agree on what has happened.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.Local.Recorded && s.replacedBy() != nil },
		decide:  func(s *situation) Decision { return giveWay(s.replacedBy()) },
	},
	{
		ID: "named-master-outranked",
		When: "a majority names this pod, another master has later data, and the record names that master, or the majority names this pod in no later " +
			"epoch than before",
		Then:    "follow that master",
		Why:     "This pod was away, and sentinels that do not know of its successor name it (ADR 0027).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.namesSelf && s.outrankedInTime() },
		decide:  func(s *situation) Decision { return giveWayToLater(s.outrankedBy()) },
	},
	{
		ID:      "fenced-by-a-replica",
		When:    "the record has a fence for this pod that another pod has written less than 6 s ago",
		Then:    "wait, with writes paused",
		Why:     "Most sentinels had found this master silent, and elected the launcher of a replica to replace it (ADR 0032).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.fencedByAnother() },
		decide: func(s *situation) Decision {
			return uncertainly("%s is replacing this pod, which most sentinels had found down", s.Fence.By)
		},
	},
	{
		ID:      "named-master-being-replaced",
		When:    "a majority names this pod, and a sentinel is replacing it",
		Then:    "wait, with writes paused",
		Why:     "What this pod accepts from now on would be lost (ADR 0022). The failover may still fail.",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.namesSelf && s.replacingSelf() },
		decide:  func(s *situation) Decision { return uncertainly("a sentinel is replacing this pod") },
	},
	{
		ID:      "named-master-found-lost",
		When:    "a majority names this pod, this pod has no label, and for less than 8 s a majority of the sentinels has had no answer from it or found it down",
		Then:    "wait",
		Why:     "The sentinels' launchers would take the label off again at once, again and again (ADR 0021).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.namesSelf && s.unlabelled() && s.foundLost() },
		decide: func(s *situation) Decision {
			return uncertainly("this pod has lost its label because most sentinels get no answer from it")
		},
	},
	{
		ID:      "named-master-serves",
		When:    "a majority names this pod",
		Then:    "serve as master",
		Why:     "The sentinels and Redis agree.",
		Label:   MasterLabel,
		applies: func(s *situation) bool { return s.namesSelf },
		decide:  func(s *situation) Decision { return serves("the sentinels name this pod") },
	},
	{
		ID: "fenced-master-succeeded",
		When: "the record names a fenced master and no other pod as its successor, the fence is younger than 30 s, the sentinels name that master, a pod that " +
			"is gone, or nobody, and this pod was not master before the fence",
		Then:    "serve as master",
		Why:     "The fenced master accepts no writes, so the label need not wait for the sentinels (ADR 0003).",
		Label:   MasterLabel,
		applies: func(s *situation) bool { return s.fencedPredecessor(s.named, s.namesOther) },
		decide:  func(s *situation) Decision { return serves("the previous master is fenced and this pod was promoted") },
	},
	{
		ID: "down-master-succeeded",
		When: "a majority names the recorded master, which does not answer this pod; a sentinel that was elected because that master is down has promoted this pod " +
			"in the last 8 s; no fence younger than 4 s names another successor",
		Then:    "serve as master",
		Why:     "The sentinel asks a replica for its role once a second. To wait for that would only lengthen the outage (ADR 0010).",
		Label:   MasterLabel,
		applies: func(s *situation) bool { return s.namesOther && s.electedOver(s.named) },
		decide: func(s *situation) Decision {
			return serves("the sentinels have elected this pod over a master that is down")
		},
	},
	{
		ID:      "another-pod-named",
		When:    "a majority names another pod",
		Then:    "find out which of the two is right",
		Why:     "The sentinels may not know of this master yet, or this master may be one of the past.",
		See:     "A master while the sentinels name another pod",
		applies: func(s *situation) bool { return s.namesOther },
		decide:  func(s *situation) Decision { return decideBy(contestedRules, s) },
	},
	{
		ID:      "later-master-without-record",
		When:    "there is no majority, the record cannot be read, and another master has later data",
		Then:    "follow that master",
		Why:     "This pod may have stood still while it was replaced (ADR 0027).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return !s.RecordKnown && s.outrankedBy() != nil },
		decide:  func(s *situation) Decision { return giveWayToLater(s.outrankedBy()) },
	},
	{
		ID:      "recorded-master-cut-off",
		When:    "the record names this pod, this pod has no label, and the sentinels that do not answer may be a majority",
		Then:    "serve without the label",
		Why:     "Sentinels that this pod cannot reach may have found it down, and be about to replace it (ADR 0022).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.recorded && s.CutOff() && s.unlabelled() },
		decide: func(s *situation) Decision {
			return Decision{State: Serving, Reason: "this pod is the recorded master, has lost its label, and cannot ask the sentinels why"}
		},
	},
	{
		ID:      "recorded-master-about-to-be-replaced",
		When:    "the record names this pod, this pod has no label, and another server is about to become master in its place",
		Then:    "wait, with writes paused",
		Why:     "What this pod accepts from now on would be lost (ADR 0022).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.recorded && s.unlabelled() && s.aboutToBeReplaced() },
		decide: func(s *situation) Decision {
			return uncertainly("this pod is the recorded master, has lost its label, and another server is about to replace it")
		},
	},
	{
		ID:      "recorded-master-serves",
		When:    "the record names this pod, and no majority names another",
		Then:    "serve as master",
		Why:     "Nothing says that this pod has been replaced.",
		Label:   MasterLabel,
		applies: func(s *situation) bool { return s.recorded },
		decide: func(s *situation) Decision {
			return serves("this pod is the recorded master and the sentinels do not name another")
		},
	},
	{
		ID: "unnamed-master-replaced",
		When: "this pod has been master for 8 s without a majority for it, and the record names another pod in its place, which says that it is " +
			"master",
		Then:    "follow that pod",
		Why:     "The API and that pod agree. The sentinels that have named that pod may be out of reach.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.Local.MasterFor > promotionPatience && s.replacedBy() != nil },
		decide:  func(s *situation) Decision { return giveWay(s.replacedBy()) },
	},
	{
		ID:      "unrecorded-master-elects",
		When:    "the record can be read and does not name this pod, no other server says that it is master, and the sentinels know nothing",
		Then:    "elect",
		Why:     "Nobody can say whether this pod was promoted or is left over. The best data win.",
		See:     "The election",
		applies: func(s *situation) bool { return len(s.masters) == 0 && s.RecordKnown && s.sentinelsKnowNothing() },
		decide:  func(s *situation) Decision { return s.elect("this pod is master without a record of it") },
	},
	{
		ID: "one-of-unrecorded-masters-elects",
		When: "several servers, with this pod, say that they are master, the record names none of them, each has told what data it holds, and the sentinels know " +
			"nothing",
		Then:    "elect",
		Why:     "Nobody can say which of them was promoted and which is left over. The best data win.",
		See:     "The election",
		applies: (*situation).unknownMasters,
		decide: func(s *situation) Decision {
			return s.elect("this pod is one of several masters without a record of it")
		},
	},
	{
		ID:    "promotion-unconfirmed",
		When:  "anything else",
		Then:  "wait",
		Why:   "The sentinels may have promoted this pod, and need about 2 s to agree on it.",
		Label: HoldLabel,
		decide: func(s *situation) Decision {
			return uncertainly("this pod is master but the sentinels have not agreed on it yet")
		},
	},
}

// unlabelled says whether the API finds this pod without the label of a master.
func (s *situation) unlabelled() bool { return s.Self.Label != Master }

// outrankedInTime says whether a majority that names this master does so for an earlier time than that of a master with later data.
func (s *situation) outrankedInTime() bool {
	other := s.outrankedBy()
	return other != nil && (!s.Local.NamedAnew || other.UID == s.MasterUID)
}

// serves is the decision of a master that everybody agrees on, or that has the record for itself.
func serves(format string, args ...any) Decision {
	return Decision{State: Serving, Reason: fmt.Sprintf(format, args...)}
}

// uncertainly is the decision of a master to wait while its role is disputed.
func uncertainly(format string, args ...any) Decision {
	return Decision{State: Uncertain, Reason: fmt.Sprintf(format, args...)}
}

// followInstead makes a master the replica of another server.
func followInstead(p *Peer, format string, args ...any) Decision {
	return Decision{State: Uncertain, Action: Follow, Target: p.IP, Reason: fmt.Sprintf(format, args...)}
}

// giveWay makes a master the replica of the server that the record names in its place.
func giveWay(p *Peer) Decision {
	return followInstead(p, "the record names %s as master in place of this one", p.Name)
}

// giveWayToLater makes a master the replica of the master of a later generation.
func giveWayToLater(p *Peer) Decision {
	return followInstead(p, "%s is the master of a later generation", p.Name)
}
