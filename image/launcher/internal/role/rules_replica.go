package role

import (
	"fmt"
	"net/netip"
)

// replicaRules decide for a running Redis that is a replica.
var replicaRules = []rule[*situation, Decision]{
	{
		ID:      "succession-unfinished",
		When:    "this replica follows the external master, and the record names this pod as master",
		Then:    "claim mastership once more",
		Why:     "The record was written, and Redis has not become master.",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.RecordKnown && s.recorded && s.Local.Synced && s.followsSettled() },
		decide: func(s *situation) Decision {
			return s.act(Claim, netip.Addr{}, "this pod succeeds the external master, and is not master yet")
		},
	},
	{
		ID:      "external-master-left",
		When:    "this replica follows the external master, and the record names another pod, which says that it is master",
		Then:    "follow that pod",
		Why:     "The release has moved in. That pod goes on with the history of the external master, so no copy is needed (ADR 0041).",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.followsLeftMaster() },
		decide: func(s *situation) Decision {
			return s.act(Follow, s.firstMaster().IP, "%s has succeeded the external master", s.firstMaster().Name)
		},
	},
	{
		ID:      "external-master-left-without-successor",
		When:    "this replica is in sync with the external master, the record has named another pod for 5 s, nobody is master, and the sentinels know nothing",
		Then:    "elect",
		Why:     "The release has moved in, and its first master is lost. This replica has what that master had when it began.",
		Label:   SlaveLabel,
		See:     "The election",
		applies: func(s *situation) bool { return s.leftWithoutMaster() && s.sentinelsKnowNothing() },
		decide: func(s *situation) Decision {
			return s.replicaAs(s.elect("the release has left the external master, and its first master does not serve"))
		},
	},
	{
		ID:    "named-replica-elects",
		When:  "a majority names this pod, nobody is master, and the link has been down for 8 s",
		Then:  "elect",
		Why:   "Sentinel never promotes the pod that it names as master.",
		Label: SlaveLabel,
		See:   "The election",
		applies: func(s *situation) bool {
			return s.namesSelf && s.Local.LinkDown > promotionPatience && len(s.masters) == 0
		},
		decide: func(s *situation) Decision {
			return s.replicaAs(s.elect("the sentinels name this pod and nobody else is master"))
		},
	},
	{
		ID: "named-master-of-the-past",
		When: "for 2 s this replica has followed another server than the pod that a majority names, which says that it is master and tells of data of an earlier " +
			"generation than this replica's",
		Then:  "go on following the present master",
		Why:   "The sentinels have not heard of a failover yet. To follow the named pod would lose what was written since (ADR 0027).",
		Label: SlaveLabel,
		applies: func(s *situation) bool {
			return s.followsAnother() && s.Local.Astray > wrongMasterPatience && s.namedIsOfThePast()
		},
		decide: func(s *situation) Decision {
			return s.stay("the sentinels name %s, whose data are of an earlier generation; they have not learned of this replica's master yet", s.namedPeer.Name)
		},
	},
	{
		ID:    "wrong-master-left",
		When:  "for 2 s this replica has followed another server than the pod that a majority names, which says that it is master",
		Then:  "follow the named pod",
		Why:   "Sentinel moves a replica within a second or two, and did not.",
		Label: SlaveLabel,
		applies: func(s *situation) bool {
			return s.followsAnother() && s.Local.Astray > wrongMasterPatience && s.namedPeer.saysMaster()
		},
		decide: func(s *situation) Decision {
			return s.act(Follow, s.named, "the sentinels name %s", s.namedPeer.Name)
		},
	},
	{
		ID: "unserved-failover-stalled",
		When: "a majority names another pod than this replica follows, nobody has been master for 30 s, no sentinel is replacing the named pod, " +
			"and every server that may hold data answers",
		Then:    "elect",
		Why:     "The named pod may have less data than this one and wait for it.",
		Label:   SlaveLabel,
		See:     "The election",
		applies: func(s *situation) bool { return s.followsAnother() && len(s.masters) == 0 && s.stalled(s.named) },
		decide: func(s *situation) Decision {
			return s.replicaAs(s.elect("the sentinels name %v, nobody is master", s.named))
		},
	},
	{
		ID:      "recorded-successor-followed",
		When:    "the link to the named master is down. The record names a successor, which says that it is master; the named master does not",
		Then:    "follow the successor",
		Why:     "The replica copies new data sooner than if it waited for the order of a sentinel.",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.followsNamed() && !s.Local.LinkUp && s.successor(s.named) != nil },
		decide: func(s *situation) Decision {
			p := s.successor(s.named)
			return s.act(Follow, p.IP, "%s has replaced the master that the sentinels still name", p.Name)
		},
	},
	{
		ID: "no-replica-promotable",
		When: "the link to the named master has been down for longer than down-after, nobody is master, and Sentinel would promote neither this replica nor " +
			"another",
		Then:    "wait for the named master as long as it may come back",
		Why:     "Sentinel promotes no replica that has not synchronised, or has lost its link long ago (ADR 0018).",
		Label:   SlaveLabel,
		See:     "The master is lost and no replica lives",
		applies: func(s *situation) bool { return s.followsNamed() && s.nobodyPromotable() },
		decide:  func(s *situation) Decision { return s.replicaAs(decideBy(lostMasterRules, s)) },
	},
	{
		ID: "master-container-ended",
		When: "the ports of Redis and of the launcher of the recorded master have refused connections for 50 ms, this replica had lost its link not more than 5 s " +
			"before, nobody is replacing that master, and no live replica holds more data than this one",
		Then:    "[replace the master](#a-dead-master), a second later if a replica that may hold more does not answer",
		Why:     "Nobody is left in the pod of that master to say that it has ended (ADR 0008).",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.followsNamed() && s.masterContainerEnded(s.named, s.live) },
		decide: func(s *situation) Decision {
			return s.act(ReplaceDead, s.named, "nothing listens in the pod of the master %v any more", s.named)
		},
	},
	{
		ID: "master-silent",
		When: "the recorded master has been silent for down-after less 0.7 s to a majority and to the quorum of the sentinels. They have found the master down for less than 8 s. " +
			"The master is silent to this replica, too, and has lost its label. Nobody is replacing the master. This replica is in sync, and no live replica holds more",
		Then: "[replace the master](#a-silent-master)",
		Why: "A sentinel needs several ticks of its timer for a failover. A sentinel that has voted for a launcher before it finds the master down begins no failover " +
			"(ADR 0032).",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.followsNamed() && s.masterSilent(s.named, s.live) },
		decide: func(s *situation) Decision {
			return s.act(ReplaceSilent, s.named, "most sentinels get no answer from the master %v, and it has lost its label", s.named)
		},
	},
	{
		ID: "failover-overdue",
		When: "a majority has found the master down for 3 s, no sentinel runs a failover, nobody is master, and this replica is in sync, holds the most data " +
			"and has not just connected to that master again",
		Then:    "write into the record that this replica acts, and tell a sentinel to promote a replica",
		Why:     "An attempt that failed blocks the sentinels for twice the failover timeout.",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.followsNamed() && s.failoverOverdue() },
		decide: func(s *situation) Decision {
			return s.act(Nudge, s.named, "the master has been down for long and the sentinels do not replace it")
		},
	},
	{
		ID: "only-master-instead",
		When: "there is no majority, and the link has been down for 2 s. Exactly one server says that it is master. This replica follows another server, " +
			"and its own data are not later than that master's",
		Then:    "follow that master",
		Why:     "It serves, and to follow it loses nothing that is known of.",
		Label:   SlaveLabel,
		applies: func(s *situation) bool { return s.noMajority() && s.leavesForOnlyMaster() },
		decide: func(s *situation) Decision {
			return s.act(Follow, s.onlyMaster.IP, "%s is the only master", s.onlyMaster.Name)
		},
	},
	{
		ID:      "replica-elects",
		When:    "the link has been down for longer than down-after, nobody is master, and the sentinels know nothing",
		Then:    "elect",
		Why:     "Nobody will promote a replica.",
		Label:   SlaveLabel,
		See:     "The election",
		applies: func(s *situation) bool { return s.linkLost() && len(s.masters) == 0 && s.sentinelsKnowNothing() },
		decide: func(s *situation) Decision {
			return s.replicaAs(s.elect("the master is gone and the sentinels know nothing"))
		},
	},
	{
		ID: "replica-beside-unrecorded-masters-elects",
		When: "the link has been down for longer than down-after, the record names none of the masters in view, each of them has told what data it holds, " +
			"and the sentinels know nothing",
		Then:    "elect",
		Why:     "Nobody can say which of these masters was promoted and which is left over. The best data win.",
		Label:   SlaveLabel,
		See:     "The election",
		applies: func(s *situation) bool { return s.linkLost() && s.unknownMasters() },
		decide: func(s *situation) Decision {
			return s.replicaAs(s.elect("%d server(s) say they are master, and nobody knows of them", len(s.masters)))
		},
	},
	{
		ID:     "replica-serves",
		When:   "anything else",
		Then:   "go on as replica",
		Why:    "Sentinel moves replicas and promotes one if the master is lost.",
		Label:  SlaveLabel,
		decide: (*situation).asReplica,
	},
}

