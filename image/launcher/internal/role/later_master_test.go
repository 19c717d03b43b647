package role

import (
	"testing"
	"time"
)

// A successor that stands still before the sentinels have seen it as master is none
// for them: they replace the same predecessor again, by another.
func TestWritesOfAMasterThatTheSentinelsHaveNotSeenAreHeldBack(t *testing.T) {
	promoting := func(o *Observation) { o.Views[0].Promoting = address("c") }
	chosen := func(o *Observation) { o.Views[0].Chosen = address("c") }
	labelled := func(o *Observation) { o.Self.Label = Master }
	awake := together(runsAsMaster(9*time.Second), labelled, recorded("a"), replaced("b"), sentinels("b^ b! b!"), promoting)
	for name, c := range map[string]struct {
		observation Observation
		want        bool
	}{
		"where the other is master":                            {observe(awake, peer("b", isStopped), peer("c", isMaster)), true},
		"also where a sentinel was told to do it":              {observe(awake, sentinels("b* b! b!"), chosen, peer("c", isMaster)), true},
		"not while the other is a replica":                     {observe(awake, peer("b", isStopped), peer("c", isReplica)), false},
		"nor where the other does not answer":                  {observe(awake, peer("b", isStopped), peer("c", isMaster, isFrozen)), false},
		"not on this pod, which was elected itself":            {observe(awake, local(func(l *Local) { l.Claimed = true }), peer("c", isMaster)), false},
		"not once the sentinels have named it, like any other": {observe(awake, local(func(l *Local) { l.Claimed, l.Confirmed = true, true }), peer("c", isMaster)), true},
		"but where the record names another since":             {observe(awake, local(func(l *Local) { l.Claimed = true }), recorded("c"), peer("c", isMaster)), true},
		"also where one is chosen and this one has no label": {observe(awake, sentinels("b* b! b!"), chosen, peer("b", isStopped), peer("c", isReplica),
			func(o *Observation) { o.Self.Label = "" }), true},
		"nor when that failover is over":                       {observe(awake, sentinels("b b b"), peer("c", isMaster)), false},
		"and when a sentinel names the other in a later epoch": {observe(awake, sentinels("c a a"), func(o *Observation) { o.Views[0].ConfigEpoch = 9 }, peer("c", isMaster)), true},
		"not in the same epoch":                                {observe(awake, sentinels("c a a"), peer("c", isMaster)), false},
	} {
		if d := Decide(c.observation); d.BeingReplaced != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// Neither the sentinels nor the API tell a master that reaches nobody but its replicas that it has been replaced.
func TestIsolatedMasterSeesThatItsFormerReplicaIsMaster(t *testing.T) {
	isolated := together(runsAsMaster(9*time.Second), recordUnknown, sentinels("silent silent a"), local(func(l *Local) { l.History = History{ID: "a"} }))
	for name, c := range map[string]struct {
		observation Observation
		want        bool
	}{
		"where the history of the other continues its own":   {observe(isolated, peer("c", isMaster, history("c", "a"))), true},
		"not where the other has another history":            {observe(isolated, peer("c", isMaster, history("c", "b"))), false},
		"nor while the other is a replica":                   {observe(isolated, peer("c", isReplica, history("c", "a"))), false},
		"nor where the record can be read":                   {observe(isolated, func(o *Observation) { o.RecordKnown, o.MasterUID = true, "uid-a" }, peer("c", isMaster, history("c", "a"))), false},
		"nor where most sentinels answer, and name this one": {observe(isolated, sentinels("silent a a"), peer("c", isMaster, history("c", "a"))), false},
	} {
		if d := Decide(c.observation); d.Succeeded != c.want || d.BeingReplaced != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// The sentinel that replaces it has told some of the others.
func TestRecordedMasterDoesNotTakeItsLabelBackFromALaterMaster(t *testing.T) {
	named := together(runsAsMaster(time.Hour), recorded("a"), sentinels("a c silent"), func(o *Observation) { o.Views[1].ConfigEpoch = 9 }, peer("c", isMaster))
	check(t, []claim{
		{"that a sentinel names in a later epoch", observe(named, func(o *Observation) { o.Self.Label = "" }),
			Decision{State: Uncertain, BeingReplaced: true, Reason: "this pod is the recorded master, has lost its label, and another server is about to replace it"}},
		{"but does not give it up either", observe(named, func(o *Observation) { o.Self.Label = Master }),
			Decision{State: Serving, Label: MasterLabel, BeingReplaced: true, Reason: "this pod is the recorded master and the sentinels do not name another"}},
	})
}

// A master wakes up. The sentinel that replaced it is cut off and has told nobody, and the API is away.
func TestLaterDataWinWhereTheRecordCannotBeRead(t *testing.T) {
	past := peer("b", isMaster, reports(wasMaster(1, 10)))
	check(t, []claim{
		{"the master of the past gives way", observe(runsAsMaster(time.Second), recordUnknown, sentinels("a a b"), holds(wasMaster(1, 10)), peer("b", isMaster, reports(wasMaster(2, 5)))),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "server-b is the master of a later generation"}},
		{"also where the record can be read and names another one before it", observe(runsAsMaster(time.Second), recorded("b"), replaced("c"), sentinels("a a b"), holds(wasMaster(1, 10)), peer("b", isMaster, reports(wasMaster(3, 5)))),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "server-b is the master of a later generation"}},
		{"also where it is named anew and the record names the other", observe(runsAsMaster(time.Second), local(func(l *Local) { l.NamedAnew = true }), recorded("b"), sentinels("a a b"), holds(wasMaster(1, 10)), peer("b", isMaster, reports(wasMaster(2, 5)))),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "server-b is the master of a later generation"}},
		{"also where the sentinels name a third one", observe(runsAsMaster(time.Minute), recorded("c"), sentinels("c c a"), holds(wasMaster(1, 10)), peer("b", isMaster, reports(wasMaster(2, 5))), peer("c", isGone)),
			Decision{State: Uncertain, Label: ClearLabel, Action: Follow, Target: address("b"), Reason: "server-b is the master of a later generation"}},
		{"the recorded master serves on", observe(runsAsMaster(time.Minute), recorded("a"), sentinels("b b a"), holds(wasMaster(2, 5)), past),
			Decision{State: Serving, Label: MasterLabel, Reason: "this pod is the recorded master; server-b, which the sentinels name, has data of an earlier generation"}},
		{"not where it has just been promoted", observe(runsAsMaster(time.Second), local(func(l *Local) { l.NamedAnew = true }), recordUnknown, sentinels("a a b"), holds(wasMaster(1, 10)), peer("b", isMaster, reports(wasMaster(2, 5)))),
			Decision{State: Serving, Label: MasterLabel, Reason: "the sentinels name this pod"}},
		{"its successor does not follow it", observe(runsAsMaster(promotionPatience+1), recordUnknown, sentinels("b b a"), holds(wasMaster(2, 5)), past),
			Decision{State: Uncertain, Reason: "the sentinels name server-b, whose data are of an earlier generation, and the record cannot be read"}},
		{"nor does a replica of its successor", observe(follows("c"), local(func(l *Local) { l.Astray = time.Hour }), recordUnknown, sentinels("b b c"), holds(wasReplica(2, 5)), past),
			replica(Serving, "the sentinels name server-b, whose data are of an earlier generation; they have not learned of this replica's master yet")},
	})
}
