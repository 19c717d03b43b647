package role

import (
	"fmt"
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

	Configured      int           // number of sentinels
	FailoverTimeout time.Duration // of one attempt

	Replicas []netip.Addr // known to the local sentinel
	Stale    bool         // it knows replicas or sentinels that are down and no pods of the release
	// Foreign: a server at an address that no pod of the release has any more answers
	// the local sentinel, which takes it for a replica, and it follows somebody else or nobody.
	Foreign bool
	Servers []Peer // all server pods

	FileMaster netip.Addr // what the local sentinel knew before the container restarted; may be invalid
	MasterUID  string     // the record's master

	DownFor     time.Duration // how long the local sentinel has found its master down
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
	// to its end; after down-after (3 s) a sentinel that missed it, because the
	// one that led it has crashed, would promote another replica. Where everything
	// is busy, a look takes most of a second.
	settlePatience = 1500 * time.Millisecond
	// tellPatience is how long one that names the successor has for telling the
	// others: three of Sentinel's publish periods, of 2 s.
	tellPatience = 6 * time.Second
	// gonePatience is the same for one whose pod does not exist any more.
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
// it. The removal starts a second in which kube-proxy does nothing. The successor's label comes about 0.2 s after the sentinels find the
// master down; 0.3 s are left for it to come later.
const SilenceLead = 500 * time.Millisecond

// FindsLost says whether a sentinel finds its master down, or so long silent that it
// will soon unless there is an answer: what a majority of them finds so loses its label.
func FindsLost(down bool, silent, downAfter time.Duration) bool {
	return down || silent >= downAfter-SilenceLead
}

// isolationLead is how long before down-after an isolated master holds writes back. It leaves
// time for the order of the pause on a busy node.
const isolationLead = 500 * time.Millisecond

// Isolated says whether the sentinels may be about to replace a master that has heard nothing for so long,
// neither from the API nor from most sentinels.
func Isolated(unheard, downAfter time.Duration) bool { return unheard >= downAfter-isolationLead }

// isolationPatience is how much longer than down-after the sentinels may need to replace an isolated
// master. They may notice its silence a second after the master notices theirs, and an
// election without a winner ends after 1.5 s.
const isolationPatience = 2 * time.Second

// ReplacedWithin is the time in which the sentinels have replaced an isolated master, if they can.
func ReplacedWithin(downAfter time.Duration) time.Duration { return downAfter + isolationPatience }

// DecideSentinel says what a sentinel's launcher does next.
func DecideSentinel(o SentinelObservation) SentinelDecision {
	if !o.Running {
		return startSentinel(o)
	}
	d := SentinelDecision{Ready: o.Own.Reach == Answered && o.Own.HasMaster}
	if !d.Ready {
		d.Reason = "the sentinel does not answer"
		return d
	}
	d.Reason = fmt.Sprintf("monitoring %v", o.Own.Master)
	d.Clear = o.mislabelled()
	recorded := o.recorded()
	switch {
	case o.Own.FailingOver:
	case o.MislabelFor > o.settlePatience() && o.succeeded(recorded):
		d.Action, d.Master, d.NewEpoch = SentinelSeed, recorded.IP, true
		d.Reason = fmt.Sprintf("%s has replaced the master it monitors, and no sentinel has noticed", recorded.Name)
	case o.DownFor > o.seedPatience() && recorded != nil && recorded.Master && recorded.IP != o.Own.Master:
		d.Action, d.Master, d.NewEpoch = SentinelSeed, recorded.IP, true
		d.Reason = fmt.Sprintf("the master it monitors is gone and %s is the recorded master", recorded.Name)
	case o.DownFor > o.seedPatience() && o.forgotten():
		d.Action, d.Master = SentinelSeed, o.Own.Master
		d.Reason = "the master is down and the sentinel does not know all replicas"
	case o.ForeignFor > foreignPatience && o.DownFor == 0 && o.Second && o.named():
		d.Action, d.Master = SentinelSeed, o.Own.Master
		d.Reason = "the sentinel takes a server for a replica that has the address of a pod that is gone"
	case o.StaleFor > stalePatience && o.DownFor == 0 && o.Turn && o.unanimous():
		d.Action, d.Master = SentinelSeed, o.Own.Master
		d.Reason = "the sentinel remembers replicas or sentinels that are gone"
	}
	return d
}

// startSentinel finds the master to monitor: what other sentinels say, else the
// one server that says it is master unless the record names another, else what this sentinel knew before.
func startSentinel(o SentinelObservation) SentinelDecision {
	var latest *View
	for i, v := range o.Others {
		if v.Reach == Answered && v.HasMaster && (latest == nil || o.later(v, *latest)) {
			latest = &o.Others[i]
		}
	}
	if latest != nil {
		return SentinelDecision{Action: SentinelStart, Master: latest.Master, Reason: fmt.Sprintf("the other sentinels monitor %v", latest.Master)}
	}
	var masters []Peer
	for _, p := range o.Servers {
		if p.Redis == Answered && p.Master {
			masters = append(masters, p)
		}
	}
	// A master that the record does not name may be one of the past: the servers
	// settle that, and record who it is.
	if len(masters) == 1 && (o.MasterUID == "" || masters[0].UID == o.MasterUID) {
		return SentinelDecision{Action: SentinelStart, Master: masters[0].IP, Reason: fmt.Sprintf("%s is master", masters[0].Name)}
	}
	if recorded := o.recorded(); recorded != nil && recorded.Redis == Answered && recorded.Master {
		return SentinelDecision{Action: SentinelStart, Master: recorded.IP, Reason: fmt.Sprintf("%s is the recorded master", recorded.Name)}
	}
	if o.FileMaster.IsValid() {
		return SentinelDecision{Action: SentinelStart, Master: o.FileMaster, Reason: fmt.Sprintf("this sentinel monitored %v before", o.FileMaster)}
	}
	return SentinelDecision{Reason: "waiting for a server to become master"}
}

// later says whether a sentinel names its master in a later epoch than another one. In the same
// epoch a sentinel that names a serving master counts as the later one: the other has been cut off.
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
	return ok && agreed == o.Own.Master && !slices.ContainsFunc(o.Others, func(v View) bool { return v.FailingOver })
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

// mislabelled gives the pods whose label master this launcher takes away: a
// majority of the sentinels names another one, which says it is master, and
// the pod either cannot speak for itself or has had time to.
func (o SentinelObservation) mislabelled() []Member {
	agreed, ok := o.Agreed()
	if !ok {
		return nil
	}
	patience := time.Duration(0)
	if !o.First {
		patience = deputyPatience
	}
	confirmed, labelled := false, false
	for _, p := range o.Servers {
		labelled = labelled || p.IP == agreed && p.Label == Master
	}
	var out []Member
	for _, p := range o.Servers {
		confirmed = confirmed || p.IP == agreed && p.Redis == Answered && p.Master
		if p.Label != Master || p.IP == agreed {
			continue
		}
		wait := patience
		switch {
		case p.Redis == Answered:
			wait += mislabelPatience
		case !labelled:
			wait += successorPatience
		}
		if o.MislabelFor >= wait {
			out = append(out, p.Member)
		}
	}
	if !confirmed {
		return nil
	}
	return out
}
