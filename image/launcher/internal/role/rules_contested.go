package role

// contestedRules decide for a running Redis that is master, while a majority of the sentinels names another pod.
var contestedRules = []rule[*situation, Decision]{
	{
		ID: "replaced-named-master",
		When: "the record names this pod, which was promoted in place of the named pod, and no majority has named this pod yet; the promotion was less than 8 s ago, or " +
			"the named pod is silent for this pod and for most sentinels",
		Then:  "serve as master",
		Why:   "The sentinels still name the master that this pod has replaced. They agree within a second or two (ADR 0003).",
		Label: MasterLabel,
		applies: func(s *situation) bool {
			return s.recorded && (s.young() || s.replacesSilent()) && !s.Local.Claimed && s.named == s.PreviousIP
		},
		decide: func(s *situation) Decision {
			return serves("this pod has replaced the master that the sentinels still name")
		},
	},
	{
		ID: "promotion-called-off",
		When: "this pod was promoted less than 8 s ago, the record names another pod, which says that it is master, every sentinel answers, no sentinel names this " +
			"pod, and none runs a failover",
		Then:    "follow the recorded master",
		Why:     "The failover that promoted this pod has ended without a result.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.young() && !s.recorded && s.calledOff() != nil },
		decide:  func(s *situation) Decision { return giveWay(s.calledOff()) },
	},
	{
		ID:      "promotion-unannounced",
		When:    "this pod was promoted less than 8 s ago, no majority has named it yet, and the record names another pod or none",
		Then:    "wait",
		Why:     "The sentinel that has promoted this pod needs about 2 s to tell the others.",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.young() && !s.recorded },
		decide: func(s *situation) Decision {
			return uncertainly("this pod was promoted; the sentinels have not agreed on it yet")
		},
	},
	{
		ID:      "recorded-master-has-later-data",
		When:    "the record names this pod, and the named pod says that it is master and tells of data of an earlier generation",
		Then:    "serve as master",
		Why:     "The named pod is a master of the past. To follow it would lose what was written since (ADR 0027).",
		Label:   MasterLabel,
		applies: func(s *situation) bool { return s.recorded && s.namedIsOfThePast() },
		decide: func(s *situation) Decision {
			return serves("this pod is the recorded master; %s, which the sentinels name, has data of an earlier generation", s.namedPeer.Name)
		},
	},
	{
		ID: "later-data-record-unknown",
		When: "the record cannot be read, this pod's data are those of a master, and the named pod says that it is master and tells of data of an earlier " +
			"generation",
		Then:    "wait",
		Why:     "The named pod may be a master of the past. To follow it would lose what was written since (ADR 0027).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return !s.RecordKnown && s.Standing.Master && s.namedIsOfThePast() },
		decide: func(s *situation) Decision {
			return uncertainly("the sentinels name %s, whose data are of an earlier generation, and the record cannot be read", s.namedPeer.Name)
		},
	},
	{
		ID:      "replaced-by-named-master",
		When:    "the named pod says that it is master",
		Then:    "follow it",
		Why:     "The sentinels have replaced this master.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.namedPeer.saysMaster() },
		decide: func(s *situation) Decision {
			return followInstead(s.namedPeer, "the sentinels have replaced this master by %s", s.namedPeer.Name)
		},
	},
	{
		ID: "replaced-for-good",
		When: "this pod's data are of an earlier generation than the recorded master's, or the record cannot be read and the sentinels have named this pod before, " +
			"or the record names this pod and another server tells of later data",
		Then: "follow the named pod, or, if that pod is gone, the server with the latest data",
		Why: "This pod is a master of the past, also while its successor does not answer. Sentinel knows no priority of a master, and might promote this one " +
			"for it (ADR 0026).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.isOfThePast() && s.latest(s.named) != nil },
		decide: func(s *situation) Decision {
			later := s.latest(s.named)
			return followInstead(later, "this master has been replaced, and %s has later data or is to have them", later.Name)
		},
	},
	{
		ID: "elected-master-calls-off",
		When: "the record names this pod, which was elected and is not fenced, the named pod is gone, has stopped or is a replica, and a sentinel is replacing " +
			"the named pod",
		Then:  "serve as master, and end that failover",
		Why:   "The failover would replace a master that serves (ADR 0012).",
		Label: MasterLabel,
		applies: func(s *situation) bool {
			return s.namedHasGivenUp() && s.Local.Claimed && s.replacing(s.named)
		},
		decide: func(s *situation) Decision {
			d := s.servesOn()
			d.Action, d.Target = CallOff, s.named
			return d
		},
	},
	{
		ID:   "named-master-has-given-up",
		When: "the record names this pod, which is not fenced, and the named pod is gone, has stopped or is a replica",
		Then: "serve as master",
		Why: "Sentinel names no pod that has not been master. The named pod has given mastership up, as a pod that died and follows this one. " +
			"The sentinels go by the label.",
		Label:   MasterLabel,
		applies: (*situation).namedHasGivenUp,
		decide:  (*situation).servesOn,
	},
	{
		ID:   "named-replica-no-other-master",
		When: "the record does not name this pod, the named pod is a replica, no other server says that it is master, and no sentinel is replacing the named pod",
		Then: "elect",
		Why:  "Sentinel never promotes the pod that it names.",
		See:  "The election",
		applies: func(s *situation) bool {
			return !s.recorded && s.namedPeer.answers() && len(s.masters) == 0 && !s.replacing(s.named)
		},
		decide: func(s *situation) Decision {
			return s.elect("the sentinels name %s, which is a replica, and nobody but this pod is master", s.namedPeer.Name)
		},
	},
	{
		ID: "named-pod-gone-no-other-master",
		When: "the record does not name this pod, the named pod is gone, no other server says that it is master, no sentinel is replacing the named pod, and no " +
			"replica lives",
		Then: "elect",
		Why:  "The sentinels have nobody to promote.",
		See:  "The election",
		applies: func(s *situation) bool {
			return !s.recorded && s.namedPeer == nil && s.PodsKnown && len(s.masters) == 0 && !s.replacing(s.named) && len(s.live) == 0
		},
		decide: func(s *situation) Decision {
			return s.elect("the sentinels name %v, which is gone; this pod is the only master", s.named)
		},
	},
	{
		ID:      "contested-master-outranked",
		When:    "the record does not name this pod, and another master has later data",
		Then:    "follow that master",
		Why:     "Both pods are masters of the past. Sentinel takes both for replicas, and may promote the pod with the older data (ADR 0027).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return !s.recorded && s.outrankedBy() != nil },
		decide:  func(s *situation) Decision { return giveWayToLater(s.outrankedBy()) },
	},
	{
		ID:    "contested-master-gives-label-up",
		When:  "anything else",
		Then:  "wait without the label",
		Why:   "Clients must not find a master that most sentinels do not name.",
		Label: ClearLabel,
		decide: func(s *situation) Decision {
			return uncertainly("the sentinels name another master, which does not say it is master yet")
		},
	},
}

