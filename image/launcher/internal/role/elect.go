package role

import (
	"cmp"
	"fmt"
	"time"
)

// candidate is a server that takes part in an election.
type candidate struct {
	Member
	Standing Standing
}

// compare orders candidates by the worth of their data: any before none, the
// later generation, the master of that generation before its replicas, the
// higher offset; then the older pod, then the lower name.
func compare(a, b candidate) int {
	rank := func(s Standing) []int64 {
		if s.Empty {
			return []int64{0, 0, 0, 0}
		}
		return []int64{1, s.Generation, number(s.Master), s.Offset}
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

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// elect chooses the master among the servers that are up when nobody else can
// say who it is. The winner writes itself into the record, which only one can.
func elect(o Observation, why string) Decision {
	wait := func(format string, args ...any) Decision {
		return Decision{State: Discovering, Label: ClearLabel, Reason: why + "; " + fmt.Sprintf(format, args...)}
	}
	if !o.RecordKnown || !o.PodsKnown {
		return wait("the pods or the record of the master cannot be read")
	}
	if o.Self.Terminating {
		return wait("this pod is terminating")
	}
	best := candidate{Member: o.Self, Standing: o.Standing}
	known, silent := 1, 0
	for _, p := range o.Peers {
		switch {
		case p.Terminating:
		case p.UID == o.MasterUID && p.Redis == Unknown && p.Ready:
			return wait("the recorded master %s cannot be reached from here, but the API finds it ready", p.Name)
		case p.Status == nil:
			silent++
		case p.Status.Claimed && p.UID == o.MasterUID:
			return wait("%s has been chosen and is starting", p.Name)
		default:
			known++
			if c := (candidate{Member: p.Member, Standing: p.Status.Standing}); compare(c, best) > 0 {
				best = c
			}
		}
	}
	missing := max(silent, o.Servers-known)
	if patience := patienceFor(o, best); missing > 0 && o.searching() < patience {
		return wait("waiting up to %v for %d more server(s) to tell what data they hold", patience, missing)
	}
	if best.UID != o.Self.UID {
		return wait("%s holds the most advanced data", best.Name)
	}
	return Decision{State: Starting, Label: HoldLabel, Action: Claim, Reason: why + "; this pod holds the most advanced data"}
}

// patienceFor is how long missing servers are waited for.
func patienceFor(o Observation, best candidate) time.Duration {
	if o.Initialised && best.Standing.Empty {
		return emptyPatience
	}
	return electionPatience
}
