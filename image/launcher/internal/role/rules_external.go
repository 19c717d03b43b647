package role

import (
	"fmt"
	"net/netip"
	"time"
)

// External is the master outside of the release that its servers follow until the release has a master of its own.
type External struct {
	// On: the servers follow such a master. It ends with the first recorded master of the release, and where a server holds data
	// that a master of the release has written.
	On bool
	// Addr is its address; invalid while its name does not resolve.
	Addr netip.Addr
	// Successor is the UID of the server that becomes the first master of the release; empty: none does yet.
	Successor string
}

// external gives the external master as it counts in this look.
func (m *Memory) external(f Facts, now time.Time) External {
	r := m.Record
	x := External{On: f.Settings.External.On && m.RecordKnown && !r.Initialised && m.Worth.Standing.Generation == 0, Addr: f.Settings.External.Addr}
	for _, p := range f.Peers {
		x.On = x.On && (p.Status == nil || p.Status.Standing.Generation == 0)
	}
	if r.Successor != nil && now.Before(r.Successor.Until) {
		x.Successor = r.Successor.UID
	}
	return x
}

// settled gives the address that is set as the external master. It is invalid where the master of the release has that address by now: the external
// master is gone, and its address was free.
func (m *Memory) settled(f Facts) netip.Addr {
	if x := f.Settings.External; x.On && x.Addr.String() != m.Record.Master.IP {
		return x.Addr
	}
	return netip.Addr{}
}

// externalRules decide for a server whose release follows an external master.
var externalRules = []rule[*situation, Decision]{
	{
		ID:      "external-master-unknown-data",
		When:    "Redis does not run, and it cannot be read what the data of this pod are worth",
		Then:    "wait",
		Why:     "A master of the release may have written them. A copy of the external master would take their place.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return !s.Local.Running && s.Standing.Unreadable },
		decide: func(*situation) Decision {
			return waits("this pod has data, and cannot read whether a master of this release wrote them. Set externalMaster.enabled=false to serve them, or " +
				"remove the data to follow the external master")
		},
	},
	{
		ID:      "external-master-unresolved",
		When:    "DNS gives no address for the name of the external master, and Redis is stopped",
		Then:    "wait",
		Why:     "Only the external master has the data.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return !s.External.Addr.IsValid() && !s.Local.Running },
		decide:  func(*situation) Decision { return waits("the name of the external master does not resolve") },
	},
	{
		ID:      "external-master-followed",
		When:    "Redis does not run",
		Then:    "start as a replica of the external master",
		Why:     "The release has no master of its own yet, and the external master has the data (ADR 0041).",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return !s.Local.Running },
		decide: func(s *situation) Decision {
			return startAsReplica(s.External.Addr, "the external master %v has the data", s.External.Addr)
		},
	},
	{
		ID:      "external-master-unclear",
		When:    "Redis does not answer or loads its data",
		Then:    "wait",
		Why:     "Nothing is known of it.",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.Local.Full || !s.Local.Answering || s.Local.Loading },
		decide:  func(s *situation) Decision { return decideBy(unclearRules, s) },
	},
	{
		ID:    "external-master-succeeded",
		When:  "the record names this pod as the successor of the external master, and this replica is in sync",
		Then:  "claim mastership: write this pod into the record with a new generation, then become master",
		Why:   "Writes wait, and `launcher promote` has seen that this replica has everything. Only one such write can succeed (ADR 0041).",
		Label: SlaveLabel,
		applies: func(s *situation) bool {
			return s.External.Successor == s.Self.UID && !s.Local.Master && s.Local.Synced && !s.Self.Terminating
		},
		decide: func(s *situation) Decision {
			return s.act(Claim, netip.Addr{}, "this pod succeeds the external master %v", s.External.Addr)
		},
	},
	{
		ID:      "external-master-regained",
		When:    "Redis is master, or follows another server than the external master",
		Then:    "follow the external master",
		Why:     "The address of the external master has changed, or somebody has given Redis an order by hand.",
		Label:   ClearLabel,
		applies: func(s *situation) bool { return s.External.Addr.IsValid() && s.Local.Follows != s.External.Addr },
		decide: func(s *situation) Decision {
			return s.act(Follow, s.External.Addr, "the external master is at %v", s.External.Addr)
		},
	},
	{
		ID:     "external-master-serves",
		When:   "anything else",
		Then:   "go on as replica",
		Why:    "The release serves reads. Nobody of the release is master until `launcher promote`.",
		Label:  SlaveLabel,
		decide: (*situation).asExternalReplica,
	},
}

// asExternalReplica is the decision of a replica of the external master to go on as it is.
func (s *situation) asExternalReplica() Decision {
	d := s.asReplica()
	d.Reason = fmt.Sprintf("replica of the external master %v", s.Local.Follows)
	if !s.Local.LinkUp {
		d.Reason += ", not connected to it"
	}
	return d
}

// leftWithoutMaster says whether this replica still follows the external master, and the release has had a master of its own, which is another
// pod and does not serve. A pod that has claimed mastership a moment ago is about to serve.
func (s *situation) leftWithoutMaster() bool {
	return s.RecordKnown && s.Initialised && !s.recorded && s.Local.Synced && s.followsSettled() && len(s.masters) == 0 && s.GenerationFor >= claimPatience
}

// followsLeftMaster says whether this replica still follows the external master, and the release has a master of its own, which says so.
func (s *situation) followsLeftMaster() bool {
	return s.firstMaster() != nil && s.followsSettled()
}

// followsSettled says whether this replica follows the address that is set as the external master.
func (o Observation) followsSettled() bool {
	return o.Settled.IsValid() && o.Local.Follows == o.Settled
}

// firstMaster gives the recorded master, if it says that it is master.
func (s *situation) firstMaster() *Peer {
	for i, p := range s.masters {
		if s.RecordKnown && p.UID == s.MasterUID {
			return &s.masters[i]
		}
	}
	return nil
}
