package role

import (
	"cmp"
	"slices"
)

// The number of sentinels changes while a release runs, and launchers read a change up to two minutes apart. What a majority is must not
// depend on who has read it: with majorities of 3 and of 5 at the same time, two disjoint groups could each replace the master. So each
// launcher goes by the largest number that anybody tells: its settings, the sentinels that it sees, and what the sentinels know.

// majorityOf is the number of sentinels that is more than half of some.
func majorityOf(sentinels int) int { return sentinels/2 + 1 }

// Electorate is of how many sentinels a majority must vote for a launcher, and consent to what it does. configured is their number in the
// settings. A sentinel votes with, and counts, all sentinels that it knows, also those that have gone and those that this launcher cannot
// see. A launcher asks for no smaller majority than Sentinel does itself.
//
// Any two majorities have a sentinel in common then: sentinels join one at a time (see Joining), so a sentinel that is left out knows at
// most one sentinel fewer than there are, and a majority of n and one of n+1 overlap.
func Electorate(configured int, views []View) int {
	known := mostKnown(views)
	if configured == 1 && known == 2 && len(views) == 1 {
		// A single sentinel was told of a new master in the name of a second one that does not exist, and is forgetting it. See docs/adr/0034.
		// Where the API lists a second sentinel, that one exists, and the settings may be old.
		known = 1
	}
	return max(configured, answering(views), known)
}

// sentinels is of how many sentinels a majority must name a master. Of what the sentinels know, only pods count that the API lists: a sentinel
// that remembers one that has gone must not keep the others from agreeing.
func (o Observation) sentinels() int {
	return max(o.Sentinels, answering(o.Views), min(mostKnown(o.Views), len(o.Views)))
}

func (o Observation) majority() int { return majorityOf(o.sentinels()) }

// replaceable says whether sentinels that do not answer could elect one of them, so that a master would not know of its successor. unlisted is
// how many sentinels may exist beside those that the API lists.
func (o Observation) replaceable(unlisted int) bool {
	_, silent := o.memory()
	known := cmp.Or(mostKnown(o.Views), o.Sentinels)
	return answering(o.Views) < majorityOf(known) && silent+unlisted >= majorityOf(o.fewest())
}

// fewest is the smallest number of sentinels that a sentinel may know which does not answer. Sentinels join one at a time, so it knows one fewer
// than those that answer, or more. Sentinels that have gone, which the API does not list, may be forgotten already. The settings alone do not
// tell: they have a new number before there are so many sentinels.
func (o Observation) fewest() int {
	if known := mostKnown(o.Views); known > 0 {
		return min(known-1, len(o.Views))
	}
	return min(o.Sentinels, len(o.Views))
}

// answering counts the sentinels that answer and name a master.
func answering(views []View) (n int) {
	for _, v := range views {
		if v.Reach == Answered && v.HasMaster {
			n++
		}
	}
	return n
}

// mostKnown is the largest number of sentinels that a sentinel knows, with itself.
func mostKnown(views []View) (n int) {
	for _, v := range views {
		n = max(n, v.Known)
	}
	return n
}

// Joining is what a sentinel that starts finds among the others.
type Joining struct {
	ID     string   // its own
	Before []string // the IDs of the sentinels that hold a lower slot, whether they run or not
	// Knows are the IDs that each sentinel that answers and names a master knows, with its own.
	Knows [][]string
}

// Waits says whether a sentinel must not join the others yet. Sentinels join one at a time: each must be known to all that answer before the
// next one comes, and the lowest slot comes first. A sentinel that comes back with an identity that all know is none that joins. The first
// sentinels of a release, which nobody could know, do not wait.
//
// While so many do not answer, or do not know all that answer, that they could elect one of them by themselves, it waits without an end: they may be on the
// other side of a partition of the network, and know fewer. late: it has waited for everything else for long enough.
func (j Joining) Waits(late bool) bool {
	if len(j.Knows) == 0 || j.knownBy(j.ID) == len(j.Knows) {
		return false
	}
	all, ready := j.ready()
	return all-ready >= majorityOf(all-1) || !late && j.strangers()
}

// strangers says whether the sentinels that answer do not know each other, or do not know one that comes before this one.
func (j Joining) strangers() bool {
	for _, known := range j.Knows { // the first is the sentinel itself
		if j.knownBy(known[0]) < len(j.Knows) {
			return true
		}
	}
	return slices.ContainsFunc(j.Before, func(id string) bool { return j.knownBy(id) < len(j.Knows) })
}

// knownBy counts the sentinels that answer and know another sentinel.
func (j Joining) knownBy(id string) (n int) {
	for _, known := range j.Knows {
		if slices.Contains(known, id) {
			n++
		}
	}
	return n
}

// ready counts all sentinels that anybody knows, and those that answer and know all that answer. The sentinel itself does not count.
func (j Joining) ready() (all, ready int) {
	var ids []string
	for _, id := range slices.Concat(j.Knows...) {
		if id != j.ID && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, known := range j.Knows {
		if !slices.ContainsFunc(j.Knows, func(other []string) bool { return !slices.Contains(known, other[0]) }) {
			ready++
		}
	}
	return len(ids), ready
}
