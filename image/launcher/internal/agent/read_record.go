package agent

import (
	"context"
	"errors"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// recordWait is how long a look waits for the record. It leaves room for a slow API; during an
// outage the loop must still see what the other servers do. The call goes on beside the loop.
const recordWait = 500 * time.Millisecond

// errRecordLate says that the record has not come in recordWait; a later look may find it.
var errRecordLate = errors.New("the API has not answered within " + recordWait.String())

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
				s.guard.HeardAPI(asked)
			}
			answer <- recordAnswer{asked, record, err}
		}()
	}
	late := time.NewTimer(recordWait)
	defer late.Stop()
	select {
	case a := <-s.reading:
		s.reading = nil
		if !s.memory.RecordCounts(a.asked, time.Now()) {
			return s.readRecord(ctx)
		}
		return a.record, a.err
	case <-late.C:
		return record.Record{}, errRecordLate
	}
}
