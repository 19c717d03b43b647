package role

import (
	"cmp"
	"fmt"
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
}

const (
	// arrivalPatience is how long a terminating master without any other server
	// waits for a controller to create one. Controllers need well under a second;
	// where everything was busy, a pod that they had created was seen after 2 s.
	arrivalPatience = 10 * time.Second
	// silentPatience is how long a Redis that does not answer is waited for where
	// the sentinels do not say that it is the master.
	silentPatience = 5 * time.Second
	// deathPatience is how long a terminating pod whose Redis died as master waits for a
	// replica to be promoted: a failover takes 0.3 s, and 2 s when Sentinel begins it again.
	deathPatience = 10 * time.Second
	// handOverReserve is what of the shutdown budget is kept for the hand-over to a replica
	// whose file is not complete: a promotion takes up to 5 s where a sentinel crashes.
	handOverReserve = 5 * time.Second
	// leaveReserve is what of the shutdown budget is kept for stopping Redis.
	leaveReserve = 10 * time.Second
)

// DecideLeaving says what a terminating server does next. leaving is the time
// since TERM, budget the time from TERM to exit.
func DecideLeaving(o Observation, leaving, budget time.Duration) Leaving {
	reserve := min(leaveReserve, budget/3)
	if leaving < budget-reserve && o.mayBeNeeded(min(leaving, o.Local.Silent)) {
		return Leaving{Step: StayOn, Reason: "this pod may be needed, and its Redis does not answer at the moment"}
	}
	if !o.Local.Master {
		if o.Local.LinkUp && leaving < budget-reserve && o.masterLeaves() {
			return Leaving{Step: StayOn, Reason: "the master is leaving, too, and may need this replica until it has handed over"}
		}
		return Leaving{Step: Leave, Reason: "this pod is not the master"}
	}
	if agreed, ok := o.Agreed(); ok && agreed != o.Self.IP {
		// A master that is leaving, too, has just handed over to this pod: the
		// sentinels have not noticed yet, or what was asked of it is old.
		if p := o.peerAt(agreed); p != nil && p.Redis == Answered && p.Master && !p.Terminating {
			return Leaving{Step: Leave, Reason: fmt.Sprintf("%s is the master", p.Name)}
		}
	}
	var successors []netip.Addr
	var candidates, copied []Peer
	coming := 0
	for _, p := range o.Peers {
		inSync := p.Redis == Answered && !p.Master && p.LinkUp
		if inSync {
			// A sentinel may choose one that is leaving; it hands over in its turn.
			successors = append(successors, p.IP)
		}
		switch {
		case p.Terminating:
		case inSync && p.Status != nil && p.Status.Copied:
			copied = append(copied, p)
		case inSync:
			candidates = append(candidates, p)
		default:
			coming++
		}
	}
	switch {
	case leaving > budget-reserve:
		return Leaving{Step: Leave, Reason: "no replica could take over within the shutdown budget"}
	case len(candidates) > 0:
		return Leaving{Step: HandOver, Successors: successors, Candidates: foremostFirst(candidates), Reason: fmt.Sprintf("%d replica(s) can take over", len(candidates))}
	case len(copied) > 0 && leaving < budget-reserve-handOverReserve:
		return Leaving{Step: StayOn, Reason: fmt.Sprintf("waiting until one of %d replica(s) in sync has its data in its file", len(copied))}
	case len(copied) > 0:
		return Leaving{Step: HandOver, Successors: successors, Candidates: foremostFirst(copied),
			Reason: fmt.Sprintf("%d replica(s) can take over, and have their data in memory only", len(copied))}
	case o.Local.Copied:
		return Leaving{Step: StayOn, Reason: "this pod has its data in memory only, until the first rewrite of its file has ended"}
	case coming > 0:
		return Leaving{Step: StayOn, Reason: fmt.Sprintf("waiting for one of %d server(s) to synchronise", coming)}
	case leaving > arrivalPatience:
		return Leaving{Step: Leave, Reason: "there is no other server"}
	default:
		return Leaving{Step: StayOn, Reason: "waiting for another server to be created"}
	}
}

// foremostFirst gives the addresses of replicas: those whose launcher has told what is in their files come first,
// and among these those with the higher offset.
func foremostFirst(replicas []Peer) []netip.Addr {
	slices.SortStableFunc(replicas, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(number(b.Status != nil), number(a.Status != nil)), cmp.Compare(b.Offset, a.Offset))
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
	if !diedAsMaster {
		return Decision{State: Stopping, Reason: "terminating, and Redis does not run"}
	}
	d := Decide(o)
	d.State = Stopping
	switch d.Action {
	case FailOver, Nudge, CallOff:
	default:
		d.Action, d.Target = Wait, netip.Addr{}
	}
	return d
}

// DecideLeavingAfterDeath says what a terminating server does next when its Redis died as
// master. leaving is the time since TERM, budget the time from TERM to exit.
func DecideLeavingAfterDeath(o Observation, leaving, budget time.Duration) Leaving {
	reserve := min(leaveReserve, budget/3)
	live := o.liveReplicas()
	masters := slices.DeleteFunc(o.masters(), func(p Peer) bool { return o.older(p) || o.surpassed(p) })
	switch {
	case len(masters) > 0:
		return Leaving{Step: PassOn, Successors: []netip.Addr{masters[0].IP}, Reason: fmt.Sprintf("%s has replaced this pod after its Redis died", masters[0].Name)}
	case leaving > budget-reserve || o.Waiting > deathPatience:
		return Leaving{Step: Leave, Reason: "Redis has died, and no replica was promoted in time"}
	case len(live) == 0 && o.silentReplica() == nil:
		return Leaving{Step: Leave, Reason: "Redis has died, and no replica in sync lives"}
	default:
		return Leaving{Step: StayOn, Reason: "Redis has died as master; waiting for a replica to be promoted"}
	}
}

// mayBeNeeded says whether a Redis that has not answered for some time may have
// data that nobody else has: the sentinels name it, so that nobody has replaced it,
// or it may be the master, or the replica of one that is leaving, too. One answer
// that is late must not end it.
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
// follow any; a master that does not answer one that is linked to it is still there.
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
