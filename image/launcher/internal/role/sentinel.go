package role

import (
	"net/netip"
	"slices"
	"time"
)

// SentinelObservation is everything a sentinel's launcher decides from.
type SentinelObservation struct {
	Running bool
	Own     View   // of the local sentinel
	Others  []View // of the other sentinel pods
	First   bool   // no other answering sentinel comes before this one by name
	Turn    bool   // it is this sentinel's turn to clean up; one at a time has it
	Second  bool   // it is its second: the same, where a turn would be too late
	Joining bool   // it does not run, and must not join the others yet; see Joining

	Configured      int           // number of sentinels
	FailoverTimeout time.Duration // of one attempt

	Replicas []netip.Addr // known to the local sentinel
	Stale    bool         // it knows replicas or sentinels that are down and no pods of the release
	// Foreign: a server at an address that no pod of the release has any more answers
	// the local sentinel, which takes it for a replica, and it follows somebody else or nobody.
	Foreign bool
	Servers []Peer // all server pods

	// Uncertified: the sentinel was started with a certificate, or with authorities, that others have replaced since.
	Uncertified bool

	FileMaster netip.Addr // what the local sentinel knew before the container restarted; may be invalid
	MasterUID  string     // the master in the record, as it was read last
	// RecordKnown: the last question for the record was answered. Otherwise MasterUID may be a master of the past.
	RecordKnown bool

	DownFor     time.Duration // how long the local sentinel has found its master down
	SilentFor   time.Duration // how long the local sentinel has not answered
	StaleFor    time.Duration
	ForeignFor  time.Duration
	MislabelFor time.Duration // how long a pod other than the agreed master has been labelled master
}

// NoReplica says whether a server must not be given to a sentinel as a replica: it is a
// master, perhaps of the past, or cannot be asked. Sentinel would promote it like any
// replica. It learns of the true ones from their master.
func (o SentinelObservation) NoReplica(ip netip.Addr) bool {
	return slices.ContainsFunc(o.Servers, func(p Peer) bool { return p.IP == ip && (p.Redis == Unknown || p.Master) })
}

// SentinelAction is what a sentinel's launcher does next.
type SentinelAction int

const (
	SentinelWait  SentinelAction = iota
	SentinelStart                // start the sentinel, monitoring Master
	SentinelSeed                 // stop it and start it again with what is true now
)

// SentinelDecision is what to do and why.
type SentinelDecision struct {
	Action   SentinelAction
	Master   netip.Addr
	NewEpoch bool // the master differs from what other sentinels may believe: it takes a later epoch
	Ready    bool // the sentinel serves: label it
	Clear    []Member
	Reason   string
	Rule     string // the ID of the rule that decided; see docs/launcher.md
}

const (
	// seedPatience is how long a sentinel may find its master down, with no
	// failover under way, before it is given the facts anew.
	seedPatience = 12 * time.Second
	// attemptReserve is how much longer than the failover-timeout that is at
	// least: detection and the election of a leader come before an attempt.
	attemptReserve = 4 * time.Second
	// settlePatience is how long a labelled and recorded master may go unnoticed
	// by the sentinel that monitors its dead predecessor. A failover needs 1.3 s
	// to its end. The sentinel that led it may have crashed before it could tell. After down-after
	// (3 s) a sentinel that was not told would promote another replica. Where everything is busy,
	// a look takes most of a second.
	settlePatience = 1500 * time.Millisecond
	// tellPatience is how long a sentinel that names the successor has for telling the
	// others: three of Sentinel's publish periods, of 2 s.
	tellPatience = 6 * time.Second
	// gonePatience is used instead of settlePatience where the pod of the monitored master does not exist any more.
	gonePatience = 0
	// stalePatience is how long dead entries may stay: a pod that is replaced
	// can be back under its address within seconds only as itself.
	stalePatience = 20 * time.Second
	// foreignPatience is the same where a server of somebody else has the address.
	// Sentinel makes it a replica after eight seconds (four of its publish
	// periods), which empties it; each sentinel has its second before.
	foreignPatience = 3 * time.Second
	// mislabelPatience is how long a living pod may keep a master label that a
	// majority of sentinels contradicts; its own launcher moves it in a second or two.
	mislabelPatience = 4 * time.Second
	// successorPatience is how long the label stays on a pod that cannot speak for
	// itself, for its successor to be labelled first: the other way round
	// kube-proxy would spend its sync on the removal, and clients would be
	// without an address for a second.
	successorPatience = 1500 * time.Millisecond
	// deputyPatience is how much longer a sentinel that is not the first waits.
	deputyPatience = 2 * time.Second
)

// SilenceLead is how long before down-after a silent master loses its label, and a replica's launcher is elected to replace
// it. The removal starts a second in which kube-proxy does nothing. The successor's label comes about 0.1 s after the sentinels find the
// master down; 0.2 s are left for it to come later.
const SilenceLead = 700 * time.Millisecond

// FindsLost says whether a sentinel finds its master down, or so long silent that it
// will soon unless there is an answer: what a majority of them finds so loses its label.
func FindsLost(down bool, silent, downAfter time.Duration) bool {
	return down || silent >= downAfter-SilenceLead
}

// watching is an observation and what the rules of a sentinel's launcher share.
type watching struct {
	SentinelObservation
	recorded   *Peer  // the server in the record; nil if it is gone
	latest     *View  // of the other sentinel that names a master in the latest epoch; nil if no other sentinel names a master
	masters    []Peer // the servers that say they are master
	seedsAfter time.Duration
}

