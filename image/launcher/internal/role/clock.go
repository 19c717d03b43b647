package role

import "time"

// clockTime is how long a clock goes on without a look that could tell.
const clockTime = 2 * time.Second

// clock is how long something has been the case. A look that could not tell, since
// an answer was late, does not start it anew.
type clock struct{ began, told time.Time }

// look notes what a look at a moment has found; known says whether it could tell.
func (c *clock) look(now time.Time, known, is bool) {
	switch {
	case known && is:
		c.told = now
		if c.began.IsZero() {
			c.began = now
		}
	case known || now.Sub(c.told) > clockTime:
		c.began = time.Time{}
	}
}

// runs says whether it is the case, as far as is known.
func (c *clock) runs() bool { return !c.began.IsZero() }

// span is how long it has been the case; 0 if it is not.
func (c *clock) span(now time.Time) time.Duration {
	if !c.runs() {
		return 0
	}
	return now.Sub(c.began)
}

// within says whether it has begun less than a time ago.
func (c *clock) within(limit time.Duration, now time.Time) bool {
	return c.runs() && now.Sub(c.began) < limit
}
