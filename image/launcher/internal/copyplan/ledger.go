// Package copyplan decides what a copy of one Redis into another has to do: which keys wait to be copied, how a key
// is copied, when two values are equal, and how long the rest takes. It asks no server and waits for nothing.
package copyplan

import (
	"maps"
	"sync"
	"time"
)

// Key is a key of one of the numbered databases of a Redis.
type Key struct {
	DB   int
	Name string
}

// Ledger knows which keys have changed since they were copied, and which are being copied. A key is copied by one
// worker at a time, so that an older value never replaces a newer one. It may be used by several goroutines.
type Ledger struct {
	limit int

	mu         sync.Mutex
	waiting    map[Key]struct{}
	busy       map[Key]struct{}
	rests      map[Key]time.Time
	overflowed bool
	changes    int64
	last       time.Time
}

// NewLedger makes a ledger that remembers up to limit changed keys.
func NewLedger(limit int) *Ledger {
	return &Ledger{limit: limit, waiting: map[Key]struct{}{}, busy: map[Key]struct{}{}, rests: map[Key]time.Time{}}
}

// Changed notes that the source has changed a key. It returns false for the first key that is too many: from then on
// the ledger is incomplete, and every key has to be compared.
func (l *Ledger) Changed(key Key, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	l.last = now
	if _, known := l.waiting[key]; !known && len(l.waiting) >= l.limit {
		first := !l.overflowed
		l.overflowed = true
		return !first
	}
	l.waiting[key] = struct{}{}
	return true
}

// Again notes that a key has to be copied, although the source did not tell of a change.
func (l *Ledger) Again(key Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[key] = struct{}{}
}

// Acquire gives those of the keys to the caller that nobody is copying. It copies what the source has from now on, so
// earlier changes are settled. The other keys are copied again when they are released.
func (l *Ledger) Acquire(keys []Key) []Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	var free []Key
	for _, key := range keys {
		if _, taken := l.busy[key]; taken {
			l.waiting[key] = struct{}{}
			continue
		}
		delete(l.waiting, key)
		l.busy[key] = struct{}{}
		free = append(free, key)
	}
	return free
}

// Take gives up to limit changed keys of one database to the caller. Keys that rest are left out, unless hurry is set.
func (l *Ledger) Take(limit int, now time.Time, hurry bool) []Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken []Key
	for key := range l.waiting {
		if len(taken) == limit {
			break
		}
		if len(taken) > 0 && key.DB != taken[0].DB {
			continue
		}
		if _, busy := l.busy[key]; busy || !hurry && now.Before(l.rests[key]) {
			continue
		}
		delete(l.waiting, key)
		delete(l.rests, key)
		l.busy[key] = struct{}{}
		taken = append(taken, key)
	}
	return taken
}

// Release ends the copying of keys.
func (l *Ledger) Release(keys ...Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		delete(l.busy, key)
	}
}

// Rest keeps a changed key back until a time: a large key that changes all the time would take all of the workers.
func (l *Ledger) Rest(key Key, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rests[key] = until
}

// Forget empties the ledger before every key is compared. Keys that are being copied stay, with their changes: a key that
// the source has deleted meanwhile comes up in no reading of its keys.
func (l *Ledger) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.waiting, func(key Key, _ struct{}) bool {
		_, busy := l.busy[key]
		return !busy
	})
	clear(l.rests)
	l.overflowed = false
}

// Waiting is the number of keys that nobody is copying yet.
func (l *Ledger) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// Pending is the number of keys that wait or are being copied.
func (l *Ledger) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	pending := len(l.waiting)
	for key := range l.busy {
		if _, both := l.waiting[key]; !both {
			pending++
		}
	}
	return pending
}

// Changes is how many changes the source has told of, and when it told of the last one.
func (l *Ledger) Changes() (number int64, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes, l.last
}
