package role

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// State is where a launcher stands.
type State int

// The states, in the order a pod goes through them. Their names are part of
// the metrics and of the documentation.
const (
	Booting     State = iota // the API has not been read yet
	Discovering              // Redis does not run; the role is being found out
	Starting                 // Redis starts or loads its data
	Serving                  // Redis serves in a role everybody agrees on
	Uncertain                // Redis serves, but its role is not agreed on
	Stopping                 // TERM has come: hand over and leave
	Stopped                  // Redis has been stopped for good
)

func (s State) String() string {
	return [...]string{"booting", "discovering", "starting", "serving", "uncertain", "stopping", "stopped"}[s]
}

// Label is a wish about this pod's label redis-role.
type Label int

const (
	HoldLabel  Label = iota // leave it as it is
	ClearLabel              // remove it
	MasterLabel
	SlaveLabel
)

// Action is the one thing to do now.
type Action int

const (
	Wait         Action = iota // nothing; look again
	StartReplica               // start Redis as a replica of Target
	Claim                      // write this pod into the record as master; then start as master, or become it
	Follow                     // make the running Redis a replica of Target and drop its clients
	FailOver                   // tell a sentinel to replace the master, whose Redis is known to be dead (this pod's own)
	Nudge                      // tell a sentinel to replace the master, which a majority has found down for long
	ReplaceDead                // fence the recorded master, whose container is seen to have ended, and tell a sentinel to replace it
	CallOff                    // end the failovers of Target that sentinels have begun and not carried out
)

func (a Action) String() string {
	return [...]string{"wait", "start-replica", "claim", "follow", "fail-over", "nudge", "replace-dead", "call-off"}[a]
}

// Decision is what to do and why.
type Decision struct {
	State  State
	Label  Label
	Action Action
	Target netip.Addr // whom to follow, or whose failovers to end
	Reason string     // one sentence for the log, the status and the tests
}

// How long things may take before the next thing is tried.
const (
	// electionPatience is how long servers that exist or are configured, but
	// have not told their standing, are waited for before the first election.
	electionPatience = 15 * time.Second
	// emptyPatience is the same where a master has served before and all that
	// have reported are empty: a server with the data may still come.
	emptyPatience = 120 * time.Second
	// lostPatience is how long a master that cannot be reached, and that no
	// replica can replace, is waited for.
	lostPatience = 30 * time.Second
	// astrayPatience is how long a replica may follow another than the agreed
	// master: Sentinel moves it itself within a second or two.
	astrayPatience = 2 * time.Second
	// promotionPatience is how long a promoted replica may be master before the
	// sentinels agree: the leader needs an INFO and a hello, about 2 s.
	promotionPatience = 8 * time.Second
	// fencePatience is how old a fence may be; it covers a failover and a clock
	// that is wrong by a few seconds.
	fencePatience = 30 * time.Second
	// labelPatience is how long a pod whose Redis has died keeps the label master
	// for its successor to be labelled first. Nothing listens at the pod, so
	// clients are refused at once and come again; if it let the label go first,
	// kube-proxy would spend its sync on that and the successor would wait a
	// second for the next one.
	labelPatience = 3 * time.Second
	// refusedPatience is how long nothing may listen in a master's pod, neither
	// Redis nor the launcher, before a replica has it replaced. A container that
	// is restarted needs longer, and its launcher listens before Redis does.
	refusedPatience = 150 * time.Millisecond
	// nudgePatience is how long the sentinels may find a master down before one
	// of them is told to act: an attempt that failed blocks them for twice the
	// failover timeout.
	nudgePatience = 3 * time.Second
)

// Decide says what a server does next.
func Decide(o Observation) Decision {
	switch {
	case !o.Local.Running:
		d := discover(o)
		if d.Label == ClearLabel && o.Self.Label == Master && !o.masterLabelled() && o.Waiting < labelPatience {
			d.Label = HoldLabel
		}
		return d
	case !o.Local.Answering:
		return Decision{State: Uncertain, Reason: "Redis does not answer; the sentinels decide whether it is down"}
	case o.Local.Loading:
		return Decision{State: Starting, Reason: "Redis is loading its data"}
	case o.Local.Master:
		return serveMaster(o)
	default:
		return serveReplica(o)
	}
}

