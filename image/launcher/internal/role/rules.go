package role

import (
	"fmt"
	"net/netip"
)

// rule is one case of a situation S and the decision D in that case. The rules of a situation are a list, and the first rule that applies
// decides. Each list is a table in docs/launcher.md, which `make golden` writes from When, Then and Why.
type rule[S, D any] struct {
	ID   string // short and unique in this package; it is logged and shown in /status
	When string // what holds
	Then string // what is done
	Why  string
	// Label is what a server does with its label redis-role. It counts where no other list decides.
	Label Label
	// See is the heading of another list in docs/launcher.md, if the rules of that list decide.
	See string

	applies func(S) bool // nil in the last rule of a list, which applies to everything else
	decide  func(S) D
}

// first gives the first rule that applies.
func first[S, D any](rules []rule[S, D], s S) rule[S, D] {
	last := len(rules) - 1
	for _, r := range rules[:last] {
		if r.applies(s) {
			return r
		}
	}
	return rules[last]
}

// decideBy gives the decision of the first rule that applies, with the ID of that rule. If the rule leaves the decision to another list,
// the IDs of both rules are given, as in "died-master-alone/most-advanced-data".
func decideBy[S any](rules []rule[S, Decision], s S) Decision {
	r := first(rules, s)
	d := r.decide(s)
	if d.Rule != "" {
		d.Rule = r.ID + "/" + d.Rule
		return d
	}
	d.Rule, d.Label = r.ID, r.Label
	return d
}

// situation is an observation and what the rules of a server share.
type situation struct {
	Observation
	// named is the pod that a majority of the sentinels names. namesSelf and namesOther say whether that is this pod or another pod. If both
	// are false, no majority names the same pod.
	named                 netip.Addr
	namesSelf, namesOther bool
	namedPeer             *Peer // the server at named; nil for this pod, and if there is no such pod
	recorded              bool  // the record names this pod as master
	masters               []Peer
	onlyMaster            *Peer  // the only other server that says it is master; nil if there are none or several
	live                  []Peer // the live replicas
}

func situationOf(o Observation) *situation {
	s := &situation{Observation: o, recorded: o.MasterUID == o.Self.UID, masters: o.masters(), live: o.liveReplicas()}
	if named, ok := o.Agreed(); ok {
		s.named, s.namesSelf, s.namesOther = named, named == o.Self.IP, named != o.Self.IP
	}
	if s.namesOther {
		s.namedPeer = o.peerAt(s.named)
	}
	if len(s.masters) == 1 {
		s.onlyMaster = &s.masters[0]
	}
	return s
}

// noMajority says whether no majority of the sentinels names the same pod.
func (s *situation) noMajority() bool { return !s.namesSelf && !s.namesOther }

// elect leaves the decision to the rules of the election. The reason begins with why.
func (s *situation) elect(why string, args ...any) Decision {
	return elect(s.Observation, fmt.Sprintf(why, args...))
}

// saysMaster says whether there is such a peer and it says that it is master.
func (p *Peer) saysMaster() bool { return p != nil && p.Redis == Answered && p.Master }

// answers says whether there is such a peer and its Redis answers.
func (p *Peer) answers() bool { return p != nil && p.Redis == Answered }
