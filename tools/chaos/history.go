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
	w := links{from: from, masters: map[string]mastership{}, followed: map[string]int{}, waiting: map[string]waiting{}}
	for _, e := range history {
		switch {
		case e.Kind != probe.RoleKind:
		case (e.Value == "master" || e.Value == "held") && e.Run == "":
			// Which process answers is not known yet. Its keys may be fewer than when it became
			// master, as clients remove them at the end of a round.
		case (e.Value == "master" || e.Value == "held") && e.Keys >= 0 && w.masters[e.Pod].run != e.Run:
			w.begins(e)
		case e.Value == "slave":
			delete(w.masters, e.Pod)
			w.unlinked(e.Pod)
		case e.Value == "linked":
			delete(w.masters, e.Pod)
			w.linked(e)
		}
	}
	return w.problems
}

// links is what wiped knows of masters and of the replicas that follow them.
type links struct {
	from     time.Time
	number   int
	masters  map[string]mastership
	followed map[string]int     // by replica: the number of the mastership that it was compared with
	waiting  map[string]waiting // by replica
	problems []string
}

// waiting is a replica in sync with a server of which nobody knows yet that it is master: it was promoted a
// moment ago, or was demoted a moment ago and relays what its new master has.
type waiting struct {
	keys   int64
	server string
}

// begins notes a new master, and judges the replicas that were seen to follow it before.
func (w *links) begins(e probe.Entry) {
	w.number++
	w.masters[e.Pod] = mastership{number: w.number, run: e.Run, keys: e.Keys}
	delete(w.waiting, e.Pod)
	for replica, had := range w.waiting {
		if had.server == e.Pod {
			w.judge(replica, e.Pod, had.keys, e.At)
		}
	}
}

// linked notes a replica in sync.
func (w *links) linked(e probe.Entry) {
	had, waits := w.waiting[e.Pod]
	if !waits {
		had.keys = e.KeysInSync
	}
	if _, known := w.masters[e.Master]; known {
		w.judge(e.Pod, e.Master, had.keys, e.At)
		return
	}
	w.waiting[e.Pod] = waiting{had.keys, e.Master}
}

// unlinked notes that a replica is not in sync any more. What it had counts for its next master.
func (w *links) unlinked(replica string) {
	if had, waits := w.waiting[replica]; waits {
		w.waiting[replica] = waiting{keys: had.keys}
	}
}

// judge compares what a replica had with what its master has begun with.
func (w *links) judge(replica, master string, keys int64, at time.Time) {
	m := w.masters[master]
	delete(w.waiting, replica)
	if missing := keys - m.keys; w.followed[replica] != m.number && missing > keysUnconfirmed && at.After(w.from) {
		w.problems = append(w.problems, fmt.Sprintf("%s was in sync with %d keys, and follows %s, which became master with %d keys, from %s",
			replica, keys, master, m.keys, at.Format("15:04:05.000")))
	}
	w.followed[replica] = m.number
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