// discover finds the role of a server whose Redis does not run.
func discover(o Observation) Decision {
	wait := func(format string, args ...any) Decision {
		return Decision{State: Discovering, Label: ClearLabel, Reason: fmt.Sprintf(format, args...)}
	}
	masters := o.masters()
	agreed, ok := o.Agreed()
	if ok && agreed != o.Self.IP {
		if p := o.peerAt(agreed); p != nil && p.Redis == Answered && p.Master {
			return start(agreed, "the sentinels name %s and it is master", p.Name)
		}
	}
	if len(masters) == 1 && ok && agreed == o.Self.IP && o.outdated(masters[0]) {
		return elect(o, fmt.Sprintf("the sentinels and the record name this pod, and %s has older data", masters[0].Name))
	}
	if len(masters) == 1 && ok && agreed == o.Self.IP && !o.RecordKnown && o.older(masters[0]) {
		return wait("the sentinels name this pod, %s may have older data, and the record cannot be read", masters[0].Name)
	}
	if len(masters) == 1 && (!ok && !o.older(masters[0]) || agreed == o.Self.IP || masters[0].UID == o.MasterUID) {
		return start(masters[0].IP, "%s is the only master", masters[0].Name)
	}
	if o.onlyStrangers() && o.sentinelsKnowNothing() && (len(masters) > 1 || o.older(masters[0])) {
		return elect(o, fmt.Sprintf("%d server(s) say they are master, and nobody knows of them", len(masters)))
	}
	if len(masters) == 1 && !ok {
		return wait("%s is the only master, but its data are older than this pod's", masters[0].Name)
	}
	if len(masters) > 0 {
		return wait("%d server(s) say they are master; the sentinels must agree on one", len(masters))
	}
	live := o.liveReplicas()
	switch {
	case ok && agreed == o.Self.IP && len(live) > 0 && o.chosenDied():
		return Decision{State: Discovering, Label: ClearLabel, Action: CallOff, Target: o.Self.IP,
			Reason: fmt.Sprintf("this pod died as master, whom a sentinel has chosen has died, too, and %s holds the data", live[0].Name)}
	case ok && agreed == o.Self.IP && len(live) > 0:
		return Decision{State: Discovering, Label: ClearLabel, Action: FailOver,
			Reason: fmt.Sprintf("this pod died as master and %s holds the data", live[0].Name)}
	case ok && agreed == o.Self.IP && o.Waiting < o.DownAfter && o.silentReplica() != nil:
		return wait("this pod died as master; %s, which may hold the data, does not answer at the moment", o.silentReplica().Name)
	case ok && agreed == o.Self.IP:
		return unlessReplaced(o, elect(o, "this pod died as master and no replica lives"))
	case ok && len(live) > 0:
		return wait("the sentinels name %v, which is not master; they will promote a replica", agreed)
	case ok:
		return lostMaster(o, agreed, wait)
	case o.sentinelsKnowNothing():
		return elect(o, "nobody knows a master")
	case o.Waiting > lostPatience && len(live) == 0 && o.allSentinelsSeen():
		return elect(o, "the sentinels have not agreed on a master for long, and no replica lives")
	default:
		return wait("the sentinels do not agree on a master yet")
	}
}

// unlessReplaced puts the end of a failover of this pod before its return as the
// master. The replica that a sentinel has chosen has died since, or it would be
// waited for; Sentinel would promote it when it comes back, beside this pod.
func unlessReplaced(o Observation, d Decision) Decision {
	if d.Action != Claim || !o.replacing(o.Self.IP) {
		return d
	}
	return Decision{State: Discovering, Label: d.Label, Action: CallOff, Target: o.Self.IP,
		Reason: "this pod died as master and no replica lives that a sentinel could replace it by"}
}