// asReplica is the decision of a replica to go on as it is.
func (s *situation) asReplica() Decision {
	if s.Local.LinkUp {
		return Decision{State: Serving, Reason: fmt.Sprintf("replica of %v", s.Local.Follows)}
	}
	return Decision{State: Uncertain, Reason: fmt.Sprintf("replica of %v, not connected to it", s.Local.Follows)}
}

// stay is the decision of a replica to go on as it is, with the reason.
func (s *situation) stay(reason string, args ...any) Decision {
	return s.act(Wait, netip.Addr{}, reason, args...)
}

// act is the decision of a replica to do something.
func (s *situation) act(action Action, target netip.Addr, reason string, args ...any) Decision {
	d := s.asReplica()
	d.Action, d.Target, d.Reason = action, target, fmt.Sprintf(reason, args...)
	return d
}

// replicaAs gives what other rules decide to a replica, which stays one and keeps its label until it is master.
func (s *situation) replicaAs(decided Decision) Decision {
	d := s.asReplica()
	d.Label, d.Action, d.Reason, d.Rule = SlaveLabel, decided.Action, decided.Reason, decided.Rule
	return d
}

// followsAnother says whether this replica follows another server than the pod that a majority names.
func (s *situation) followsAnother() bool { return s.namesOther && s.named != s.Local.Follows }

