package role

import (
	"fmt"
	"net/netip"
	"slices"
)

// masterInViewRules find the role of a server whose Redis does not run, while at least one other server says that it is master.
var masterInViewRules = []rule[*situation, Decision]{
	{
		ID:      "named-master-followed",
		When:    "a majority names another pod, and that pod says that it is master",
		Then:    "start as its replica",
		Why:     "The sentinels and the pod itself agree.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.namesOther && s.namedPeer.saysMaster() },
		decide: func(s *situation) Decision {
			return startAsReplica(s.named, "the sentinels name %s and it is master", s.namedPeer.Name)
		},
	},
	{
		ID: "past-master-ignored",
		When: "one server says that it is master. The majority names this pod, and the record names another pod than that server. Either a replica in sync holds " +
			"later data, or the record names this pod without a fence, and this pod holds later data",
		Then:    "ignore that master",
		Why:     "That server is a master of the past. Its own launcher makes it a replica. If this pod followed it, the data of this pod's replicas would be lost.",
		See:     "Nobody is master",
		applies: func(s *situation) bool { return s.onlyMaster != nil && s.namesSelf && s.surpassed(*s.onlyMaster) },
		decide:  func(s *situation) Decision { return decideBy(nobodyIsMasterRules, s) },
	},
	{
		ID:    "named-self-record-unknown",
		When:  "one server says that it is master, the majority names this pod, the data of that server may be older, and the record cannot be read",
		Then:  "wait",
		Why:   "That server may be a master of the past.",
		Label: ClearLabel,
		applies: func(s *situation) bool {
			return s.onlyMaster != nil && s.namesSelf && !s.RecordKnown && s.older(*s.onlyMaster)
		},
		decide: func(s *situation) Decision {
			return waits("the sentinels name this pod, %s may have older data, and the record cannot be read", s.onlyMaster.Name)
		},
	},
	{
		ID: "later-data-may-exist",
		When: "one server says that it is master, and no majority names another pod than this one. That master may be of an earlier generation than the recorded " +
			"master, or the record cannot be read. A third server may hold later data and does not tell what it holds",
		Then:  "wait",
		Why:   "Redis of the replicas of this pod reconnects by itself. The replicas would take a copy of that master's data from here.",
		Label: ClearLabel,
		applies: func(s *situation) bool {
			return s.onlyMaster != nil && !s.namesOther && s.mayBeOfThePast(*s.onlyMaster) && s.unheard(*s.onlyMaster) != nil
		},
		decide: func(s *situation) Decision {
			return waits("%s is the only master and may be of an earlier generation; %s, which may hold later data, does not answer",
				s.onlyMaster.Name, s.unheard(*s.onlyMaster).Name)
		},
	},
	{
		ID: "only-master-followed",
		When: "one server says that it is master, and the record names it, or the majority names this pod, or there is no majority and neither this pod " +
			"nor a replica holds later data",
		Then:    "start as its replica",
		Why:     "It serves, and to follow it loses nothing that is known of.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.onlyMaster != nil && s.followsOnlyMaster() },
		decide: func(s *situation) Decision {
			return startAsReplica(s.onlyMaster.IP, "%s is the only master", s.onlyMaster.Name)
		},
	},
	{
		ID: "unrecorded-masters-elect",
		When: "several servers say that they are master, or one with older data does, the record names none of them, each has told what data it holds, " +
			"and the sentinels know nothing",
		Then:    "elect",
		Why:     "Nobody can say which of them was promoted and which is left over. The best data win, be it those of one of these masters.",
		See:     "The election",
		applies: func(s *situation) bool { return s.unknownMasters() && (len(s.masters) > 1 || s.older(*s.onlyMaster)) },
		decide: func(s *situation) Decision {
			return s.elect("%d server(s) say they are master, and nobody knows of them", len(s.masters))
		},
	},
	{
		ID:      "only-master-older",
		When:    "one server says that it is master, and there is no majority",
		Then:    "wait",
		Why:     "This pod or a replica holds later data than that master. The sentinels have to say who is right.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.onlyMaster != nil && s.noMajority() },
		decide: func(s *situation) Decision {
			return waits("%s is the only master, but this pod or a replica holds later data", s.onlyMaster.Name)
		},
	},
	{
		ID:    "masters-disagree",
		When:  "several servers say that they are master, or the majority contradicts the only one",
		Then:  "wait for the sentinels",
		Why:   "The sentinels settle it. A replica of the wrong master would lose its data.",
		Label: ClearLabel,
		decide: func(s *situation) Decision {
			return waits("%d server(s) say they are master; the sentinels must agree on one", len(s.masters))
		},
	},
}

