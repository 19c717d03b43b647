package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// recordWait is how long a look waits for the record. It leaves room for a slow API; during an
// outage the loop must still see what the other servers do. The call goes on beside the loop.
const recordWait = 500 * time.Millisecond

// recordStale is the age at which an answer is not used any more, as where no look has asked for
// the record meanwhile. It is longer than a call to the API can take.
const recordStale = 2500 * time.Millisecond

// errRecordLate says that the record has not come in recordWait; a later look may find it.
var errRecordLate = errors.New("the API has not answered within " + recordWait.String())

// contact knows for how long a master has heard from nobody who would tell it of its
// replacement: neither from a majority of the sentinels nor from the API. It is safe for concurrent use.
type contact struct {
	mu      sync.Mutex
	heardAt time.Time // when the last question was asked that was answered; zero: none yet
	cutOff  bool      // the last question to the sentinels was not answered by a majority
	served  time.Time // heardAt of the silence in which nobody has replaced the master
}

// heard notes that the API, or a majority of the sentinels, has answered a question asked at the time.
func (c *contact) heard(asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked.After(c.heardAt) {
		c.heardAt = asked
	}
}

// sentinels notes whether a majority of the sentinels has answered the questions asked at the time.
func (c *contact) sentinels(asked time.Time, cutOff bool) {
	if !cutOff {
		c.heard(asked)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOff = cutOff
}

// isolated says whether the sentinels may be replacing a master without its knowledge.
func (c *contact) isolated(downAfter time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutOff && !c.heardAt.IsZero() && c.served != c.heardAt && role.Isolated(time.Since(c.heardAt), downAfter)
}

// serve ends the isolation although nobody has been heard: the sentinels have had enough time.
func (c *contact) serve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served = c.heardAt
}

// recordAnswer is what the API has answered to the question for the record.
type recordAnswer struct {
	asked  time.Time
	record record.Record
	err    error
}

// readRecord reads the record of the master. It returns errRecordLate if the API does not answer in
// recordWait. The next call then waits for the same answer.
func (s *Server) readRecord(ctx context.Context) (record.Record, error) {
	if s.reading == nil {
		answer, asked := make(chan recordAnswer, 1), time.Now()
		s.reading = answer
		go func() {
			record, err := s.api.Record(ctx)
			if err == nil {
				s.contact.heard(asked)
			}
			answer <- recordAnswer{asked, record, err}
		}()
	}
	late := time.NewTimer(recordWait)
	defer late.Stop()
	select {
	case a := <-s.reading:
		s.reading = nil
		if time.Since(a.asked) > recordStale {
			return s.readRecord(ctx) // somebody may have written the record since
		}
		return a.record, a.err
	case <-late.C:
		return record.Record{}, errRecordLate
	}
}