// followsNamed says whether this replica follows the pod that a majority names.
func (s *situation) followsNamed() bool { return s.namesOther && s.named == s.Local.Follows }

// nobodyPromotable says whether there is no master, and Sentinel would promote neither this replica nor another.
func (s *situation) nobodyPromotable() bool {
	self := s.Local.Synced && s.promotable(s.Local.Unlinked)
	return !self && s.Local.LinkDown > s.DownAfter && len(s.masters) == 0 && s.leftToNobody(s.named)
}

// failoverOverdue says whether the sentinels find the master down and do not act, and this replica has to tell them.
func (s *situation) failoverOverdue() bool {
	_, failingOver := s.MasterIsDown()
	return s.MasterDown > requestPatience && !failingOver && s.Local.Synced && !s.masterIsBack() && len(s.masters) == 0 && s.best(s.live)
}

// leavesForOnlyMaster says whether this replica has lost its master, and another server is the only master.
func (s *situation) leavesForOnlyMaster() bool {
	m := s.onlyMaster
	return m != nil && m.IP != s.Local.Follows && s.Local.LinkDown > wrongMasterPatience && !s.older(*m)
}

// linkLost says whether no majority names a master, and the link to this replica's master has been down for long.
func (s *situation) linkLost() bool { return s.noMajority() && s.Local.LinkDown > s.DownAfter }