// nobodyIsMasterRules find the role of a server whose Redis does not run, while no other server says that it is master.
var nobodyIsMasterRules = []rule[*situation, Decision]{
	{
		ID: "died-master-failover-futile",
		When: "a majority names this pod, a replica lives, and a sentinel is busy with a failover to a replica that has stopped, or with the end of " +
			"the failover that made this pod master",
		Then:    "call that failover off; the next look orders one anew",
		Why:     "Sentinel would go on with it until the failover timeout, and clients could not write (ADR 0012).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.diedAsMaster() && s.futile() },
		decide: func(s *situation) Decision {
			return callsOff(s.Self.IP, "this pod died as master, a sentinel is busy with one that has died, and %s holds the data", s.live[0].Name)
		},
	},
	{
		ID: "died-master-ahead",
		When: "a majority names this pod, which is recorded and not fenced, has its data and is not being replaced by a sentinel; every live replica had lost " +
			"its link more than 5 s before, or more than 1 s before and holds less than the files of this pod",
		Then:    "elect",
		Why:     "This pod has what it wrote alone. Its data are whole again in the time that Redis needs to read them (ADR 0018).",
		See:     "The election",
		applies: func(s *situation) bool { return s.diedAsMaster() && s.ahead(s.live) },
		decide: func(s *situation) Decision {
			return s.elect("this pod died as master, and %s does not hold all of its data", s.live[0].Name)
		},
	},
	{
		ID:    "died-master-late-replica",
		When:  "a majority names this pod, a replica lives, and a replica that may hold more does not answer and has had less than a second for it",
		Then:  "wait",
		Why:   "The replica with the most data is to be promoted. One late answer decides nothing (ADR 0025).",
		Label: ClearLabel,
		applies: func(s *situation) bool {
			return s.diedAsMaster() && s.Waiting < answerPatience && s.lateReplica(s.live) != nil
		},
		decide: func(s *situation) Decision {
			return waits("this pod died as master; %s, which may hold more than the others, does not answer at the moment", s.lateReplica(s.live).Name)
		},
	},
	{
		ID:      "died-master-failed-over",
		When:    "a majority names this pod, and a replica lives",
		Then:    "[replace this pod](#a-dead-master) by a replica",
		Why:     "This pod died as master and must not come back before its replicas: one of them serves sooner (ADR 0029).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.diedAsMaster() },
		decide: func(s *situation) Decision {
			return Decision{State: Discovering, Action: FailOver, Reason: fmt.Sprintf("this pod died as master and %s holds the data", s.live[0].Name)}
		},
	},
	{
		ID:      "died-master-silent-replica",
		When:    "a majority names this pod, no replica lives, and a replica that may hold the data has not answered for less than down-after",
		Then:    "wait",
		Why:     "A replica that is merely late could replace this pod.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.namesSelf && s.Waiting < s.DownAfter && s.silentReplica() != nil },
		decide: func(s *situation) Decision {
			return waits("this pod died as master; %s, which may hold the data, does not answer at the moment", s.silentReplica().Name)
		},
	},
	{
		ID:   "died-master-alone-being-replaced",
		When: "a majority names this pod, no replica lives, a sentinel is replacing this pod, and the election would choose this pod",
		Then: "end that sentinel, which its launcher starts again; then elect",
		Why: "The replica that the sentinel has chosen has died. Sentinel would promote it as soon as it is back, and there would be two masters " +
			"(ADR 0012).",
		Label: HoldLabel,
		applies: func(s *situation) bool {
			return s.namesSelf && s.replacing(s.Self.IP) && s.electAlone().Action == Claim
		},
		decide: func(s *situation) Decision {
			return callsOff(s.Self.IP, "a sentinel is replacing this pod, and no replica lives that it could replace it by")
		},
	},
	{
		ID:      "died-master-alone",
		When:    "a majority names this pod, and no replica lives",
		Then:    "elect",
		Why:     "There is nobody to replace this pod by. Another server may hold more on its disk.",
		See:     "The election",
		applies: func(s *situation) bool { return s.namesSelf },
		decide:  (*situation).electAlone,
	},
	{
		ID: "named-replica-alone",
		When: "a majority names a replica that has lost its link, no other replica lives, every server that may hold data answers, there has been no master " +
			"for 8 s, and no sentinel runs a failover of that replica",
		Then: "elect",
		Why:  "Sentinel never promotes the pod that it names as master.",
		See:  "The election",
		applies: func(s *situation) bool {
			return s.diedBesideReplica() && s.leftToNobody(s.named) && s.Masterless > promotionPatience
		},
		decide: func(s *situation) Decision {
			return s.elect("the sentinels name %s, which is a replica, and no other replica lives", s.live[0].Name)
		},
	},
	{
		ID: "failover-stalled",
		When: "a majority names another pod, a replica lives, nobody has been master for 30 s, no sentinel runs a failover of that pod, and every server that may " +
			"hold data answers",
		Then:    "elect",
		Why:     "The sentinels had time for two attempts. One sentinel may find all replicas too old to be promoted while another does not (ADR 0018).",
		See:     "The election",
		applies: func(s *situation) bool { return s.diedBesideReplica() && s.stalled(s.named) },
		decide: func(s *situation) Decision {
			return s.elect("the sentinels name %v, which is not master, and promote nobody", s.named)
		},
	},
	{
		ID:      "died-successor-being-promoted",
		When:    "a majority names another pod, a replica lives, and a sentinel is making this pod master",
		Then:    "call that failover off",
		Why:     "The sentinel would wait for this pod, which has died, until the failover timeout. Only this launcher knows that for certain (ADR 0012).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.diedBesideReplica() && s.beingPromoted() },
		decide: func(s *situation) Decision {
			return callsOff(s.named, "a sentinel is making this pod master, which has died, and %s holds the data", s.live[0].Name)
		},
	},
	{
		ID: "died-successor-recorded",
		When: "a majority names the master before this one and finds it down, the record names this pod, a replica lives, and no sentinel runs a " +
			"failover",
		Then:  "tell a sentinel to promote a replica",
		Why:   "This pod died before the sentinels named it, so that nobody replaces it (ADR 0012).",
		Label: ClearLabel,
		applies: func(s *situation) bool {
			return s.diedBesideReplica() && s.recorded && s.named == s.PreviousIP && s.downAndLeft()
		},
		decide: func(s *situation) Decision {
			return Decision{State: Discovering, Action: Nudge, Target: s.named,
				Reason: fmt.Sprintf("this pod died as master, the one before it is down, and %s holds the data", s.live[0].Name)}
		},
	},
	{
		ID:      "failover-awaited",
		When:    "a majority names another pod, and a replica lives",
		Then:    "wait",
		Why:     "The sentinels will promote the replica.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.diedBesideReplica() },
		decide: func(s *situation) Decision {
			return waits("the sentinels name %v, which is not master; they will promote a replica", s.named)
		},
	},
	{
		ID:      "named-master-lost",
		When:    "a majority names another pod, and no replica lives",
		Then:    "wait for that pod as long as it may come back",
		Why:     "Nobody can be promoted.",
		See:     "The master is lost and no replica lives",
		applies: func(s *situation) bool { return s.namesOther },
		decide:  func(s *situation) Decision { return decideBy(lostMasterRules, s) },
	},
	{
		ID: "sentinels-know-nothing",
		When: "the sentinels know nothing. If a replica lives, also every sentinel gives a clear answer, or a majority says that it knows no master, or 30 s " +
			"have passed",
		Then: "elect",
		Why: "Nobody else can say who is master. A live replica has what this pod may not have on its disk, so a sentinel that is late " +
			"may still name the replica's master.",
		See: "The election",
		applies: func(s *situation) bool {
			return s.sentinelsKnowNothing() && (len(s.live) == 0 || !s.sentinelMayKnow() || s.Waiting > lostPatience)
		},
		decide: func(s *situation) Decision { return s.elect("nobody knows a master") },
	},
	{
		ID:      "no-majority-for-long",
		When:    "there has been no majority for 30 s, every sentinel gave a clear answer, and no replica lives",
		Then:    "elect",
		Why:     "Every sentinel has answered, so there is no majority that this pod has missed.",
		See:     "The election",
		applies: func(s *situation) bool { return s.Waiting > lostPatience && len(s.live) == 0 && s.allSentinelsSeen() },
		decide: func(s *situation) Decision {
			return s.elect("the sentinels have not agreed on a master for long, and no replica lives")
		},
	},
	{
		ID:     "majority-awaited",
		When:   "anything else",
		Then:   "wait",
		Why:    "Missing evidence of a master makes nobody master.",
		Label:  ClearLabel,
		decide: func(s *situation) Decision { return waits("the sentinels do not agree on a master yet") },
	},
}

