package role

import (
	"net/netip"
	"slices"
	"time"
)

// NamedIn gives the configuration epoch in which a majority of the sentinels names this pod.
func (o Observation) NamedIn() (epoch int64, ok bool) {
	if agreed, ok := o.Agreed(); !ok || agreed != o.Self.IP {
		return 0, false
	}
	for _, v := range o.Views {
		if v.Reach == Answered && v.HasMaster && v.Master == o.Self.IP {
			epoch = max(epoch, v.ConfigEpoch)
		}
	}
	return epoch, true
}

// Agreed is the master that a majority of the configured sentinels names.
func (o Observation) Agreed() (netip.Addr, bool) {
	votes := map[netip.Addr]int{}
	for _, v := range o.Views {
		if v.Reach == Answered && v.HasMaster {
			votes[v.Master]++
			if votes[v.Master] >= o.majority() {
				return v.Master, true
			}
		}
	}
	return netip.Addr{}, false
}

// sentinelsKnowNothing says whether a majority of the configured sentinels
// certainly has no memory of a master: not created yet, or not running. A sentinel
// that does not answer may have one. Fewer than a majority of silent sentinels hold an election up only for latePatience after a
// sentinel has named a master.
func (o Observation) sentinelsKnowNothing() bool {
	remembering, silent := o.memory()
	return o.PodsKnown && remembering == 0 && (silent == 0 || o.Unnamed > latePatience) && !o.CutOff()
}

// CutOff says whether so many sentinels do not answer that they may be a majority: this
// pod may not see a master that others see.
func (o Observation) CutOff() bool { return o.replaceable(0) }

// Replaceable says whether sentinels that this pod does not hear may replace its master. Where the API does not answer, the list of the pods
// may be old: sentinels that others know count as well.
func (o Observation) Replaceable() bool {
	return o.replaceable(max(0, mostKnown(o.Views)-len(o.Views)))
}

// memory counts the sentinels that name a master, and those that may.
func (o Observation) memory() (remembering, silent int) {
	for _, v := range o.Views {
		switch {
		case v.Reach == Answered && v.HasMaster:
			remembering++
		case v.Reach == Unknown:
			silent++
		}
	}
	return remembering, silent
}

// MasterIsDown says whether a majority of the sentinels finds the master down,
// and whether one of them is replacing it.
func (o Observation) MasterIsDown() (down, failingOver bool) {
	n := 0
	for _, v := range o.Views {
		if v.Down {
			n++
		}
		failingOver = failingOver || v.FailingOver
	}
	return n >= o.majority(), failingOver
}

// silentFor says whether enough sentinels find a master down, or will in a moment: the quorum, and a majority.
func (o Observation) silentFor(master netip.Addr) bool {
	return o.lostBy(master) >= max(o.majority(), o.Quorum)
}

// lostBy counts the sentinels that find a master down, or will in a moment.
func (o Observation) lostBy(master netip.Addr) (n int) {
	for _, v := range o.Views {
		if v.HasMaster && v.Master == master && FindsLost(v.Down, v.Silent, o.DownAfter) {
			n++
		}
	}
	return n
}

// FoundLost says whether a majority of the configured sentinels finds a master down, or will in a moment.
func FoundLost(master netip.Addr, views []View, sentinels int, downAfter time.Duration) bool {
	o := Observation{Sentinels: sentinels, Views: views, DownAfter: downAfter}
	return o.lostBy(master) >= o.majority()
}

// foundLost says whether a majority of the sentinels finds this master lost, so that
// their launchers take the label off it; not for ever, where nobody succeeds it.
func (o Observation) foundLost() bool {
	return o.lostBy(o.Self.IP) >= o.majority() && o.MasterDown < promotionPatience
}

// futile says whether a sentinel leads a failover that keeps the other sentinels from replacing
// this pod, whose Redis has died. Either that sentinel has made this pod master and is telling the
// replicas. Or it is promoting a server whose Redis certainly does not run; Sentinel tries that
// until the failover timeout.
func (o Observation) futile() bool {
	return slices.ContainsFunc(o.Views, func(v View) bool {
		chosen := o.peerAt(v.Chosen)
		dead := v.Chosen.IsValid() && chosen != nil && chosen.Redis == Refused
		return v.FailingOver && v.HasMaster && v.Master == o.Self.IP && (v.Switched || dead)
	})
}

// replacing says whether a sentinel is replacing a master.
func (o Observation) replacing(master netip.Addr) bool {
	return slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.HasMaster && v.Master == master })
}

// replacingSelf says whether a sentinel is replacing this pod, whether it has told
// the others yet or not.
func (o Observation) replacingSelf() bool {
	return slices.ContainsFunc(o.Views, func(v View) bool {
		return v.FailingOver && v.HasMaster && v.Switched == (v.Master != o.Self.IP)
	})
}
