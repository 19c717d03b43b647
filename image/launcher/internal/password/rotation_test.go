package password

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

const grace = 10 * time.Minute

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// settled is the state of a pod of a release that has had a password for long.
func settled(password string) State {
	s := begun(password, noon.Add(-time.Hour))
	s.New = false
	return s
}

// both accepts the new and the old password, fresh the new one alone, and late the old one alone.
func both(pod string) Node  { return Node{Pod: pod, Answered: true, Wanted: true, Used: true} }
func fresh(pod string) Node { return Node{Pod: pod, Answered: true, Wanted: true} }
func late(pod string) Node  { return Node{Pod: pod, Answered: true, Used: true} }

func TestPasswordIsAcceptedThenUsedThenTheOldOneGoes(t *testing.T) {
	s := settled("old").taken("new", noon)
	require.Equal(t, []string{"resetpass", "#" + sum("new"), "#" + sum("old")}, s.accepted())
	require.Equal(t, "old", s.Used)
	require.Equal(t, []string{"old", "new"}, s.candidates())

	for range 3 { // it never uses a password that a pod refuses, however long that takes
		next, waits := s.step([]Node{both("a"), late("b")}, grace, noon.Add(time.Hour))
		require.Equal(t, s, next)
		require.Equal(t, "not all pods have read the new password: b", waits)
	}
	s, waits := s.step([]Node{both("a"), both("b")}, grace, noon.Add(time.Minute))
	require.Empty(t, waits)
	require.Equal(t, "new", s.Used)
	require.Equal(t, []string{"new", "old"}, s.candidates())
	require.False(t, s.asks(grace, noon.Add(grace)), "nobody is asked in the grace period")

	almost, _ := s.step(nil, grace, noon.Add(time.Minute+grace-time.Second))
	require.Equal(t, s, almost)
	end := noon.Add(time.Minute + grace)
	require.True(t, s.asks(grace, end))
	s, _ = s.step([]Node{both("a"), both("b")}, grace, end)
	require.Equal(t, []string{"resetpass", "#" + sum("new")}, s.accepted())
	require.Equal(t, []string{"new"}, s.candidates())
	require.False(t, s.asks(grace, end))
}

func TestSilentPodIsWaitedForUntilItsSecretIsRefreshed(t *testing.T) {
	s := settled("old").taken("new", noon)
	nodes := []Node{both("a"), {Pod: "b"}}
	next, waits := s.step(nodes, grace, noon.Add(settings.SettleTime-time.Second))
	require.Equal(t, "old", next.Used)
	require.Equal(t, "pods that do not answer have until 12:02:00 UTC to read the new password: b", waits)
	next, _ = s.step(nodes, grace, noon.Add(settings.SettleTime))
	require.Equal(t, "new", next.Used)
}

func TestPasswordThatTheOthersHaveDroppedIsNotUsedAnyMore(t *testing.T) {
	s, _ := settled("old").taken("new", noon).step([]Node{fresh("a"), fresh("b"), late("c")}, grace, noon)
	require.Equal(t, "new", s.Used)
}

// A pod may start with the new password alone, where the kubelets of the others are late. A sentinel that used the new password then would find a
// master down that has not read it.
func TestOnePodThatRefusesTheOldPasswordDoesNotMakeTheOthersUseTheNewOne(t *testing.T) {
	s := settled("old").taken("new", noon)
	for _, nodes := range [][]Node{{fresh("a"), late("b")}, {fresh("a"), late("b"), late("c"), both("d")}} {
		next, waits := s.step(nodes, grace, noon.Add(time.Hour))
		require.Equal(t, s, next)
		require.Contains(t, waits, "not all pods have read the new password: b")
	}
	s, _ = s.step([]Node{fresh("a"), both("b")}, grace, noon)
	require.Equal(t, "new", s.Used)
}

// A master that hands over must be reached until it has ended.
func TestPodThatEndsCountsWhileItAnswers(t *testing.T) {
	s := settled("old").taken("new", noon)
	leaving := late("b")
	leaving.Leaving = true
	next, waits := s.step([]Node{both("a"), leaving}, grace, noon)
	require.Equal(t, s, next)
	require.Contains(t, waits, "b")
	s, _ = s.step([]Node{both("a"), {Pod: "b", Leaving: true}}, grace, noon)
	require.Equal(t, "new", s.Used, "the change goes on without a silent pod that ends")
}

