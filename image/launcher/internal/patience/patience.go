// Package patience shortens the wait for somebody who did not answer last time.
//
// One node that is lost must not slow down decisions about all others: a loop
// that waits for its silence in full, again and again, acts seconds late.
package patience

import (
	"sync"
	"time"
)

const (
	// Short is the time that a silent peer gets to answer: many times what a pod on the
	// same network needs. A peer that has not answered for that long has been silent.
	Short = 100 * time.Millisecond
	// fullEvery is how often a silent peer gets the full time all the same, so that a
	// slow peer is heard.
	fullEvery = 2 * time.Second
)

// Patience is with one node. The zero value has not been disappointed yet.
type Patience struct {
	mu     sync.Mutex
	silent bool
	fullAt time.Time
}

// Limit is how long to wait for the next answer, where full is usual.
func (p *Patience) Limit(full time.Duration) time.Duration {
	return p.limit(full, time.Now())
}

func (p *Patience) limit(full time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent && now.Sub(p.fullAt) < fullEvery {
		return min(full, Short)
	}
	p.fullAt = now
	return full
}

// Note enters whether the time passed without an answer.
func (p *Patience) Note(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}