// silentReplica gives a server that could replace this master and did not
// answer this time: its launcher tells that it has synchronised, or is silent
// too while the API finds the pod ready; nil if there is none.
func (o Observation) silentReplica() *Peer {
	for i, p := range o.Peers {
		if p.Redis != Unknown || p.Terminating {
			continue
		}
		if p.Status != nil && p.Status.Synced || p.Status == nil && p.Launcher == Unknown && p.Ready {
			return &o.Peers[i]
		}
	}
	return nil
}

// outdated says whether a peer that says it is master is a master of the past:
// this pod is in the record, has not handed over, and its data come from a later
// master than the peer's.
func (o Observation) outdated(p Peer) bool {
	return o.MasterUID == o.Self.UID && !o.fencedSelf() && !o.Standing.Empty && p.Status != nil &&
		p.Status.Standing.Generation < o.Standing.Generation
}

// lostMaster waits for the agreed master, which does not serve, as long as it
// may come back, and elects another where no replica can be promoted.
func lostMaster(o Observation, agreed netip.Addr, wait func(string, ...any) Decision) Decision {
	p := o.peerAt(agreed)
	down, _ := o.MasterIsDown()
	switch {
	case p == nil:
		return elect(o, "the sentinels' master is gone and no replica lives")
	case p.Status != nil && p.Redis == Refused:
		return elect(o, "the sentinels' master has stopped and no replica lives")
	case o.searching() > lostPatience && (p.Redis == Refused || (p.Redis == Unknown && down)):
		return elect(o, "the sentinels' master has not come back and no replica lives")
	case o.searching() > lostPatience && p.Redis == Answered:
		return elect(o, "whom the sentinels name is not master, and no replica lives")
	default:
		return wait("waiting for %s, whom the sentinels name", p.Name)
	}
}

// allSentinelsSeen says whether every sentinel pod gave a clear answer, so that
// no master can be known to a majority that this pod does not see.
func (o Observation) allSentinelsSeen() bool {
	_, silent := o.memory()
	return o.PodsKnown && silent == 0
}

func start(target netip.Addr, format string, args ...any) Decision {
	return Decision{State: Starting, Label: ClearLabel, Action: StartReplica, Target: target, Reason: fmt.Sprintf(format, args...)}
}

// serveMaster decides for a running Redis that is master.
func serveMaster(o Observation) Decision {
	agreed, ok := o.Agreed()
	serving := func(reason string) Decision {
		return Decision{State: Serving, Label: MasterLabel, Reason: reason}
	}
	switch {
	case ok && agreed == o.Self.IP:
		return serving("the sentinels name this pod")
	case o.fencedPredecessor(agreed, ok):
		return serving("the previous master is fenced and this pod was promoted")
	case ok && o.electedOver(agreed):
		return serving("the sentinels have elected this pod over a master that is down")
	case ok:
		return contested(o, agreed, serving)
	case o.MasterUID == o.Self.UID:
		return serving("this pod is the recorded master and the sentinels do not name another")
	case o.Local.MasterFor > promotionPatience && o.replacedBy() != nil:
		// The sentinels may be those that cannot be reached from here.
		p := o.replacedBy()
		return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: p.IP,
			Reason: fmt.Sprintf("the record names %s as master in place of this one", p.Name)}
	case len(o.masters()) == 0 && o.RecordKnown && o.sentinelsKnowNothing():
		return elect(o, "this pod is master without a record of it")
	case o.onlyStrangers() && o.sentinelsKnowNothing():
		return elect(o, "this pod is one of several masters without a record of it")
	default:
		return Decision{State: Uncertain, Reason: "this pod is master but the sentinels have not agreed on it yet"}
	}
}

