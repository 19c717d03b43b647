package role

import "time"

// brokenAfter is how many processes in a row may end before they have loaded a server's own data until these count as broken. A
// replica puts them aside: its master has them all. In an election any other data come first, but these still before none. A
// process that ends later, however often, says nothing about the data.
const brokenAfter = 4

// Restarts counts the ends of a process that nobody has ordered, and says when it starts again.
type Restarts struct {
	Started  time.Time // the last start; zero: there was none
	Crashes  int       // starts that ended too soon, in a row
	Unloaded int       // processes that ended before they had loaded their data, in a row
}

// Due says whether the process may start now.
func (r Restarts) Due(now time.Time) bool { return now.Sub(r.Started) >= r.pause() }

// After counts one more end. A process that has served for a while starts again at once: a pause would only keep its clients waiting.
func (r Restarts) After(loaded bool, now time.Time) Restarts {
	lived := now.Sub(r.Started)
	if !loaded && lived < 10*time.Second || lived < time.Second {
		r.Crashes++
	} else {
		r.Crashes = 0
	}
	if loaded {
		r.Unloaded = 0
	} else {
		r.Unloaded++
	}
	return r
}

// pause is the time from one start to the next: none after the first end, then doubling from 1 s to 16 s.
func (r Restarts) pause() time.Duration {
	if r.Crashes < 2 {
		return 0
	}
	return time.Second << min(r.Crashes-2, 4)
}

// Broken says whether the data of the process count as broken.
func (r Restarts) Broken() bool { return r.Unloaded >= brokenAfter }
