package role

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// candidate is a server that takes part in an election.
type candidate struct {
	Member
	Standing Standing
}

// compare orders candidates by the worth of their data: data of a known worth before
// those whose worth cannot be read, these before what Redis could not load, and that
// before none; the later generation and epoch, the master of that generation before its
// replicas, the higher offset; then the older pod, then the lower name.
func compare(a, b candidate) int {
	rank := func(s Standing) []int64 {
		switch {
		case s.Empty:
			return []int64{0, 0, 0, 0, 0}
		case s.Broken:
			return []int64{1, s.Generation, s.Epoch, number(s.Master), s.Offset}
		case s.Unreadable:
			return []int64{2, s.Generation, s.Epoch, number(s.Master), s.Offset}
		}
		return []int64{3, s.Generation, s.Epoch, number(s.Master), s.Offset}
	}
	ra, rb := rank(a.Standing), rank(b.Standing)
	for i := range ra {
		if c := cmp.Compare(ra[i], rb[i]); c != 0 {
			return c
		}
	}
	if !a.Created.Equal(b.Created) {
		return b.Created.Compare(a.Created)
	}
	return cmp.Compare(b.Name, a.Name)
}

// Lacks says what a server that claims mastership certainly does not have, and another
// server had; empty if nothing is known to be missing. master names the recorded master.
func Lacks(o Observation, master string) string {
	switch {
	case o.Initialised && o.Standing.Empty:
		return fmt.Sprintf("%s has served as master of generation %d before, but no server holds data: starting empty", master, o.Generation)
	case o.Initialised && o.MasterUID != o.Self.UID && o.Standing.Generation < o.Generation:
		return fmt.Sprintf("this master starts with data of generation %d and lacks what %s, the master of generation %d, may have accepted alone",
			o.Standing.Generation, master, o.Generation)
	default:
		return ""
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// election is an observation and what the rules of the election share.
type election struct {
	Observation
	why  string // why there is an election
	live []Peer // the live replicas

	recordedPeer   *Peer // the recorded master; nil if this pod is, or if the pod is gone or terminating
	recordedTold   bool  // the recorded master, this pod or another, has told what it holds
	recordedStarts bool  // the recorded master has been chosen and is starting
	best           candidate
	missing        int           // servers that exist or are configured, and have not told what data they hold
	patience       time.Duration // how long these are waited for
}

// elect chooses the master among the servers that are up when nobody else can say who it is.
func elect(o Observation, why string) Decision { return decideBy(electionRules, electionOf(o, why)) }

// electionOf gives what the rules of the election share.
func electionOf(o Observation, why string) *election {
	e := &election{Observation: o, why: why, live: o.liveReplicas(), best: candidate{Member: o.Self, Standing: o.Standing}, recordedTold: o.Self.UID == o.MasterUID}
	known, silent, withheld := 1, 0, false
	for i, p := range o.Peers {
		if p.UID == o.MasterUID && !p.Terminating {
			e.recordedPeer = &o.Peers[i]
		}
		switch o.part(p) {
		case partNone:
		case partKnown:
			known++
		case partSilent:
			silent++
			withheld = withheld || !p.NeverRan
		case partUnnoticed:
			silent++
		case partCandidate:
			known++
			e.recordedTold = e.recordedTold || p.UID == o.MasterUID
			e.recordedStarts = e.recordedStarts || p.Status.Claimed && p.UID == o.MasterUID
			if c := (candidate{Member: p.Member, Standing: p.Status.Standing}); compare(c, e.best) > 0 {
				e.best = c
			}
		}
	}
	e.missing = max(silent, o.Servers-known)
	e.patience = patienceFor(o, e.best, withheld)
	if o.VolumesKept {
		e.patience = e.patienceForVolumes(known)
	}
	return e
}

// foremost says whether no other server that answers comes before this pod.
func (e *election) foremost() bool {
	return !e.givenAway() && !e.succeeded(e.Local.History) && !e.betterElsewhere()
}

// givenAway says whether this pod has given mastership away, and a replica lives.
func (e *election) givenAway() bool { return e.fencedSelf() && len(e.live) > 0 }

// betterElsewhere says whether another server holds the most advanced data.
func (e *election) betterElsewhere() bool { return e.best.UID != e.Self.UID }

// servers is how many servers the release has: those configured, or those that exist if others have scaled the release up.
func (e *election) servers() int {
	exist := 1
	for _, p := range e.Peers {
		if !p.Terminating {
			exist++
		}
	}
	return max(e.Servers, exist)
}

// blindSpell is the longest time between two looks that see the other servers after which the wait for a missing server goes on. A better
// server may have come and gone in a longer spell. An attempt to claim mastership takes up to 6 s where the API does not answer: a list of
// the pods, a write, and a look of 2 s each.
const blindSpell = 6 * time.Second

// keepForemost keeps the clock of Observation.Foremost in a look that sees the other servers. The clock stands still while no look does.
func (m *Memory) keepForemost(foremost bool, now time.Time) {
	blind := now.Sub(m.sawAt)
	m.sawAt = now
	switch {
	case !foremost:
		m.foremost = since{}
	case m.foremost.at.IsZero() || blind > blindSpell:
		m.foremost = since{now}
	case blind > stoodStill:
		m.foremost.at = m.foremost.at.Add(blind)
	}
}

// waited is how long this pod has waited for the missing servers. A server that came before this pod is waited for from the moment at which
// it goes missing, however long this pod has been without a role by then.
func (e *election) waited() time.Duration { return min(e.searching(), e.Foremost) }

// part is how another server takes part in an election.
type part int

const (
	partNone      part = iota // it is terminating
	partCandidate             // it tells what data it holds
	partKnown                 // it is no candidate, and is not waited for
	partSilent                // it has not told what data it holds
	partUnnoticed             // it tells that it holds nothing, and its Redis has received data
)

func (o Observation) part(p Peer) part {
	switch {
	case p.Terminating:
		return partNone
	case o.givesWay(p):
		return partKnown // it leaves mastership to a replica that lives
	case p.Status == nil && p.UID == o.MasterUID && p.Redis == Refused && o.successorLives():
		return partKnown // it does not run, and Sentinel would not wait for it either
	case o.stoodFor(p) || o.succeeded(p.History):
		return partKnown
	case p.Status == nil && p.NeverRan && !o.Initialised:
		return partKnown // its volume is new, and there is no master that it could have data of
	case p.Status == nil:
		return partSilent
	case p.unnoticed():
		return partUnnoticed
	default:
		return partCandidate
	}
}

// recordedOutOfReach says whether the recorded master, another pod, does not answer.
func (e *election) recordedOutOfReach() bool {
	return e.recordedPeer != nil && e.recordedPeer.Redis == Unknown
}

// unnoticed says whether a replica has received data that its launcher does not tell of yet.
// A replica that has never been linked tells offset 0 or 1.
func (p Peer) unnoticed() bool {
	return p.Redis == Answered && !p.Master && p.Offset > 1 && p.Status.Standing.Empty
}

// givesWay says whether a peer is the fenced master while a replica lives that
// tells of data, be it this pod. The fenced master is not elected then.
func (o Observation) givesWay(p Peer) bool {
	if o.Fence == nil || p.UID != o.Fence.UID {
		return false
	}
	return o.liveSelf() && !o.Standing.Empty || slices.ContainsFunc(o.liveReplicas(), func(r Peer) bool {
		return r.UID != p.UID && r.Status != nil && !r.Status.Standing.Empty
	})
}

// liveSelf says whether this pod is among the live replicas of its peers.
func (o Observation) liveSelf() bool {
	return !o.Self.Terminating && o.Local.Answering && !o.Local.Loading && !o.Local.Master && o.Local.Synced && o.promotable(o.Local.Unlinked)
}

// stoodFor says whether a peer's data are certainly those of a master that takes
// part in the election itself: its standing may tell of data it has given up.
func (o Observation) stoodFor(p Peer) bool {
	if !p.LinkUp || p.Redis != Answered || !(o.Local.Master || o.MasterInView()) {
		return false
	}
	// A server that does not answer may be the master that this replica follows.
	return !slices.ContainsFunc(o.Peers, func(other Peer) bool { return other.Redis == Unknown })
}

// Disputed says whether a server tells of data that come before these in an election. A disputed
// master was named again after a promotion that is in no record. It takes a new generation or
// epoch, so that its data count as the latest.
func (s Standing) Disputed(servers []Peer) bool {
	return slices.ContainsFunc(servers, func(p Peer) bool { return p.Status != nil && !p.Status.Standing.Empty && s.Before(p.Status.Standing) })
}

// succeeded says whether a server holds data of a history that began when a replica that had
// followed this history was promoted.
func (o Observation) succeeded(h History) bool {
	return o.Local.History.Succeeds(h) || slices.ContainsFunc(o.Peers, func(p Peer) bool { return p.Redis == Answered && !p.Terminating && p.History.Succeeds(h) })
}

// successorLives says whether a running replica, be it this pod, holds data of the recorded master. If that master certainly
// does not run, the sentinels would promote the replica after down-after.
func (o Observation) successorLives() bool {
	ofRecorded := func(s Standing) bool { return !s.Empty && s.Generation == o.Generation }
	return o.liveSelf() && ofRecorded(o.Standing) ||
		slices.ContainsFunc(o.liveReplicas(), func(r Peer) bool { return r.Status != nil && ofRecorded(r.Status.Standing) })
}

// unbeatable says whether no server that has not told its standing can hold
// better data: these are the recorded master's own, and it has not handed over.
func (o Observation) unbeatable(c candidate) bool {
	s := c.Standing
	fenced := o.Fence != nil && o.Fence.UID == c.UID
	return o.Initialised && !s.Empty && !s.Broken && !s.Unreadable && s.Master && s.Generation == o.Generation && c.UID == o.MasterUID && !fenced
}

// patienceFor is how long missing servers are waited for. withheld says that a
// missing server has run before. It may hold data when no other server does. The
// volume of a pod that does not exist any more is gone, too.
func patienceFor(o Observation, best candidate, withheld bool) time.Duration {
	switch {
	case !o.Initialised || !best.Standing.Empty || !withheld:
		return electionPatience
	case o.Persistence:
		return volumePatience
	default:
		return memoryPatience
	}
}

// patienceForVolumes is the same where volumes are kept. Each missing server may have data then, also in a release without a record: it may be an
// earlier one that was installed again. A volume may be old, since its server was away for any time. The best of a majority of the servers is
// not that old, unless the record has a later master. Only the recorded master may have what it accepted without a replica. known is the number of
// servers that have told, this pod included.
func (e *election) patienceForVolumes(known int) time.Duration {
	switch {
	case e.best.Standing.Empty || e.best.Standing.Generation < e.Generation || known <= e.servers()/2:
		return volumePatience
	case e.Initialised && !e.recordedTold:
		return recordedPatience
	default:
		return electionPatience
	}
}
