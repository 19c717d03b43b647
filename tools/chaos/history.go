package main

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// skew is how long two pods may seem to be labelled masters at once: what the
// API and the servers say reaches the observer at different times.
const skew = 700 * time.Millisecond

// keysUnconfirmed is how many keys a replica in sync may have that its next master
// lacks: what the two clients wrote in the moment in which their master died.
const keysUnconfirmed = 20

// mastership is the time in which one process was master.
type mastership struct {
	number int
	run    string
	keys   int64 // when it began
}

// wiped looks for replicas that were in sync, and then followed a master that had begun with
// fewer keys: they lost what they had more. The history begins when the observer does; what
// was before from is left out. Until they read back, clients only add keys.
func wiped(history []probe.Entry, from time.Time) []string {
	masters, followed, relayed := map[string]mastership{}, map[string]int{}, map[string]int64{}
	number := 0
	var problems []string
	for _, e := range history {
		switch {
		case e.Kind != probe.RoleKind:
		case (e.Value == "master" || e.Value == "held") && e.Run == "":
			// Which process answers is not known yet. Its keys may be fewer than when it became
			// master, as clients remove them at the end of a round.
		case (e.Value == "master" || e.Value == "held") && e.Keys >= 0 && masters[e.Pod].run != e.Run:
			number++
			masters[e.Pod] = mastership{number: number, run: e.Run, keys: e.Keys}
			delete(relayed, e.Pod)
		case e.Value == "slave":
			delete(masters, e.Pod)
		case e.Value == "linked":
			delete(masters, e.Pod)
			m, known := masters[e.Master]
			keys, relay := relayed[e.Pod]
			if !relay {
				keys = e.KeysInSync
			}
			if !known {
				relayed[e.Pod] = keys // that server has just been demoted, and may relay what its new master has
				continue
			}
			delete(relayed, e.Pod)
			if missing := keys - m.keys; followed[e.Pod] != m.number && missing > keysUnconfirmed && e.At.After(from) {
				problems = append(problems, fmt.Sprintf("%s was in sync with %d keys, and follows %s, which became master with %d keys, from %s",
					e.Pod, keys, e.Master, m.keys, e.At.Format("15:04:05.000")))
			}
			followed[e.Pod] = m.number
		}
	}
	return problems
}

// struck counts the servers that a round has struck.
type struck struct {
	of     int // servers of a complete release
	struck int // that have not answered for a while, or whose Redis or pod has ended
	gone   int // whose pods are gone, and their volumes with them
}

// struckServers counts the servers that were silenced, or whose Redis or pod has ended, since a
// moment. The history begins when the observer does. prefix is that of the names of servers.
func struckServers(history []probe.Entry, from time.Time, prefix string, of int, silenced map[string]bool) struck {
	before, run, gone, all := map[string]bool{}, map[string]string{}, map[string]bool{}, maps.Clone(silenced)
	if all == nil {
		all = map[string]bool{}
	}
	for _, e := range history {
		before[e.Pod] = before[e.Pod] || !e.At.After(from)
		known := run[e.Pod]
		switch {
		case !strings.HasPrefix(e.Pod, prefix) || !before[e.Pod]: // a new server has had nothing yet
		case e.Kind == probe.PodKind && e.Value == "gone" && e.At.After(from):
			gone[e.Pod], all[e.Pod] = true, true
		case e.Kind == probe.RoleKind && e.Run != "":
			if run[e.Pod] = e.Run; known != "" && known != e.Run && e.At.After(from) {
				all[e.Pod] = true
			}
		}
	}
	return struck{of: of, struck: len(all), gone: len(gone)}
}

// twoMasters looks for times in which two pods were masters that accept writes
// and labelled so, longer than the observer can be wrong. The history begins
// when the observer does; what had ended before from is left out.
func twoMasters(history []probe.Entry, from, until time.Time) []string {
	role, label := map[string]bool{}, map[string]bool{}
	var since time.Time
	var problems []string
	end := func(at time.Time) {
		if !since.IsZero() && at.Sub(since) > skew && at.After(from) {
			problems = append(problems, fmt.Sprintf("two pods labelled master accepted writes for %s, from %s", at.Sub(since).Round(time.Millisecond), since.Format("15:04:05.000")))
		}
		since = time.Time{}
	}
	for _, e := range history {
		switch {
		case e.Kind == probe.RoleKind:
			role[e.Pod] = e.Value == "master"
		case e.Kind == probe.LabelKind:
			label[e.Pod] = e.Value == "master"
		case e.Kind == probe.PodKind && e.Value == "gone":
			role[e.Pod], label[e.Pod] = false, false
		}
		both := 0
		for pod, is := range role {
			if is && label[pod] {
				both++
			}
		}
		switch {
		case both > 1 && since.IsZero():
			since = e.At
		case both < 2:
			end(e.At)
		}
	}
	end(until)
	return problems
}
