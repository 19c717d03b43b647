package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

var (
	here  = netip.MustParseAddr("10.0.0.1")
	there = netip.MustParseAddr("10.0.0.2")
)

// pace is the time between two looks.
const pace = 200 * time.Millisecond

// looker takes looks with Step, and answers its questions.
type looker struct {
	t       *testing.T
	memory  Memory
	facts   Facts
	answers Answers
	at      time.Time
	asked   Questions // in the last look
}

// newLooker is a server in a release whose sentinels name a master at an address, and whose record names it.
func newLooker(t *testing.T, named netip.Addr) *looker {
	l := &looker{t: t, memory: NewMemory(Standing{Generation: 4}, now), at: now}
	l.facts = Facts{
		Self: Member{Name: "a", UID: "uid-a", IP: here}, PodsKnown: true,
		Settings: Settings{Servers: 3, Sentinels: 1, DownAfter: 3 * time.Second, Persistence: true, MinReplicas: 1, MasterService: true},
	}
	l.answers.Views = []View{{Reach: Answered, HasMaster: true, Master: named, ConfigEpoch: 1}}
	l.answers.Record = record.Record{Initialised: true, Generation: 4, Master: record.Member{Name: "b", UID: "uid-b", IP: there.String()}}
	if named == here {
		l.answers.Record.Master = l.facts.Self.record()
		l.facts.Self.Label, l.memory.Own = Master, 4
	}
	return l
}

// replica has the own Redis answer as a replica in sync with there; master as the master of one replica.
func (l *looker) replica() *looker {
	l.facts.Own = Own{Running: true, Answered: true, Follows: there, Look: Look{LinkUp: true, History: History{ID: "h"}, Offset: 7}}
	return l
}

func (l *looker) master() *looker {
	l.facts.Own = Own{Running: true, Answered: true, Online: 1, Look: Look{Master: true, History: History{ID: "h"}, Offset: 7}}
	return l
}

// look takes the next look.
func (l *looker) look() Plan {
	l.at = l.at.Add(pace)
	l.facts.Began, l.facts.Own.At, l.facts.Answers, l.asked = l.at, l.at, Answers{}, Questions{}
	for rounds := 0; ; rounds++ {
		require.Less(l.t, rounds, 10, "it goes on asking: %+v", l.asked)
		next, plan := l.memory.Step(l.facts, l.at)
		q := plan.Ask
		if q == (Questions{}) {
			l.memory = next
			l.memory.Settle(plan.Seen)
			return plan
		}
		asked := &l.asked
		asked.Sentinels, asked.Servers, asked.Record = asked.Sentinels || q.Sentinels, asked.Servers || q.Servers, asked.Record || q.Record
		asked.Service, asked.Quick = asked.Service || q.Service, q.Quick
		if q.Master.IsValid() {
			asked.Master = q.Master
		}
		l.facts.Answers = l.answers
		l.facts.Asked = l.asked
	}
}

// settle takes looks until nothing but the own Redis is asked.
func (l *looker) settle() *looker {
	for range 20 {
		if l.look(); l.asked == (Questions{}) {
			return l
		}
	}
	require.Fail(l.t, "it does not become calm", "%+v", l.memory.Decided)
	return l
}

func TestCalmServerAsksOnlyItsOwnRedisAndTheSentinelsOnceASecond(t *testing.T) {
	for name, l := range map[string]*looker{"master": newLooker(t, here).master(), "replica": newLooker(t, there).replica()} {
		t.Run(name, func(t *testing.T) {
			l.answers.Told = Told{History: "h"}
			l.settle()
			asked := 0
			for range 10 * time.Second / pace {
				require.Equal(t, Serving, l.look().State)
				if l.asked != (Questions{}) {
					require.Equal(t, Questions{Sentinels: true, Quick: true}, l.asked)
					asked++
				}
			}
			require.InDelta(t, 10, asked, 1)
		})
	}
}

func TestServerAsksEverybodyAsSoonAsSomethingIsWrong(t *testing.T) {
	everybody := func(q Questions) bool { return q.Servers }
	for name, change := range map[string]func(l *looker){
		"another pod took the label off":    func(l *looker) { l.facts.Self.Label = "" },
		"its Redis does not answer":         func(l *looker) { l.facts.Own.Answered = false },
		"its Redis became a replica":        func(l *looker) { l.replica() },
		"the pod is told to terminate":      func(l *looker) { l.facts.Self.Terminating = true },
		"the launcher stood still":          func(l *looker) { l.at = l.at.Add(stoodStill + pace) },
		"the sentinels name another":        func(l *looker) { l.answers.Views[0].Master = there; l.at = l.at.Add(CalmTick) },
		"another pod is recorded meanwhile": func(l *looker) { l.memory.SetRecord(record.Record{Generation: 5}, l.at) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLooker(t, here).master().settle()
			change(l)
			l.look()
			require.True(t, everybody(l.asked), "%+v", l.asked)
		})
	}
}

