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
		"a second one that the API lists":                       {1, append(knowing(2), views("silent")...), 2},
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

// The silent sentinels could replace the master among themselves, whatever number the settings have and the others know.
func TestMasterIsReplaceableByTheSentinelsThatItDoesNotHear(t *testing.T) {
	for name, c := range map[string]struct {
		configured int
		known      []int
		others     string
		cutOff     bool
		unlisted   bool // only those that the API does not list make the difference
	}{
		"one of three silent":                                         {3, []int{3, 3}, "silent", false, false},
		"two of three silent":                                         {3, []int{3}, "silent silent", true, false},
		"two of three dead":                                           {3, []int{3}, "refused refused", false, false},
		"two of three silent, and the settings have five":             {5, []int{3}, "silent silent", true, false},
		"the same, and the fourth and the fifth start":                {5, []int{3}, "silent silent refused refused", true, false},
		"two of four silent, which may not know the fourth":           {5, []int{4, 4}, "silent silent", true, false},
		"two of five silent, and the settings have three":             {3, []int{5, 5, 5}, "silent silent", false, false},
		"three of five silent, and the settings have three":           {3, []int{5, 5}, "silent silent silent", true, false},
		"two of three silent, which may have forgotten two of five":   {3, []int{5}, "silent silent", true, false},
		"two of five that have gone are remembered":                   {3, []int{5, 5, 5}, "", false, false},
		"one of three silent, in an old list of pods: there are five": {3, []int{5, 5}, "silent", false, true},
		"two of three silent, and the third knows nothing":            {5, nil, "silent silent none", true, false},
		"one of three silent, and the others know no master":          {3, nil, "silent none none", false, false},
	} {
		o := Observation{Sentinels: c.configured, Views: append(knowing(c.known...), views(c.others)...)}
		require.Equal(t, c.cutOff, o.CutOff(), name)
		require.Equal(t, c.cutOff || c.unlisted, o.Replaceable(), name)
	}
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

// joiningSentinels are sentinels that join one after the other, while what each knows lags behind. A partition of the network may come in between:
// sentinels with the same side hear of each other.
type joiningSentinels struct {
	side  []int
	knows []map[int]bool // what each knows, with itself
}

// join has another sentinel start on a side, if it must not wait there.
func (w *joiningSentinels) join(side int, late bool) {
	id, next := func(i int) string { return fmt.Sprint(i) }, len(w.side)
	j, known := Joining{ID: id(next)}, map[int]bool{next: true}
	for i, knows := range w.knows {
		known[i] = true // by the slots, which it reads in the API
		if w.side[i] != side {
			continue
		}
		list := []string{id(i)}
		for k := range knows {
			if k != i {
				list = append(list, id(k))
			}
		}
		j.Before, j.Knows = append(j.Before, id(i)), append(j.Knows, list)
	}
	if !j.Waits(late) {
		w.side, w.knows = append(w.side, side), append(w.knows, known)
	}
}

// elects says whether a side elects a launcher with the most careless settings, or one of its sentinels.
func (w *joiningSentinels) elects(side int) bool {
	var known []int
	sentinel := false
	for i, knows := range w.knows {
		if w.side[i] != side {
			continue
		}
		known = append(known, len(knows))
		votes := 0
		for k := range knows {
			if w.side[k] == side {
				votes++
			}
		}
		sentinel = sentinel || votes >= majorityOf(len(knows))
	}
	return sentinel || len(known) >= majorityOf(Electorate(3, knowing(known...)))
}

// Two launchers with different settings ask different sentinels, and two sentinels count by what they know: not both sides of a partition can have
// a majority, whenever it comes while sentinels join.
func TestPropertyTwoSidesOfAPartitionNeverHaveAMajorityEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &joiningSentinels{}
		for range 3 {
			w.side, w.knows = append(w.side, 0), append(w.knows, map[int]bool{0: true, 1: true, 2: true})
		}
		divided := false
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"join", "hello", "hello", "hello", "divide"}).Draw(t, "step") {
			case "join": // those that hear of each other never wait for so long that they are late
				if len(w.side) < 7 {
					w.join(rapid.IntRange(0, 1).Draw(t, "side")*map[bool]int{true: 1}[divided], divided && rapid.Bool().Draw(t, "late"))
				}
			case "hello": // one hears of another
				a, b := rapid.IntRange(0, len(w.side)-1).Draw(t, "hears"), rapid.IntRange(0, len(w.side)-1).Draw(t, "of")
				if w.side[a] == w.side[b] {
					w.knows[a][b] = true
				}
			case "divide":
				if !divided {
					for i := range w.side {
						w.side[i] = rapid.IntRange(0, 1).Draw(t, "side of a sentinel")
					}
					divided = true
				}
			}
		}
		require.False(t, divided && w.elects(0) && w.elects(1), "both sides of %v are elected: %v", w.side, w.knows)
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
		"one that some have forgotten, and nothing else is new": {Joining{ID: "d", Before: []string{"a", "b", "c"}, Knows: [][]string{
			{"a", "b", "c"}, {"b", "c", "a", "d", "e"}, {"c", "a", "b", "d", "e"},
		}}, false},
		"one that some have forgotten, after one with a lower slot": {Joining{ID: "e", Before: []string{"a", "b", "c", "d"}, Knows: [][]string{
			{"a", "b", "c"}, {"b", "c", "a", "d", "e"}, {"c", "a", "b", "d", "e"},
		}}, true},
		"the fourth, while one of three answers":  {Joining{ID: "d", Before: []string{"a", "b", "c"}, Knows: [][]string{{"c", "a", "b"}}}, true},
		"a sentinel before it is dead, and known": {Joining{ID: "d", Before: []string{"a", "b", "c"}, Knows: [][]string{{"a", "b", "c"}, {"b", "a", "c"}}}, false},
	} {
		require.Equal(t, c.waits, c.joining.Waits(false), name)
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