// The launcher forgets the old password. A Redis that stood still, and knows nothing else, would refuse its own launcher.
func TestOldPasswordStaysUntilTheOwnRedisKnowsTheNewOne(t *testing.T) {
	s, _ := settled("old").taken("new", noon).step([]Node{both("a")}, grace, noon)
	end := noon.Add(grace)
	next, waits := s.step([]Node{{Pod: "a", Own: true}, both("b")}, grace, end)
	require.Equal(t, s, next)
	require.Contains(t, waits, "this pod answers: a")
	for _, own := range []Node{{Pod: "a", Own: true, Down: true}, {Pod: "a", Own: true, Answered: true, Wanted: true}} {
		next, _ = s.step([]Node{own, {Pod: "b"}}, grace, end)
		require.Empty(t, next.Old)
	}
}

func TestClockThatWasAheadProlongsNothing(t *testing.T) {
	s, _ := settled("old").taken("new", noon.Add(24*time.Hour)).step([]Node{both("a")}, grace, noon.Add(24*time.Hour))
	s = s.past(noon)
	require.Equal(t, noon.Add(grace), s.Old[0].ends(grace))
	require.Equal(t, noon, s.Read)
	require.Equal(t, s, s.past(noon.Add(time.Minute)))
}

func TestOldPasswordStaysWhileAPodRefusesTheNewOne(t *testing.T) {
	s, _ := settled("old").taken("new", noon).step([]Node{both("a")}, grace, noon)
	next, waits := s.step([]Node{both("a"), late("b")}, grace, noon.Add(2*grace))
	require.Equal(t, s, next)
	require.Contains(t, waits, "b")
	next, _ = s.step([]Node{both("a"), {Pod: "b"}}, grace, noon.Add(2*grace))
	require.Empty(t, next.Old, "the change goes on without a silent pod")
}

func TestSecondChangeKeepsBothEarlierPasswords(t *testing.T) {
	s := settled("a").taken("b", noon).taken("c", noon.Add(time.Minute))
	require.Equal(t, []string{"resetpass", "#" + sum("c"), "#" + sum("a"), "#" + sum("b")}, s.accepted())
	require.Equal(t, []string{"a", "c", "b"}, s.candidates())
	require.Equal(t, []string{"resetpass", "#" + sum("a"), "#" + sum("b"), "#" + sum("c")}, s.taken("a", noon).accepted(), "the change is undone")
}

// Somebody may change the password more often than the grace period ends.
func TestEachPasswordEndsAfterItsOwnGracePeriod(t *testing.T) {
	s, now := settled("0"), noon
	for number := range 10 {
		now = now.Add(grace / 2)
		s, _ = s.taken(fmt.Sprint(number+1), now).step([]Node{both("a")}, grace, now)
		s, _ = s.step([]Node{both("a")}, grace, now)
		require.Equal(t, s.Wanted, s.Used)
		require.LessOrEqual(t, len(s.Old), 2, "the earlier ones have ended")
	}
	told := s.tells(grace, "")
	require.Equal(t, []time.Time{now.Add(grace / 2), now.Add(grace)}, told.Ends)
	require.Equal(t, now.Add(grace), told.Until)

	next := begun("10", now) // and a pod that starts drops each of them with the others
	knows := fresh("a")
	knows.Accepts = learnable([]string{sum("10"), sum("8"), sum("9")}, next, *told)
	next, _ = next.step([]Node{knows}, grace, now)
	next, _ = next.step([]Node{fresh("a")}, grace, now.Add(grace/2))
	require.Equal(t, []string{"resetpass", "#" + sum("10"), "#" + sum("9")}, next.accepted())
	for _, o := range learnable([]string{sum("9"), sum("10")}, next, *told) {
		require.Equal(t, told.Until, o.Until, "the passwords have just changed")
	}
}

