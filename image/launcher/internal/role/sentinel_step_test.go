package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watched takes looks of a sentinel's launcher with Step, and answers its questions.
type watched struct {
	t      *testing.T
	memory SentinelMemory
	facts  SentinelFacts
	record string
	failed bool
	at     time.Time
	asked  SentinelQuestions // in the last look
}

func newWatched(t *testing.T) *watched {
	w := &watched{t: t, at: now, record: uid("b")}
	w.facts.SentinelObservation = watch("b", "b b", with("b", isMaster, hasLabel), with("c", isReplica))
	w.facts.Pods = []Member{{Name: "server-b", UID: uid("b"), IP: address("b"), Label: Master}, {Name: "server-c", UID: uid("c"), IP: address("c"), Label: Slave}}
	w.facts.Remembered = true
	return w
}

// look takes the next look.
func (w *watched) look() SentinelDecision {
	w.at = w.at.Add(pace)
	w.asked, w.facts.Asked = SentinelQuestions{}, SentinelQuestions{}
	for rounds := 0; ; rounds++ {
		require.Less(w.t, rounds, 5, "it goes on asking: %+v", w.asked)
		next, decision, ask := w.memory.Step(w.facts, w.at)
		if ask == (SentinelQuestions{}) {
			w.memory = next
			return decision
		}
		w.asked.Servers, w.asked.Record, w.asked.Quick = w.asked.Servers || ask.Servers, w.asked.Record || ask.Record, w.asked.Quick || ask.Quick
		w.facts.Asked, w.facts.MasterUID, w.facts.RecordFailed = w.asked, w.record, w.failed
	}
}

func TestSentinelsLauncherAsksNobodyElseWhileAllIsWell(t *testing.T) {
	w := newWatched(t)
	require.True(t, w.look().Ready)
	require.Zero(t, w.asked)
	require.False(t, w.memory.Hurry(true, w.at))
	require.False(t, w.memory.Quick(w.at))
	require.True(t, w.memory.Hurry(false, w.at), "there is no sentinel")
}

func TestSentinelsLauncherAsksTheServersWhileItsMasterIsDown(t *testing.T) {
	w := newWatched(t)
	w.look()
	w.facts.Own.Down = true
	w.look()
	require.Equal(t, SentinelQuestions{Servers: true, Record: true, Quick: true}, w.asked, "also in the look that finds the master down first")
	require.True(t, w.memory.Hurry(true, w.at))
	require.True(t, w.memory.Quick(w.at))
	w.look()
	require.Equal(t, SentinelQuestions{Servers: true, Quick: true}, w.asked, "the record is read once a second")
	w.facts.Own.Reach = Unknown
	w.facts.Own.Down = false
	w.look()
	require.True(t, w.memory.Hurry(true, w.at), "a late answer ends nothing")
	w.facts.Own.Reach = Answered
	w.look()
	require.Zero(t, w.asked)
	require.True(t, w.memory.Hurry(true, w.at), "it has just come back")
	w.at = w.at.Add(hurryTime)
	require.False(t, w.memory.Hurry(true, w.at))
}

func TestSentinelsLauncherReadsTheRecordAsSoonAsALabelIsContradicted(t *testing.T) {
	w := newWatched(t)
	w.facts.Own.Down = true
	w.look()
	w.facts.Own.Down = false
	w.facts.Pods[1].Label = Master
	w.look()
	require.Equal(t, SentinelQuestions{Servers: true, Record: true, Quick: true}, w.asked, "another master: the record is another one, too")
	require.True(t, w.memory.Quick(w.at))
	w.at = w.at.Add(mislabelTime + hurryTime)
	require.False(t, w.memory.Quick(w.at), "a failover that is not over may never be")
	w.failed, w.record = true, ""
	w.at = w.at.Add(time.Second)
	w.look()
	require.True(t, w.asked.Record)
	require.Equal(t, uid("b"), w.memory.master, "a record that cannot be read says nothing new")
}

// successorRecorded is a sentinel's launcher that has found its master b down for so long that it would start the sentinel anew with the
// recorded master c. It has read the record a moment ago.
func successorRecorded(t *testing.T) *watched {
	w := newWatched(t)
	w.facts.Own.Down = true
	w.facts.Servers = []Peer{server("b", isDead), server("c", isMaster)}
	w.facts.Replicas = []netip.Addr{address("c")}
	w.record = uid("c")
	w.look()
	w.at = w.at.Add(seedPatience - 2*pace)
	require.Equal(t, SentinelWait, w.look().Action)
	require.True(t, w.asked.Record)
	w.at = w.at.Add(pace)
	return w
}

func TestSentinelIsGivenAnotherMasterOnlyByARecordThatTheSameLookHasRead(t *testing.T) {
	w := successorRecorded(t)
	d := w.look()
	require.Equal(t, "watched-master-gone", d.Rule)
	require.Equal(t, address("c"), d.Master)
	require.True(t, w.asked.Record, "although it was read less than a second ago")

	w = successorRecorded(t)
	w.record = uid("b")
	require.Equal(t, "sentinel-watches", w.look().Rule, "the record has changed since the look before")

	w = successorRecorded(t)
	w.failed, w.record = true, ""
	require.Equal(t, "sentinel-watches", w.look().Rule, "nobody knows whether the record has changed")
	require.True(t, w.asked.Record)
	require.Equal(t, "sentinel-watches", w.look().Rule)
	require.False(t, w.asked.Record, "a record that cannot be read is asked for once a second, too")
	w.at = w.at.Add(time.Minute)
	require.Equal(t, "sentinel-watches", w.look().Rule)
	w.failed, w.record = false, uid("c")
	w.at = w.at.Add(time.Second)
	require.Equal(t, "watched-master-gone", w.look().Rule)
}

func TestSentinelsLauncherKeepsTheRecordForAStartWhileItCannotBeRead(t *testing.T) {
	w := newWatched(t)
	w.facts.Own.Down = true
	w.look()
	w.failed, w.record = true, ""
	w.facts.SentinelObservation = watch("stopped", "none none", with("c", isMaster))
	w.at = w.at.Add(time.Second)
	require.Equal(t, "start-awaits-master", w.look().Rule, "the record named b: c may be a master of the past")
	require.True(t, w.asked.Record)
}
