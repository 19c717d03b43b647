package role

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Step is what a pod that has been told to terminate does next.
type Step int

const (
	// StayOn: serve on and look again; a successor is on its way.
	StayOn Step = iota
	// HandOver: pause writes and make one of the successors master.
	HandOver
	// Leave: stop Redis and exit.
	Leave
	// PassOn: the successor is master; move the label and pass clients on to it, then exit.
	PassOn
)

// Leaving is the decision of a terminating pod.
type Leaving struct {
	Step       Step
	Successors []netip.Addr // replicas in sync, for HandOver; at least one of them stays. The master, for PassOn
	// Candidates are the successors that stay, for HandOver, the best first. Where some have their data in
	// their files, those that do not are left out.
	Candidates []netip.Addr
	Reason     string
	Rule       string // the ID of the rule that decided; see docs/launcher.md
}

const (
	// arrivalPatience is how long a terminating master without any other server
	// waits for a controller to create one. Controllers need well under a second;
	// where everything was busy, a pod that they had created was seen after 2 s.
	arrivalPatience = 10 * time.Second
	// keptPatience is the same where volumes are kept: the data stay with the volume, and a
	// StatefulSet creates the next pod of the volume when this one has gone. Pods of another
	// workload may come in a release that moves to a Deployment.
	keptPatience = 3 * time.Second
	// silentPatience is how long a Redis that does not answer is waited for where
	// the sentinels do not say that it is the master.
	silentPatience = 5 * time.Second
	// deathPatience is how long a terminating pod whose Redis died as master waits for a
	// replica to be promoted: a failover takes 0.3 s, and 2 s when Sentinel begins it again.
	deathPatience = 10 * time.Second
	// handOverReserve is what of the shutdown budget is kept for the hand-over to a replica
	// whose file is not complete: a promotion takes up to 5 s where a sentinel crashes.
	handOverReserve = 5 * time.Second
	// nearForemost is how far, in bytes, a replica may be behind the foremost one to be preferred
	// for another reason. It carries that out in far less time than writes are paused.
	nearForemost = 1 << 20
	// leaveReserve is what of the shutdown budget is kept for stopping Redis.
	leaveReserve = 10 * time.Second
)

// leaving is an observation and what the rules of a terminating server share.
type leaving struct {
	*situation
	since      time.Duration // since TERM
	until      time.Duration // from TERM to the moment at which Redis has to be stopped
	successors []netip.Addr  // the replicas in sync
	candidates []Peer        // those of them that stay and have their data in their files
	copied     []Peer        // those of them that stay and have their data in memory only
	coming     int           // other servers that stay
}

func leavingOf(o Observation, since, budget time.Duration) *leaving {
	l := &leaving{situation: situationOf(o), since: since, until: budget - min(leaveReserve, budget/3)}
	for _, p := range o.Peers {
		inSync := p.Redis == Answered && !p.Master && p.LinkUp
		if inSync {
			// A sentinel may choose a replica that is leaving. That replica hands over in its turn.
			l.successors = append(l.successors, p.IP)
		}
		switch {
		case p.Terminating:
		case inSync && p.Status != nil && p.Status.Copied:
			l.copied = append(l.copied, p)
		case inSync:
			l.candidates = append(l.candidates, p)
		default:
			l.coming++
		}
	}
	return l
}

// DecideLeaving says what a terminating server does next. leaving is the time
// since TERM, budget the time from TERM to exit.
func DecideLeaving(o Observation, leaving, budget time.Duration) Leaving {
	return leaveBy(leavingRules, leavingOf(o, leaving, budget))
}

// leaveBy gives the decision of the first rule that applies, with the ID of that rule.
func leaveBy(rules []rule[*leaving, Leaving], l *leaving) Leaving {
	r := first(rules, l)
	d := r.decide(l)
	d.Rule = r.ID
	return d
}