func TestUndoneChangeCountsAtOnceWhereTheFirstPasswordIsInUse(t *testing.T) {
	s := settled("a").taken("b", noon).taken("a", noon.Add(time.Minute))
	require.Equal(t, s.Wanted, s.Used)
	require.Len(t, s.Old, 1)
	require.Equal(t, noon.Add(time.Minute+grace), s.Old[0].ends(grace), "the other one has its grace period")
}

func TestWithoutAPasswordEverybodyIsLetInUntilTheGracePeriodIsOver(t *testing.T) {
	s := settled("").taken("new", noon)
	require.Equal(t, []string{"nopass"}, s.accepted())
	require.Equal(t, []string{"", "new"}, s.candidates())
	s, _ = s.step([]Node{both("a")}, grace, noon)
	require.Equal(t, "new", s.Used)
	unaware := both("b")
	unaware.Unaware = true
	next, waits := s.step([]Node{both("a"), unaware}, grace, noon.Add(grace))
	require.Equal(t, s, next)
	require.Contains(t, waits, "b")
	s, _ = s.step([]Node{both("a"), both("b")}, grace, noon.Add(grace))
	require.Equal(t, []string{"resetpass", "#" + sum("new")}, s.accepted())

	off := s.taken("", noon.Add(2*grace))
	require.Equal(t, []string{"nopass"}, off.accepted())
	off, _ = off.step([]Node{late("a")}, grace, noon.Add(2*grace))
	require.Equal(t, "new", off.Used, "a pod still asks for it")
}

func TestNewPodLearnsWhatTheOthersAccept(t *testing.T) {
	s := begun("new", noon)
	require.True(t, s.asks(grace, noon))
	next, waits := s.step([]Node{{Pod: "a", Answered: true}}, grace, noon)
	require.True(t, next.New)
	require.Contains(t, waits, "others have read the password that is in its Secret: a")
	alone, waits := s.step([]Node{{Pod: "a", Answered: true}}, grace, noon.Add(settings.SettleTime))
	require.True(t, alone.Alone, "it does not wait for ever")
	require.Contains(t, waits, "others refuse the password that is in its Secret: a")
	another, _ := alone.step([]Node{{Pod: "a", Answered: true}, fresh("b")}, grace, noon.Add(time.Hour))
	require.True(t, another.Alone, "another new pod does not speak for the others")
	knew := fresh("a")
	knew.Accepts = []old{{Sum: sum("new")}, {Sum: sum("old")}}
	alone, _ = alone.step([]Node{knew}, grace, noon.Add(time.Hour))
	require.Equal(t, []string{"resetpass", "#" + sum("new"), "#" + sum("old")}, alone.accepted(), "it learns when others have read the new one")
	require.False(t, alone.New || alone.Alone)
	require.Equal(t, noon.Add(time.Hour+grace), alone.Old[0].ends(grace))

	knows := fresh("a")
	knows.Accepts = []old{{Sum: sum("new")}, {Sum: sum("old"), Until: noon.Add(time.Minute)}}
	s, _ = s.step([]Node{knows, {Pod: "b"}}, grace, noon)
	require.Equal(t, []string{"resetpass", "#" + sum("new"), "#" + sum("old")}, s.accepted())
	require.Equal(t, []string{"new"}, s.candidates())
	require.Equal(t, noon.Add(time.Minute), s.Old[0].ends(grace), "when the others drop it")

	lone := begun("new", noon)
	lone, _ = lone.step(nil, grace, noon)
	require.False(t, lone.New)
	silent := begun("new", noon)
	silent, _ = silent.step([]Node{{Pod: "b"}}, grace, noon)
	require.True(t, silent.New)
	require.False(t, silent.Alone)
	unheard, _ := silent.step([]Node{{Pod: "b"}}, grace, noon.Add(silence))
	require.True(t, unheard.Alone && unheard.New, "it starts, and learns later")
	silent, _ = silent.step([]Node{{Pod: "b", Down: true}}, grace, noon)
	require.False(t, silent.New, "nothing listens there yet: the release starts")
	without, waits := begun("", noon).step([]Node{{Pod: "a", Answered: true}}, grace, noon)
	require.True(t, without.New, "the others still ask for a password")
	require.Contains(t, waits, "a")
}

