package role

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// leavingRules decide for a terminating server whose Redis runs.
var leavingRules = []rule[*leaving, Leaving]{
	{
		ID: "leaving-while-silent",
		When: "Redis does not answer and there is time left, and the sentinels name this pod; " +
			"or Redis has been silent for less than 5 s, and no majority names a master, or the master is leaving, too",
		Then:    "stay",
		Why:     "This pod may have data that nobody else has. One late answer decides nothing (ADR 0025).",
		applies: func(l *leaving) bool { return l.timeLeft() && l.mayBeNeeded(min(l.since, l.Local.Silent)) },
		decide: func(*leaving) Leaving {
			return staysOn("this pod may be needed, and its Redis does not answer at the moment")
		},
	},
	{
		ID:      "leaving-replica-of-leaving-master",
		When:    "this pod is a linked replica, there is time left, its master is leaving, too, and no server that stays is master",
		Then:    "stay",
		Why:     "The master may need this replica until it has handed over.",
		applies: func(l *leaving) bool { return !l.Local.Master && l.Local.LinkUp && l.timeLeft() && l.masterLeaves() },
		decide: func(*leaving) Leaving {
			return staysOn("the master is leaving, too, and may need this replica until it has handed over")
		},
	},
	{
		ID:      "leaving-replica",
		When:    "this pod is not master",
		Then:    "leave",
		Why:     "The master and the other replicas go on without it. Writes are paused until Redis ends: a leaving master may just promote this pod.",
		applies: func(l *leaving) bool { return !l.Local.Master },
		decide:  func(*leaving) Leaving { return leaves("this pod is not the master") },
	},
	{
		ID:   "leaving-master-replaced",
		When: "a majority names another pod, which says that it is master and stays",
		Then: "leave",
		Why: "This master has been replaced. If that pod is leaving, too, it has just handed over to this one, and the sentinels have not noticed " +
			"yet.",
		applies: func(l *leaving) bool { return l.namedPeer.saysMaster() && !l.namedPeer.Terminating },
		decide:  func(l *leaving) Leaving { return leaves("%s is the master", l.namedPeer.Name) },
	},
	{
		ID:      "leaving-budget-spent",
		When:    "the shutdown budget is spent, less the time for stopping Redis",
		Then:    "leave",
		Why:     "The kubelet would kill Redis before it has written its file.",
		applies: func(l *leaving) bool { return l.since > l.until },
		decide:  func(*leaving) Leaving { return leaves("no replica could take over within the shutdown budget") },
	},
	{
		ID:      "leaving-hands-over",
		When:    "a replica in sync stays, and is not known to have its data in memory only",
		Then:    "hand over",
		Why:     "That replica catches up within the pause of the writes, and keeps the data after a restart (ADR 0026).",
		applies: func(l *leaving) bool { return len(l.candidates) > 0 },
		decide:  func(l *leaving) Leaving { return l.handsOver(l.candidates, "%d replica(s) can take over") },
	},
	{
		ID:      "leaving-awaits-file",
		When:    "a replica in sync stays and has its data in memory only, and more than 5 s are left for a hand-over",
		Then:    "stay",
		Why:     "A restart of that replica would lose its data (ADR 0026).",
		applies: func(l *leaving) bool { return len(l.copied) > 0 && l.since < l.until-handOverReserve },
		decide: func(l *leaving) Leaving {
			return staysOn("waiting until one of %d replica(s) in sync has its data in its file", len(l.copied))
		},
	},
	{
		ID:      "leaving-hands-over-from-memory",
		When:    "a replica in sync stays and has its data in memory only",
		Then:    "hand over",
		Why:     "There is no time left to wait for its file.",
		applies: func(l *leaving) bool { return len(l.copied) > 0 },
		decide: func(l *leaving) Leaving {
			return l.handsOver(l.copied, "%d replica(s) can take over, and have their data in memory only")
		},
	},
	{
		ID:      "leaving-awaits-own-file",
		When:    "this pod has its data in memory only",
		Then:    "stay",
		Why:     "Nobody can take over, and the data would go with the process (ADR 0026).",
		applies: func(l *leaving) bool { return l.Local.Copied },
		decide: func(*leaving) Leaving {
			return staysOn("this pod has its data in memory only, until the first rewrite of its file has ended")
		},
	},
	{
		ID:      "leaving-awaits-sync",
		When:    "another server stays",
		Then:    "stay",
		Why:     "That server may synchronise, and take over then.",
		applies: func(l *leaving) bool { return l.coming > 0 },
		decide:  func(l *leaving) Leaving { return staysOn("waiting for one of %d server(s) to synchronise", l.coming) },
	},
	{
		ID:      "leaving-last-server",
		When:    "no other server stays, and TERM came more than 10 s ago, or 3 s where volumes outlive their pods",
		Then:    "leave",
		Why:     "A controller needs well under a second to create a server, and 2 s where everything is busy (ADR 0025). A kept volume has the data (ADR 0036).",
		applies: func(l *leaving) bool { return l.since > l.arrival() },
		decide:  func(*leaving) Leaving { return leaves("there is no other server") },
	},
	{
		ID:     "leaving-awaits-server",
		When:   "anything else",
		Then:   "stay",
		Why:    "A controller may create another server.",
		decide: func(*leaving) Leaving { return staysOn("waiting for another server to be created") },
	},
}

