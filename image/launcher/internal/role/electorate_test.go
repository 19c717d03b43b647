package role

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// knowing are the views of sentinels that answer, name the master a and know so many sentinels each.
func knowing(known ...int) (out []View) {
	for _, n := range known {
		v := views("a")[0]
		v.Known = n
		out = append(out, v)
	}
	return out
}

func TestElectorateIsTheLargestNumberThatAnybodyTells(t *testing.T) {
	for name, c := range map[string]struct {
		configured int
		views      []View
		want       int
	}{
		"the settings, while sentinels are missing":             {5, knowing(3, 3, 3), 5},
		"what one sentinel knows, before the settings are read": {3, knowing(3, 4, 3), 4},
		"those that answer, before they know each other":        {3, knowing(1, 1, 1, 1), 4},
		"those that have gone and are remembered":               {3, knowing(5, 5, 5), 5},
		"a single sentinel":                                     {1, knowing(1), 1},
		"a single sentinel that was told of a master":           {1, knowing(2), 1},
		"the last of three":                                     {1, knowing(3), 3},
		"nobody answers":                                        {3, views("silent refused none"), 3},
	} {
		require.Equal(t, c.want, Electorate(c.configured, c.views), name)
	}
}

// What a sentinel remembers of one that has gone does not keep the others from agreeing on a master. Pods that the API lists count.
func TestMajorityThatNamesAMasterIsOfTheSentinelsThatExist(t *testing.T) {
	gone := Observation{Sentinels: 3, Views: append(knowing(5, 5), views("silent")...)}
	named, ok := gone.Agreed()
	require.True(t, ok)
	require.Equal(t, address("a"), named)
	unread := Observation{Sentinels: 3, Views: append(knowing(5, 5), views("silent silent silent")...)}
	_, ok = unread.Agreed()
	require.False(t, ok, "2 of 5, by a launcher that has not read the number 5 yet")
	require.True(t, unread.CutOff())
}

// A launcher that has not read that there are five sentinels is not elected by two of them.
func TestVotesOfTwoAreNoMajorityOfFiveWhateverTheSettingsSay(t *testing.T) {
	vote := sentinel.Vote{Leader: "this", Epoch: 1}
	campaign := NewCampaign("this", 3, knowing(5, 5))
	_, _ = campaign.Next()
	require.False(t, campaign.Won([]sentinel.Vote{vote, vote}))
	campaign = NewCampaign("this", 3, knowing(5, 5, 5))
	_, _ = campaign.Next()
	require.True(t, campaign.Won([]sentinel.Vote{vote, vote, vote}))
}

// sentinels that join and go, one at a time or several, while what each knows lags behind.
type changingSentinels struct {
	running map[int]map[int]bool // what each running sentinel knows, with itself
}

// Two launchers with different settings ask different sentinels: not both can have a majority, whatever happens to the number of sentinels.
func TestPropertyTwoElectoratesNeverHaveDisjointMajorities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(i int) string { return fmt.Sprint(i) }
		w := changingSentinels{running: map[int]map[int]bool{}}
		for i := range 3 {
			w.running[i] = map[int]bool{0: true, 1: true, 2: true}
		}
		next := 3
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"join", "hello", "hello"}).Draw(t, "step") {
			case "join": // it sees all that run
				if next >= 7 {
					continue
				}
				j := Joining{ID: id(next)}
				for i, knows := range w.running {
					list := []string{id(i)}
					for k := range knows {
						if k != i {
							list = append(list, id(k))
						}
					}
					j.Knows = append(j.Knows, list)
				}
				if j.Waits() {
					continue
				}
				known := map[int]bool{next: true}
				for i := range w.running {
					known[i] = true
				}
				w.running[next] = known
				next++
			case "hello": // one hears of another
				a, b := rapid.IntRange(0, next-1).Draw(t, "hears"), rapid.IntRange(0, next-1).Draw(t, "of")
				w.running[a][b] = true
			}
		}
		for sides := range 1 << next {
			var groups [2][]View
			for i := range next {
				groups[sides>>i&1] = append(groups[sides>>i&1], knowing(len(w.running[i]))...)
			}
			elected := func(group []View) bool { // by the most careless settings
				return len(group) >= majorityOf(Electorate(3, group))
			}
			require.False(t, elected(groups[0]) && elected(groups[1]), "both sides of %v are elected: %b", w.running, sides)
		}
	})
}

func TestSentinelsJoinOneAtATime(t *testing.T) {
	abc := [][]string{{"a", "b", "c"}, {"b", "c", "a"}, {"c", "a", "b"}}
	for name, c := range map[string]struct {
		joining Joining
		waits   bool
	}{
		"the first of a release":                        {Joining{ID: "a"}, false},
		"the second, which nobody could know":           {Joining{ID: "b", Before: []string{"a"}, Knows: [][]string{{"a"}}}, false},
		"the third, while the first two are strangers":  {Joining{ID: "c", Before: []string{"a", "b"}, Knows: [][]string{{"a"}, {"b", "a"}}}, true},
		"the third, when the first two know each other": {Joining{ID: "c", Before: []string{"a", "b"}, Knows: [][]string{{"a", "b"}, {"b", "a"}}}, false},
		"one that comes back":                           {Joining{ID: "c", Before: []string{"a", "b"}, Knows: [][]string{{"a", "c"}, {"b", "c"}}}, false},
		"the fourth":                                    {Joining{ID: "d", Before: []string{"a", "b", "c"}, Knows: abc}, false},
		"the fifth, before the fourth runs":             {Joining{ID: "e", Before: []string{"a", "b", "c", "d"}, Knows: abc}, true},
		"the fifth, before the fourth is known":         {Joining{ID: "e", Before: []string{"d"}, Knows: append(abc[:3:3], []string{"d", "a", "b", "c"})}, true},
		"the fifth, when the fourth is known": {Joining{ID: "e", Before: []string{"d"}, Knows: [][]string{
			{"a", "b", "c", "d"}, {"b", "a", "c", "d"}, {"c", "a", "b", "d"}, {"d", "a", "b", "c"},
		}}, false},
		"a sentinel before it is dead, and known": {Joining{ID: "d", Before: []string{"a", "b", "c"}, Knows: [][]string{{"a", "b", "c"}, {"b", "a", "c"}}}, false},
	} {
		require.Equal(t, c.waits, c.joining.Waits(), name)
	}
}

// All sentinels that the API lists must answer, whatever number the settings have.
func TestPromotionIsCalledOffByAllSentinelsThatThereAre(t *testing.T) {
	o := Observation{Sentinels: 3, MasterUID: "uid-b", Peers: []Peer{{Member: Member{UID: "uid-b"}, Redis: Answered, Master: true}}}
	o.Views = append(knowing(5, 5, 5), views("silent silent")...)
	require.Nil(t, o.calledOff(), "two do not answer")
	o.Views = knowing(5, 5, 5, 5, 5)
	require.NotNil(t, o.calledOff(), "five answer, and the settings have three")
}

func TestSentinelThatMustNotJoinYetDoesNotStart(t *testing.T) {
	o := watch("stopped", "a a a")
	require.Equal(t, "start-with-others", DecideSentinel(o).Rule)
	o.Joining = true
	d := DecideSentinel(o)
	require.Equal(t, "start-waits-to-join", d.Rule)
	require.Equal(t, SentinelWait, d.Action)
}