// contested decides for a master while the sentinels agree on another.
func contested(o Observation, agreed netip.Addr, serving func(string) Decision) Decision {
	p := o.peerAt(agreed)
	recorded := o.MasterUID == o.Self.UID
	young := o.Local.MasterFor <= promotionPatience && !o.Local.Confirmed
	named := "gone"
	if p != nil && p.Redis == Answered {
		named = "a replica"
	}
	switch {
	case recorded && young && !o.Local.Claimed && agreed == o.PreviousIP:
		return serving("this pod has replaced the master that the sentinels still name")
	case young && !recorded:
		return Decision{State: Uncertain, Reason: "this pod was promoted; the sentinels have not agreed on it yet"}
	case p != nil && p.Redis == Answered && p.Master:
		return Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: agreed,
			Reason: fmt.Sprintf("the sentinels have replaced this master by %s", p.Name)}
	case recorded && !o.fencedSelf() && (p == nil || p.Redis != Unknown):
		// Sentinel names nobody who has not been master: that one has given it up, as
		// one that died and follows this pod, and the label is what sentinels go by.
		d := serving("this pod is the recorded master; the one that the sentinels still name is " + named)
		if o.Local.Claimed && o.replacing(agreed) {
			d.Action, d.Target = CallOff, agreed
		}
		return d
	case !recorded && p != nil && p.Redis == Answered && !o.MasterInView() && !o.replacing(agreed):
		return elect(o, fmt.Sprintf("the sentinels name %s, which is a replica, and nobody but this pod is master", p.Name))
	default:
		return Decision{State: Uncertain, Label: ClearLabel, Reason: "the sentinels name another master, which does not say it is master yet"}
	}
}

// fencedPredecessor says whether the master that this one replaces certainly
// accepts no writes, so that the label need not wait for the sentinels.
func (o Observation) fencedPredecessor(agreed netip.Addr, ok bool) bool {
	if o.Fence == nil || o.Fence.Age > fencePatience || o.Fence.UID == o.Self.UID || o.Fence.UID != o.MasterUID {
		return false
	}
	if !ok {
		return true
	}
	p := o.peerAt(agreed)
	return p == nil || p.UID == o.Fence.UID
}

// electedOver says whether the recorded master, which a majority still names, is
// being replaced by this pod: a sentinel with a majority's vote has promoted it,
// and the master does not answer here either. That sentinel asks a replica for
// its role once a second; waiting for that would only lengthen the outage.
func (o Observation) electedOver(agreed netip.Addr) bool {
	p := o.peerAt(agreed)
	promoted := slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.Promoting == o.Self.IP })
	return promoted && p != nil && p.UID == o.MasterUID && p.Redis != Answered && o.Local.MasterFor <= promotionPatience
}