func watchingOf(o SentinelObservation) *watching {
	w := &watching{SentinelObservation: o, recorded: o.recorded(), seedsAfter: o.seedPatience()}
	for i, v := range o.Others {
		if v.Reach == Answered && v.HasMaster && (w.latest == nil || o.later(v, *w.latest)) {
			w.latest = &o.Others[i]
		}
	}
	for _, p := range o.Servers {
		if p.Redis == Answered && p.Master {
			w.masters = append(w.masters, p)
		}
	}
	return w
}

// DecideSentinel says what a sentinel's launcher does next.
func DecideSentinel(o SentinelObservation) SentinelDecision {
	if !o.Running {
		return watchBy(sentinelStartRules, o)
	}
	d := watchBy(sentinelRules, o)
	if d.Ready = o.answers(); d.Ready {
		d.Clear = o.mislabelled()
	}
	return d
}

// watchBy gives the decision of the first rule that applies, with the ID of that rule.
func watchBy(rules []rule[*watching, SentinelDecision], o SentinelObservation) SentinelDecision {
	w := watchingOf(o)
	r := first(rules, w)
	d := r.decide(w)
	d.Rule = r.ID
	return d
}

// answers says whether the local sentinel answers and knows a master.
func (o SentinelObservation) answers() bool { return o.Own.Reach == Answered && o.Own.HasMaster }

// later says whether a sentinel names its master in a later epoch than another sentinel. In the same
// epoch a sentinel that names a serving master counts as later: the other sentinel has been cut off.
func (o SentinelObservation) later(v, other View) bool {
	serves := func(ip netip.Addr) bool {
		return slices.ContainsFunc(o.Servers, func(p Peer) bool { return p.IP == ip && p.Redis == Answered && p.Master })
	}
	return v.ConfigEpoch > other.ConfigEpoch || v.ConfigEpoch == other.ConfigEpoch && serves(v.Master) && !serves(other.Master)
}

// seedPatience is the constant of that name, or what exceeds one failover
// attempt where that is longer: a seed in the middle of one would end it.
func (o SentinelObservation) seedPatience() time.Duration {
	return max(seedPatience, o.FailoverTimeout+attemptReserve)
}

// settlePatience is the constant of that name, or gonePatience where the pod of the
// master that it monitors is gone: down-after may have begun before the election
// of the recorded one.
func (o SentinelObservation) settlePatience() time.Duration {
	for _, p := range o.Servers {
		if p.IP == o.Own.Master {
			return settlePatience
		}
	}
	return gonePatience
}

// recorded gives the server in the record; nil if it is gone.
func (o SentinelObservation) recorded() *Peer {
	for i, p := range o.Servers {
		if p.UID == o.MasterUID && o.MasterUID != "" {
			return &o.Servers[i]
		}
	}
	return nil
}

// succeeded says whether the recorded master is one, has the label, and the
// server that the local sentinel monitors is certainly no master any more, with
// no sentinel at work on it.
func (o SentinelObservation) succeeded(recorded *Peer) bool {
	if recorded == nil || !recorded.Master || recorded.Redis != Answered || recorded.Label != Master || recorded.IP == o.Own.Master {
		return false
	}
	for _, v := range o.Others {
		tells := v.Reach == Answered && v.HasMaster && v.Master == recorded.IP && o.MislabelFor <= tellPatience
		if v.FailingOver || tells {
			return false
		}
	}
	for _, p := range o.Servers {
		if p.IP == o.Own.Master && (p.Redis == Unknown || p.Redis == Answered && p.Master) {
			return false
		}
	}
	return true
}

// forgotten says whether a running replica is unknown to the local sentinel.
func (o SentinelObservation) forgotten() bool {
	known := map[netip.Addr]bool{o.Own.Master: true}
	for _, ip := range o.Replicas {
		known[ip] = true
	}
	for _, p := range o.Servers {
		if p.live() && !known[p.IP] {
			return true
		}
	}
	return false
}

// named says whether a majority names the master of the local sentinel and none replaces it.
func (o SentinelObservation) named() bool {
	agreed, ok := o.Agreed()
	return ok && agreed == o.Own.Master && !o.replacing()
}

// replacing says whether another sentinel runs a failover.
func (o SentinelObservation) replacing() bool {
	return slices.ContainsFunc(o.Others, func(v View) bool { return v.FailingOver })
}

// unanimous says whether all configured sentinels answer, find the master up
// and name the same one.
func (o SentinelObservation) unanimous() bool {
	n := 1
	for _, v := range o.Others {
		if v.Reach == Answered && v.HasMaster && v.Master == o.Own.Master && !v.Down && !v.FailingOver {
			n++
		}
	}
	return n >= o.Configured
}

// Agreed is the master that a majority of the configured sentinels names.
func (o SentinelObservation) Agreed() (netip.Addr, bool) {
	return Observation{Sentinels: o.Configured, Views: append([]View{o.Own}, o.Others...)}.Agreed()
}

// mislabelled gives the pods whose label master this launcher takes away: a majority of the sentinels names another pod, which says that
// it is master, and the labelled pod has had its time.
func (o SentinelObservation) mislabelled() []Member {
	named, ok := o.Agreed()
	i := slices.IndexFunc(o.Servers, func(p Peer) bool { return p.IP == named && p.saysMaster() })
	if !ok || i < 0 {
		return nil
	}
	var out []Member
	for _, p := range o.Servers {
		if p.Label != Master || p.IP == named {
			continue
		}
		m := mislabel{pod: p, succeeded: o.Servers[i].Label == Master}
		wait := first(mislabelRules, m).decide(m)
		if !o.First {
			wait += deputyPatience
		}
		if o.MislabelFor >= wait {
			out = append(out, p.Member)
		}
	}
	return out
}

// mislabel is a pod with the label master, while the sentinels name another pod.
type mislabel struct {
	pod       Peer
	succeeded bool // the pod that the sentinels name has the label master, too
}