// lostMasterRules decide for a server without a master, while a majority names another pod, nobody says that it is master, and the sentinels can
// promote no replica.
var lostMasterRules = []rule[*situation, Decision]{
	{
		ID:      "lost-master-gone",
		When:    "the named pod is gone",
		Then:    "elect",
		Why:     "That pod cannot come back. If its volume is kept, the election waits for the server of that volume.",
		See:     "The election",
		applies: func(s *situation) bool { return s.namedPeer == nil },
		decide:  func(s *situation) Decision { return s.elect("the sentinels' master is gone and no replica lives") },
	},
	{
		ID:      "lost-master-stopped",
		When:    "the launcher of the named pod answers, and its Redis refuses connections",
		Then:    "elect",
		Why:     "That Redis certainly does not run, and the launcher tells what data it holds.",
		See:     "The election",
		applies: func(s *situation) bool { return s.namedPeer.Status != nil && s.namedPeer.Redis == Refused },
		decide:  func(s *situation) Decision { return s.elect("the sentinels' master has stopped and no replica lives") },
	},
	{
		ID:   "lost-master-not-back",
		When: "for 30 s this server has been without a role, and the named pod refuses connections, or is silent and the sentinels find it down",
		Then: "elect",
		Why:  "It had the time to come back.",
		See:  "The election",
		applies: func(s *situation) bool {
			down, _ := s.MasterIsDown()
			return s.searching() > lostPatience && (s.namedPeer.Redis == Refused || s.namedPeer.Redis == Unknown && down)
		},
		decide: func(s *situation) Decision {
			return s.elect("the sentinels' master has not come back and no replica lives")
		},
	},
	{
		ID:      "lost-master-is-replica",
		When:    "for 30 s this server has been without a role, and the Redis of the named pod answers",
		Then:    "elect",
		Why:     "The named pod runs and is not master. Sentinel does not promote the pod that it names.",
		See:     "The election",
		applies: func(s *situation) bool { return s.searching() > lostPatience && s.namedPeer.answers() },
		decide: func(s *situation) Decision {
			return s.elect("the pod that the sentinels name is not master, and no replica lives")
		},
	},
	{
		ID:    "lost-master-awaited",
		When:  "anything else",
		Then:  "wait",
		Why:   "The named pod may come back with all data.",
		Label: ClearLabel,
		decide: func(s *situation) Decision {
			return waits("waiting for %s, which the sentinels name", s.namedPeer.Name)
		},
	},
}