// serveReplica decides for a running Redis that is a replica.
func serveReplica(o Observation) Decision {
	agreed, ok := o.Agreed()
	d := Decision{State: Serving, Label: SlaveLabel, Reason: fmt.Sprintf("replica of %v", o.Local.Follows)}
	if !o.Local.LinkUp {
		d.State, d.Reason = Uncertain, fmt.Sprintf("replica of %v, not connected to it", o.Local.Follows)
	}
	masters := o.masters()
	live := o.liveReplicas()
	switch {
	case ok && agreed == o.Self.IP:
		if o.Local.LinkDown > promotionPatience && len(masters) == 0 {
			elected := elect(o, "the sentinels name this pod and nobody else is master")
			d.Action, d.Reason = elected.Action, elected.Reason
		}
	case ok && agreed != o.Local.Follows:
		p := o.peerAt(agreed)
		switch {
		case o.Local.Astray > astrayPatience && p != nil && p.Redis == Answered && p.Master:
			d.Action, d.Target, d.Reason = Follow, agreed, fmt.Sprintf("the sentinels name %s", p.Name)
		case o.Local.LinkDown > lostPatience && len(masters) == 0 && !o.replacing(agreed) && (p == nil || p.Redis != Unknown):
			// Whom they name may have less data than this pod and wait for it.
			elected := elect(o, fmt.Sprintf("the sentinels name %v, nobody is master", agreed))
			d.Action, d.Reason = elected.Action, elected.Reason
		}
	case ok && !o.Local.LinkUp && o.successor(agreed) != nil:
		p := o.successor(agreed)
		d.Action, d.Target, d.Reason = Follow, p.IP, fmt.Sprintf("%s has replaced the master that the sentinels still name", p.Name)
	case ok && !o.Local.Synced && o.Local.LinkDown > o.DownAfter && len(masters) == 0 && len(live) == 0:
		// Sentinel promotes nobody who has not synchronised, and nobody has.
		elected := lostMaster(o, agreed, func(format string, args ...any) Decision {
			return Decision{Reason: fmt.Sprintf(format, args...)}
		})
		d.Action, d.Reason = elected.Action, elected.Reason
	case ok && o.masterContainerEnded(agreed, live):
		d.Action, d.Target = ReplaceDead, agreed
		d.Reason = fmt.Sprintf("nothing listens in the pod of the master %v any more", agreed)
	case ok:
		_, failingOver := o.MasterIsDown()
		if o.MasterDown > nudgePatience && !failingOver && o.Local.Synced && len(masters) == 0 && o.best(live) {
			d.Action, d.Reason = Nudge, "the master has been down for long and the sentinels do not replace it"
		}
	case len(masters) == 1 && masters[0].IP != o.Local.Follows && o.Local.LinkDown > astrayPatience && !o.older(masters[0]):
		d.Action, d.Target, d.Reason = Follow, masters[0].IP, fmt.Sprintf("%s is the only master", masters[0].Name)
	case len(masters) == 0 && o.Local.LinkDown > o.DownAfter && o.sentinelsKnowNothing():
		elected := elect(o, "the master is gone and the sentinels know nothing")
		d.Action, d.Reason = elected.Action, elected.Reason
	case o.onlyStrangers() && o.Local.LinkDown > o.DownAfter && o.sentinelsKnowNothing():
		elected := elect(o, fmt.Sprintf("%d server(s) say they are master, and nobody knows of them", len(masters)))
		d.Action, d.Reason = elected.Action, elected.Reason
	}
	return d
}

// masterContainerEnded says whether the container of the recorded master has
// certainly ended and this replica is the one to act: its address answers that
// nobody listens, at the ports of Redis and of the launcher, so the pod is there
// and its processes are not; no sentinel is at work, and nobody is fenced yet.
func (o Observation) masterContainerEnded(agreed netip.Addr, live []Peer) bool {
	p := o.peerAt(agreed)
	_, failingOver := o.MasterIsDown()
	return p != nil && p.UID == o.MasterUID && o.RecordKnown && o.Fence == nil && o.MasterRefused >= refusedPatience &&
		p.Redis == Refused && p.Launcher == Refused && o.Local.Synced && !o.Local.LinkUp && !o.Self.Terminating &&
		!failingOver && !o.MasterInView() && o.best(live)
}

// replacedBy gives the recorded master, if that has replaced this one and says it
// is master: what the API and the pod itself agree on needs no sentinel.
func (o Observation) replacedBy() *Peer {
	for i, p := range o.Peers {
		if o.RecordKnown && o.PreviousIP == o.Self.IP && p.UID == o.MasterUID && p.Redis == Answered && p.Master {
			return &o.Peers[i]
		}
	}
	return nil
}

// successor gives the recorded master, if it has replaced the one that the
// sentinels still name and says it is master. Data are safe sooner with a
// replica that need not wait for the sentinels.
func (o Observation) successor(named netip.Addr) *Peer {
	for i, p := range o.Peers {
		if p.UID == o.MasterUID && p.Redis == Answered && p.Master && p.IP != named && named == o.PreviousIP {
			return &o.Peers[i]
		}
	}
	return nil
}

// best says whether no live replica holds more data than this one; the lower
// name wins a tie.
func (o Observation) best(live []Peer) bool {
	for _, p := range live {
		if p.Offset > o.Local.Offset || (p.Offset == o.Local.Offset && p.Name < o.Self.Name) {
			return false
		}
	}
	return true
}