// young says whether this pod was promoted so lately that the sentinels may not have agreed on it yet.
func (s *situation) young() bool { return s.Local.MasterFor <= promotionPatience && !s.Local.Confirmed }

// namedIsOfThePast says whether the pod that the sentinels name is a master that tells of data of an earlier generation than this pod's.
func (s *situation) namedIsOfThePast() bool {
	p := s.namedPeer
	return p.saysMaster() && p.Status != nil && s.older(*p)
}

// isOfThePast says whether this master, which a majority does not name, has certainly been replaced.
func (s *situation) isOfThePast() bool {
	if s.recorded {
		return s.disputed()
	}
	return s.replacedForGood()
}

// namedHasGivenUp says whether the pod that the sentinels name certainly is no master any more, while the record names this one.
func (s *situation) namedHasGivenUp() bool {
	return s.recorded && !s.fencedSelf() && (s.namedPeer == nil || s.namedPeer.Redis != Unknown)
}

// servesOn is the decision of the recorded master while the sentinels name a pod that is no master any more.
func (s *situation) servesOn() Decision {
	named := "gone"
	if s.namedPeer.answers() {
		named = "a replica"
	}
	return serves("this pod is the recorded master; the one that the sentinels still name is %s", named)
}

// replacesSilent says whether no majority has named this pod yet, and the pod that the sentinels name is silent. The launcher that promoted this
// pod has ended before it told the sentinels.
func (s *situation) replacesSilent() bool {
	return !s.Local.Confirmed && s.namedPeer != nil && s.namedPeer.Redis == Unknown && s.silentFor(s.named)
}