// The servers include the master, which does not answer any more. The replica must know whether it is in sync.
func TestReplicaWhoseMasterIsFoundDownAsksTheServersAndStaysCalm(t *testing.T) {
	l := newLooker(t, there).replica()
	l.answers.Told = Told{History: "h"}
	l.settle()
	l.answers.Views[0].Down = true
	l.at = l.at.Add(CalmTick)
	l.look()
	require.True(t, l.asked.Servers)
	require.True(t, l.asked.Quick, "a promotion is due")
	require.True(t, l.memory.Calm)
	require.True(t, l.memory.Hurry(l.at))
	require.False(t, l.memory.Hurry(l.at.Add(hurryTime)))
}

// A master that stood still has been named before. It must know that when it wakes up.
func TestMasterThatDoesNotAnswerStaysConfirmed(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.facts.Own.Answered = false
	require.Zero(t, l.look().Seen.Local.MasterFor)
	l.master()
	l.answers.Views = nil
	woken := l.look().Seen.Local
	require.True(t, woken.Confirmed)
	require.True(t, woken.Recorded)
	require.False(t, l.replica().look().Seen.Local.Confirmed, "a replica is not")
	require.Zero(t, l.memory.Own)
}

func TestWritesOfASilentMasterAreHeldBack(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.facts.Own.Answered = false
	require.False(t, l.look().Pause)
	l.at = l.at.Add(silenceLimit)
	require.True(t, l.look().Pause)
	require.False(t, l.master().look().Pause)
	l = newLooker(t, there).replica().settle()
	l.facts.Own.Answered = false
	l.at = l.at.Add(silenceLimit)
	require.False(t, l.look().Pause, "a replica has no writes")
}

func TestReplicaAsksItsMasterUntilItKnowsTheGenerationOfItsData(t *testing.T) {
	l := newLooker(t, there).replica()
	l.memory.Worth.Standing = Standing{Generation: 3}
	l.answers.Told = Told{History: "of another process", AtLeast: Standing{Generation: 9}}
	l.look()
	require.Equal(t, there, l.asked.Master)
	require.EqualValues(t, 3, l.memory.Worth.Standing.Generation, "the process that it is linked to had another history")
	require.Zero(t, l.memory.Told.AtLeast)
	l.look()
	require.False(t, l.asked.Master.IsValid(), "not twice within a second")
	l.answers.Told = Told{History: "h"}
	l.at = l.at.Add(CalmTick)
	l.look()
	require.Equal(t, there, l.asked.Master)
	require.EqualValues(t, 4, l.memory.Worth.Standing.Generation)
	l.at = l.at.Add(time.Minute)
	l.look()
	require.False(t, l.asked.Master.IsValid(), "it knows")
	l.answers.Record.Generation = 5
	l.at = l.at.Add(time.Minute)
	l.look()
	require.Equal(t, there, l.asked.Master, "the answer was of an earlier generation")
	require.EqualValues(t, 5, l.memory.Worth.Standing.Generation)
}

func TestRecordThatCannotBeReadIsForgotten(t *testing.T) {
	l := newLooker(t, there).replica()
	l.look()
	require.True(t, l.memory.RecordKnown)
	l.answers.RecordFailed = true
	l.at = l.at.Add(time.Minute)
	require.False(t, l.look().Seen.RecordKnown)
	require.Zero(t, l.memory.Record)
	l.look()
	require.False(t, l.asked.Record, "the next attempt is a second later")
	l.answers.RecordFailed = false
	l.at = l.at.Add(2 * CalmTick)
	o := l.look().Seen
	require.True(t, o.RecordKnown)
	require.Greater(t, o.GenerationFor, time.Minute, "the generation is no younger because it could not be read for a while")
}

// The clock of the pod that has written a fence may be far ahead.
func TestFenceIsAsOldAsItHasBeenSeen(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.answers.Record.Fence = &record.Fence{UID: "uid-a", By: "b", At: l.at.Add(time.Minute)}
	l.memory.ReadAgain()
	require.Zero(t, l.look().Seen.Fence.Age)
	l.at = l.at.Add(record.CarrierPatience + record.Skew)
	plan := l.look()
	require.Greater(t, plan.Seen.Fence.Age, record.CarrierPatience+record.Skew)
	require.False(t, plan.Pause)
}

func TestRecordThatWasWrittenWithTheLabelIsKnownAtTheNextLook(t *testing.T) {
	l := newLooker(t, here).master()
	l.memory.Own = 0
	written := record.Record{Initialised: true, Generation: 5, Master: l.facts.Self.record()}
	l.facts.Written, l.answers.Record = &written, written
	l.look()
	require.EqualValues(t, 5, l.memory.Own)
	older := record.Record{Generation: 4}
	l.facts.Written = &older
	l.look()
	require.EqualValues(t, 5, l.memory.Record.Generation)
}