// bestFirst gives the addresses of replicas: those whose launcher has told what is in their files come first, and among these those with the
// higher offset. Replicas in a StatefulSet may differ a little in their offsets: of those near the foremost, pods that have another template
// than this pod come first, and then lower numbers. A StatefulSet rolls the highest number first. So a leaving master hands over to a pod
// that has been rolled already, or to the pod that is rolled last.
func (l *leaving) bestFirst(replicas []Peer) []netip.Addr {
	var foremost int64
	for _, r := range replicas {
		foremost = max(foremost, r.Offset)
	}
	near := func(p Peer) int64 { return number(p.Offset >= foremost-nearForemost) }
	rolled := func(p Peer) int64 { return number(p.Revision != l.Self.Revision) }
	slices.SortStableFunc(replicas, func(a, b Peer) int {
		return cmp.Or(
			cmp.Compare(number(b.Status != nil), number(a.Status != nil)),
			cmp.Compare(near(b), near(a)), cmp.Compare(rolled(b), rolled(a)), cmp.Compare(a.Ordinal, b.Ordinal),
			cmp.Compare(b.Offset, a.Offset),
		)
	})
	var out []netip.Addr
	for _, r := range replicas {
		out = append(out, r.IP)
	}
	return out
}

// DecideLeft says what a terminating server does when its Redis does not run. diedAsMaster
// says that Redis has ended as master and has not been replaced yet. Redis is failed over
// then as in a pod that stays, and is not started again.
func DecideLeft(o Observation, diedAsMaster bool) Decision {
	return decideBy(leftRules, left{o, diedAsMaster})
}

// left is an observation of a terminating server whose Redis does not run.
type left struct {
	Observation
	diedAsMaster bool
}

// DecideLeavingAfterDeath says what a terminating server does next when its Redis died as
// master. leaving is the time since TERM, budget the time from TERM to exit.
func DecideLeavingAfterDeath(o Observation, leaving, budget time.Duration) Leaving {
	return leaveBy(leavingAfterDeathRules, leavingOf(o, leaving, budget))
}

// mayBeNeeded says whether a Redis that has not answered for some time may have
// data that no other server has. The sentinels name it, so no server has replaced it;
// or it may be the master, or a replica of a master that is leaving, too. A single late
// answer must not end it.
func (o Observation) mayBeNeeded(silent time.Duration) bool {
	agreed, ok := o.Agreed()
	switch {
	case !o.Local.Running || o.Local.Answering:
		return false
	case ok && agreed == o.Self.IP:
		return true
	default:
		return silent < silentPatience && (!ok || o.masterLeaves())
	}
}

// masterLeaves says whether the master that this replica follows is leaving
// while no server that stays is master. A replica whose Redis does not answer may
// follow any master. A master that does not answer, but has a linked replica, is still there.
func (o Observation) masterLeaves() bool {
	leaves := false
	for _, p := range o.Peers {
		master := p.Redis == Answered && p.Master
		if master && !p.Terminating {
			return false
		}
		followed := p.IP == o.Local.Follows
		leaves = leaves || p.Terminating && (master && (followed || !o.Local.Answering) || followed && p.Redis == Unknown)
	}
	return leaves
}

// PauseLimit is how long writes may be paused in a hand-over. A pause also
// holds back Sentinel's hello, and the PINGs queued behind it: a second less
// than down-after keeps the sentinels from finding the master down. The shortest
// down-after that package config accepts leaves half a second, which a failover needs.
func PauseLimit(downAfter time.Duration) time.Duration {
	return min(max(downAfter-time.Second, 0), 1500*time.Millisecond)
}

// SentinelsKnow says whether every sentinel knows a replica that stays. known has one list for each sentinel that answers: the replicas
// that it would promote. A new pod is known to them a second or two after it has synchronised; before that they would promote a
// replica that is leaving.
func SentinelsKnow(known [][]netip.Addr, peers []Peer) bool {
	stays := func(ip netip.Addr) bool {
		return slices.ContainsFunc(peers, func(p Peer) bool { return p.IP == ip && !p.Terminating && p.LinkUp })
	}
	return !slices.ContainsFunc(known, func(replicas []netip.Addr) bool { return !slices.ContainsFunc(replicas, stays) })
}