// followsOnlyMaster says whether to follow the only master loses nothing that is known of.
func (s *situation) followsOnlyMaster() bool {
	m := *s.onlyMaster
	return s.namesSelf || m.UID == s.MasterUID || s.noMajority() && !s.older(m) && !s.surpassed(m)
}

// unknownMasters says whether nobody knows which of the masters in view is the right one.
func (s *situation) unknownMasters() bool { return s.onlyStrangers() && s.sentinelsKnowNothing() }

// diedAsMaster says whether this pod, whose Redis does not run, died as master, and a replica can replace it.
func (s *situation) diedAsMaster() bool { return s.namesSelf && len(s.live) > 0 }

// diedBesideReplica says whether the sentinels name another pod, which is not master, and can promote a replica.
func (s *situation) diedBesideReplica() bool { return s.namesOther && len(s.live) > 0 }

// beingPromoted says whether a sentinel has chosen this pod to replace the named one.
func (s *situation) beingPromoted() bool {
	return slices.ContainsFunc(s.Views, func(v View) bool { return v.FailingOver && v.Master == s.named && v.Chosen == s.Self.IP })
}

// downAndLeft says whether a majority finds the master down, and no sentinel is replacing it.
func (s *situation) downAndLeft() bool {
	down, failingOver := s.MasterIsDown()
	return down && !failingOver
}

// electAlone is the election of a server that died as master and has no live replica.
func (s *situation) electAlone() Decision {
	return s.elect("this pod died as master and no replica lives")
}

// waits is the decision to wait for a role.
func waits(format string, args ...any) Decision {
	return Decision{State: Discovering, Reason: fmt.Sprintf(format, args...)}
}

func startAsReplica(target netip.Addr, format string, args ...any) Decision {
	return Decision{State: Starting, Action: StartReplica, Target: target, Reason: fmt.Sprintf(format, args...)}
}

// callsOff is the decision of a server whose Redis does not run to end the failovers of a master.
func callsOff(master netip.Addr, format string, args ...any) Decision {
	return Decision{State: Discovering, Action: CallOff, Target: master, Reason: fmt.Sprintf(format, args...)}
}