// A server whose API does not answer joins the master, and never becomes master.
func TestServerAsksTheSentinelServiceWhereThePodListIsMissingForLong(t *testing.T) {
	l := newLooker(t, there)
	l.facts.PodsKnown, l.answers.RecordFailed = false, true
	l.answers.Service = there
	for waited := pace; waited < serviceAfter; waited += pace {
		require.Equal(t, Booting, l.look().State)
		require.False(t, l.asked.Service)
	}
	l.at = l.at.Add(2 * pace)
	plan := l.look()
	require.True(t, l.asked.Service)
	require.Equal(t, StartReplica, plan.Action)
	require.Equal(t, there, plan.Target)
	l.answers.Service = netip.Addr{}
	require.Equal(t, Booting, l.look().State, "nobody says that it is master")
	l.facts.Settings.MasterService = false
	l.look()
	require.False(t, l.asked.Service)
}

func TestMasterWithoutReplicasReadsTheRecordOnceASecond(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.memory.MinReplicas = 1
	l.facts.Own.Online = 0
	read := 0
	for range 3 * time.Second / pace {
		plan := l.look()
		if l.asked.Record {
			read++
		}
		require.True(t, plan.SetMinReplicas, "it may serve alone: the sentinels and the API name it")
		require.Zero(t, plan.MinReplicas)
	}
	require.InDelta(t, 3, read, 1)
	l.memory.MinReplicas = 0
	l.look()
	require.False(t, l.look().SetMinReplicas, "it does")
	l.facts.Own.Online = 1
	require.Equal(t, 1, l.look().MinReplicas)
}

func TestEndOfAProcessIsForgottenOnlyAsFarAsItWasOfTheProcess(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.memory.Claimed = true
	l.memory.ProcessEnded(true, true, l.at)
	require.False(t, l.memory.Claimed, "an election that chooses this pod again says so again")
	require.Equal(t, l.at, l.memory.Died(), "it died as master")
	require.Zero(t, l.memory.Own)
	require.Equal(t, "h", l.memory.ServedHistory, "a successor must have this history")
	require.EqualValues(t, 4, l.memory.Worth.Standing.Generation)
	l.memory.PassedOn()
	l.memory.ProcessEnded(false, false, l.at)
	require.Zero(t, l.memory.Died())
	require.True(t, l.memory.Worth.Standing.Empty)
}

func TestClocksRunFromTheFirstMomentToTheLast(t *testing.T) {
	var s since
	require.Zero(t, s.span(now))
	s.is(true, now)
	s.is(true, now.Add(3*time.Second))
	require.Equal(t, 3*time.Second, s.span(now.Add(3*time.Second)))
	require.True(t, s.within(4*time.Second, now.Add(3*time.Second)))
	s.is(false, now)
	require.Zero(t, s.span(now.Add(time.Second)))
	require.False(t, s.within(time.Hour, now))
}

// Two sentinels do not run. The third answers late, as on a busy node.
func TestSentinelThatIsLateOnceStillKnowsTheMaster(t *testing.T) {
	l := newLooker(t, here).master().settle()
	l.facts.Settings.Sentinels = 3
	l.memory.ProcessEnded(true, true, l.at)
	l.facts.Own = Own{}
	named, late := l.answers.Views[0], View{Reach: Unknown}
	l.answers.Views = []View{{Reach: Refused}, {Reach: Refused}, named}
	require.Equal(t, Discovering, l.look().State)
	for range latePatience / pace {
		l.answers.Views[2] = late
		require.Equal(t, "majority-awaited", l.look().Rule)
	}
	require.Equal(t, Claim, l.look().Action, "nobody knows it any more")
}

func TestLooksOfAFailoverAreRarerWhereThereAreMoreServers(t *testing.T) {
	m := NewMemory(Standing{}, epoch)
	now := epoch.Add(time.Hour)
	require.Equal(t, calmPace, m.Pace(now, 3))
	m.Alert(now)
	require.Equal(t, hurryPace, m.Pace(now, 3))
	require.Equal(t, hurryPace, m.Pace(now, 10))
	require.Equal(t, 125*time.Millisecond, m.Pace(now, 50))
	require.Equal(t, calmPace, m.Pace(now, 200))
}

func TestSettingsReachTheDecision(t *testing.T) {
	l := newLooker(t, there)
	require.False(t, l.memory.Observe(l.facts, l.at).VolumesKept)
	l.facts.Settings.VolumesKept = true
	require.True(t, l.memory.Observe(l.facts, l.at).VolumesKept)
}
