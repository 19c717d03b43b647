package main

import (
	"fmt"
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

// wiped looks for replicas that were in sync, and have been given the data of a master
// with fewer keys. While clients write, and until they read back, keys only become more.
func wiped(history []probe.Entry) []string {
	var problems []string
	for _, e := range history {
		if e.Kind == probe.KeysKind && e.Missing > keysUnconfirmed {
			problems = append(problems, fmt.Sprintf("%s was in sync, and is again with %d keys less, at %s", e.Pod, e.Missing, e.At.Format("15:04:05.000")))
		}
	}
	return problems
}

// goneServers counts the servers whose pods are gone, and their volumes with them. prefix is
// that of the names of servers.
func goneServers(history []probe.Entry, prefix string) int {
	gone := 0
	for _, e := range history {
		if e.Kind == probe.PodKind && e.Value == "gone" && strings.HasPrefix(e.Pod, prefix) {
			gone++
		}
	}
	return gone
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