func TestNobodyIsToldAPassword(t *testing.T) {
	s := settled("the old one").taken("the new one", noon)
	told, err := json.Marshal(s.tells(grace, "waits"))
	require.NoError(t, err)
	text := string(told) + s.String() + fmt.Sprintf("%v", s)
	for _, password := range []string{"the old one", "the new one"} {
		require.NotContains(t, text, password)
		require.NotContains(t, text, sum(password)[:8])
	}
	require.True(t, s.tells(grace, "").Asked)
	require.Equal(t, 1, s.tells(grace, "").Earlier)
}

// pod is one pod of a release in which a password changes.
type pod struct {
	state State
	reads time.Duration // when its kubelet refreshes the Secret
}

func (p pod) accepts(password string) bool {
	rules := p.state.accepted()
	for _, rule := range rules {
		if rule == "nopass" || rule == "#"+sum(password) {
			return true
		}
	}
	return false
}

// Every pod must always be let in by every other pod, whatever the order in which kubelets refresh Secrets, launchers take steps and pods are
// replaced. A pod that has only the new password is let in later by pods whose kubelets are late. Clients with the old password must be let in until the grace period is over.
func TestPodsAlwaysAcceptEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		passwords := rapid.SampledFrom([][2]string{{"old", "new"}, {"", "new"}, {"old", ""}}).Draw(t, "passwords")
		pods := make([]*pod, rapid.IntRange(2, 6).Draw(t, "pods"))
		seconds := func(label string) time.Duration {
			return time.Duration(rapid.IntRange(0, int(2*settings.SettleTime/time.Second)).Draw(t, label)) * time.Second // some kubelets are late
		}
		for i := range pods {
			pods[i] = &pod{state: settled(passwords[0]), reads: seconds("reads")}
		}
		replaced, at := rapid.IntRange(0, len(pods)-1).Draw(t, "replaced"), seconds("at")
		var used time.Duration
		for passed := time.Duration(0); passed < 2*settings.SettleTime+2*grace; passed += 5 * time.Second {
			now := noon.Add(passed)
			if passed/(5*time.Second) == at/(5*time.Second) {
				pods[replaced] = &pod{state: begun(passwords[1], now)}
			}
			for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5}[:len(pods)]).Draw(t, "order") {
				p := pods[i]
				if passed >= p.reads {
					p.state = p.state.taken(passwords[1], now)
				}
				if !p.state.asks(grace, now) || rapid.IntRange(0, 2).Draw(t, "busy") == 0 {
					continue
				}
				var nodes []Node
				for j, other := range pods {
					if j == i && p.state.New || other.state.New && !other.state.Alone && j != i {
						continue // nothing listens there
					}
					n := Node{Pod: fmt.Sprint(j), Answered: true, Wanted: other.accepts(p.state.Wanted), Used: other.accepts(p.state.Used)}
					n.Unaware = p.state.acceptsAll() && other.state.Wanted == ""
					sums := []string{sum(other.state.Wanted)}
					for _, o := range other.state.Old {
						sums = append(sums, o.Sum)
					}
					n.Accepts = learnable(sums, p.state, *other.state.tells(grace, ""))
					nodes = append(nodes, n)
				}
				p.state, _ = p.state.step(nodes, grace, now)
			}
			for i, p := range pods {
				if p.state.Wanted != p.state.Used {
					used = passed
				}
				for j, other := range pods {
					if i == j || p.state.New || other.state.New || i == replaced && passed < other.reads {
						continue
					}
					if !other.accepts(p.state.Used) {
						t.Fatalf("after %v pod %d refuses pod %d", passed, j, i)
					}
				}
				if !p.state.New && passwords[0] != "" && passed < grace && !p.accepts(passwords[0]) {
					t.Fatalf("after %v pod %d refuses clients with the old password", passed, i)
				}
			}
		}
		for i, p := range pods {
			if p.state.Used != passwords[1] || len(p.state.Old) > 0 || p.state.New {
				t.Fatalf("pod %d has not come to the end: %v, used since %v", i, p.state, used)
			}
		}
	})
}
