package role

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// before is the pod of the recorded master, which is gone.
var before = record.Member{Name: "server-0", UID: "uid-before", Volume: "volume"}

// tells is the volume that the launcher of a peer tells.
func tells(volume string) func(*Peer) { return func(p *Peer) { p.Status.Volume = volume } }

// isBefore makes a peer the recorded pod itself, of which nothing answers.
func isBefore(p *Peer) { isGone(p); p.UID = before.UID }

// hasVolume is the volume of this pod.
func hasVolume(volume string) edit { return func(o *Observation) { o.Self.Volume = volume } }

func TestPodWithTheVolumeOfARecordedPodIsTakenForIt(t *testing.T) {
	for name, c := range map[string]struct {
		seen Observation
		in   record.Member
		want string
	}{
		"this pod":                              {observe(hasVolume("volume"), peer("b", tells("other"))), before, uid("a")},
		"another pod":                           {observe(hasVolume("other"), peer("b", tells("volume"))), before, uid("b")},
		"no pod":                                {observe(hasVolume("other"), peer("b", tells("another"))), before, before.UID},
		"no pod while a launcher tells nothing": {observe(hasVolume("other"), peer("b", isGone)), before, before.UID},
		"the recorded pod itself where it exists":   {observe(hasVolume("volume"), peer("b", isBefore)), before, before.UID},
		"the recorded pod itself, whatever comes":   {observe(peer("b", tells("volume")), peer("c", isBefore)), before, before.UID},
		"no pod where the volume was copied":        {observe(hasVolume("volume"), peer("b", tells("volume"))), before, before.UID},
		"no pod where others have two copies":       {observe(peer("b", tells("volume")), peer("c", tells("volume"))), before, before.UID},
		"no pod where a launcher wrote no volume":   {observe(peer("b")), record.Member{UID: before.UID}, before.UID},
		"this pod by its UID, on a volume of today": {observe(hasVolume("other"), peer("b", tells("volume"))), record.Member{UID: uid("a"), Volume: "volume"}, uid("a")},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.seen.present(c.in)) })
	}
}

func TestFenceIsThatOfThePodThatHasTheVolume(t *testing.T) {
	seen := observe(hasVolume("other"), peer("b", tells("volume")))
	pods := func(r record.Record) [2]string {
		master, fenced := seen.recordedPods(r)
		return [2]string{master, fenced}
	}
	next := record.Member{UID: uid("c"), Volume: "third"}
	require.Equal(t, [2]string{uid("b"), ""}, pods(record.Record{Master: before}))
	require.Equal(t, [2]string{uid("b"), uid("b")}, pods(record.Record{Master: before, Fence: &record.Fence{UID: before.UID}}))
	require.Equal(t, [2]string{uid("c"), uid("b")}, pods(record.Record{Master: next, Previous: before, Fence: &record.Fence{UID: before.UID}}))
	require.Equal(t, [2]string{uid("b"), "uid-d"}, pods(record.Record{Master: before, Fence: &record.Fence{UID: "uid-d"}}))
}

// The look of a launcher: the record names a pod that is gone, and this pod has its volume.
func TestRecordedMasterThatComesBackOnItsVolumeWaitsForNobody(t *testing.T) {
	l := newLooker(t, there)
	l.memory.Worth = Worth{Standing: wasMaster(3, 5), Filed: wasMaster(3, 5)}
	l.facts.Self.Volume = "volume"
	l.answers.Record = record.Record{Initialised: true, Generation: 3, Master: before}
	l.answers.Views, l.answers.Peers = []View{{Reach: Answered}, {Reach: Answered}, {Reach: Answered}}, []Peer{server("b", isDead)}
	require.Equal(t, Claim, l.look().Action)
	l.memory.Record.Fence = &record.Fence{UID: before.UID, At: l.at}
	l.answers.Record.Fence = l.memory.Record.Fence
	require.Equal(t, Wait, l.look().Action, "it has handed over, and others may have later data")
}