// leavingAfterDeathRules decide for a terminating server whose Redis died as master.
var leavingAfterDeathRules = []rule[*leaving, Leaving]{
	{
		ID:      "died-leaving-replaced",
		When:    "another server says that it is master, and is not a master of the past",
		Then:    "pass clients on to it, then leave",
		Why:     "It has replaced this pod.",
		applies: func(l *leaving) bool { return l.replacement() != nil },
		decide: func(l *leaving) Leaving {
			p := l.replacement()
			return Leaving{Step: PassOn, Successors: []netip.Addr{p.IP}, Reason: fmt.Sprintf("%s has replaced this pod after its Redis died", p.Name)}
		},
	},
	{
		ID:      "died-leaving-out-of-time",
		When:    "10 s have passed since Redis died, or the shutdown budget is spent",
		Then:    "leave",
		Why:     "A failover takes 0.3 s, and 2 s if Sentinel begins it again.",
		applies: func(l *leaving) bool { return l.since > l.until || l.Waiting > deathPatience },
		decide:  func(*leaving) Leaving { return leaves("Redis has died, and no replica was promoted in time") },
	},
	{
		ID:      "died-leaving-alone",
		When:    "no replica lives, and every server that may be a replica answers",
		Then:    "leave",
		Why:     "Nobody can be promoted.",
		applies: func(l *leaving) bool { return len(l.live) == 0 && l.silentReplica() == nil },
		decide:  func(*leaving) Leaving { return leaves("Redis has died, and no replica in sync lives") },
	},
	{
		ID:   "died-leaving-awaits-promotion",
		When: "anything else",
		Then: "stay",
		Why:  "A replica is promoted in a moment, and clients that come late are passed on to it.",
		decide: func(*leaving) Leaving {
			return staysOn("Redis has died as master; waiting for a replica to be promoted")
		},
	},
}

// leftRules decide for a terminating server whose Redis does not run.
var leftRules = []rule[left, Decision]{
	{
		ID:      "left-as-replica",
		When:    "Redis did not die as master, or has been replaced",
		Then:    "wait for the exit",
		Why:     "Redis is not started again in a pod that is leaving.",
		Label:   HoldLabel,
		applies: func(l left) bool { return !l.diedAsMaster },
		decide: func(left) Decision {
			return Decision{State: Stopping, Reason: "terminating, and Redis does not run"}
		},
	},
	{
		ID:     "left-as-master",
		When:   "Redis died as master",
		Then:   "order or call off failovers as in a pod that stays, and nothing else",
		Why:    "A replica has to replace this master. Redis is not started again in a pod that is leaving.",
		See:    "How a server finds its role",
		decide: left.failOver,
	},
}

// failOver gives what a pod that stays would do about failovers.
func (l left) failOver() Decision {
	d := Decide(l.Observation)
	d.State = Stopping
	switch d.Action {
	case FailOver, Nudge, CallOff:
	default:
		d.Action, d.Target = Wait, netip.Addr{}
	}
	return d
}

// arrival is how long this pod waits for a controller to create another server.
func (l *leaving) arrival() time.Duration {
	if l.VolumesKept {
		return keptPatience
	}
	return arrivalPatience
}

// timeLeft says whether there is time left before Redis has to be stopped.
func (l *leaving) timeLeft() bool { return l.since < l.until }

// replacement gives the master that has replaced this pod; nil if there is none.
func (l *leaving) replacement() *Peer {
	i := slices.IndexFunc(l.masters, func(p Peer) bool { return !l.older(p) && !l.surpassed(p) })
	if i < 0 {
		return nil
	}
	return &l.masters[i]
}

func staysOn(format string, args ...any) Leaving {
	return Leaving{Step: StayOn, Reason: fmt.Sprintf(format, args...)}
}

func leaves(format string, args ...any) Leaving {
	return Leaving{Step: Leave, Reason: fmt.Sprintf(format, args...)}
}

// handsOver is the decision to hand over to one of the candidates. The format of the reason has their number.
func (l *leaving) handsOver(candidates []Peer, format string) Leaving {
	return Leaving{Step: HandOver, Successors: l.successors, Candidates: l.bestFirst(candidates), Reason: fmt.Sprintf(format, len(candidates))}
}
