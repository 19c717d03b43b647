package role

import "time"

const (
	// isolationLead is how long before down-after an isolated master holds writes back. It leaves
	// time for the order of the pause on a busy node.
	isolationLead = 500 * time.Millisecond
	// isolationPatience is how much longer than down-after the sentinels may need to replace an isolated
	// master. They may notice its silence a second after the master notices theirs, and an
	// election without a winner ends after 1.5 s.
	isolationPatience = 2 * time.Second
	// apiPatience is how old an answer of the API may be while the sentinels may be replacing a master that does not reach them.
	// An API in good order answers within some ten milliseconds. It is asked every apiEvery then.
	apiPatience = 400 * time.Millisecond
	// apiEvery is the least age of an answer of the API at which such a master asks again, and apiCalm the same when the sentinels have
	// had the time to replace it.
	apiEvery, apiCalm = 100 * time.Millisecond, time.Second
)

// replacedWithin is the time in which the sentinels have replaced an isolated master, if they can.
func replacedWithin(downAfter time.Duration) time.Duration { return downAfter + isolationPatience }

// Contact is when a master has last heard from those who would tell it of its replacement: a majority of the sentinels, and the API. A
// master that hears from neither is isolated: the sentinels may be replacing it without its knowledge.
type Contact struct {
	sentinels time.Time // when the last question was asked that a majority of the sentinels answered; zero: none yet
	api       time.Time // the same of the API
	cutOff    bool      // no majority of the sentinels has answered the last question
	served    bool      // nobody has replaced the master in this silence, and the sentinels have had enough time
}

// API notes that the API has answered a question asked at the time.
func (c Contact) API(asked time.Time) Contact {
	if asked.After(c.api) {
		c.api, c.served = asked, false
	}
	return c
}

// Sentinels notes whether a majority of the sentinels has answered the questions asked at the time.
func (c Contact) Sentinels(asked time.Time, cutOff bool) Contact {
	if c.cutOff = cutOff; !cutOff && asked.After(c.sentinels) {
		c.sentinels, c.served = asked, false
	}
	return c
}

// AskAPI says whether the API must be asked now, beside the loop: the sentinels may soon find this master down, and an answer from before
// then says nothing about that.
func (c Contact) AskAPI(now time.Time, downAfter time.Duration) bool {
	if !c.cutOff || c.sentinels.IsZero() || now.Sub(c.sentinels) < downAfter-SilenceLead {
		return false
	}
	if c.outlasted(downAfter) {
		return now.Sub(c.api) >= apiCalm
	}
	return now.Sub(c.api) >= apiEvery
}

// outlasted says whether the API has answered since the sentinels had the time to replace the master.
func (c Contact) outlasted(downAfter time.Duration) bool {
	return c.api.Sub(c.sentinels) > replacedWithin(downAfter)
}

// Isolated says whether the sentinels may be replacing the master without its knowledge. An old answer of the API counts again when the
// sentinels have had the time to replace the master, and the API has been heard since.
func (c Contact) Isolated(now time.Time, downAfter time.Duration) bool {
	alone := downAfter - isolationLead
	if !c.cutOff || c.served || c.sentinels.IsZero() && c.api.IsZero() || now.Sub(c.sentinels) < alone {
		return false
	}
	if c.outlasted(downAfter) {
		return now.Sub(c.api) >= alone
	}
	return now.Sub(c.api) >= apiPatience
}

// Serve notes that the sentinels have had enough time, and nobody has replaced the master.
func (c Contact) Serve() Contact {
	c.served = true
	return c
}
