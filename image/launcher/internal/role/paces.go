package role

import "time"

const (
	// handOverPause is the least time from the end of a hand-over that was given up to the next. Clients can write meanwhile.
	handOverPause = time.Second
	// fileEvery is the least time between two writes of a standing to the disk of which only the offset has moved. The offset of a master
	// moves all the time.
	fileEvery = time.Second
	// rememberedAtMost is how long a replica is not started because the sentinels remember the replica that was here before. They forget it
	// in less than half of that.
	rememberedAtMost = 3 * time.Second
	// recordStale is the age at which an answer of the API does not count any more, as where no look has asked for the record meanwhile. It is
	// longer than a call to the API can take.
	recordStale = 2500 * time.Millisecond
)

// paces are the times at which the launcher of a server last did something that it must not do too often.
type paces struct {
	recordedAt time.Time // it wrote its pod into the record again, or tried to
	wroteAt    time.Time // it wrote the record
	handOverAt time.Time // the last hand-over ended, or began
	filed      Standing  // the standing that was last written to disk
	filedAt    time.Time
	held       since // a replica waits to be started; see MayBeRemembered
}

// Rewrites says whether the record is written again now; see Unrecorded. If so, it counts as written now.
func (m *Memory) Rewrites(now time.Time) bool {
	if now.Sub(m.paces.recordedAt) < CalmTick {
		return false
	}
	m.paces.recordedAt = now
	return true
}

// Wrote notes that this launcher has written the record. later is false if it has written a later one before.
func (m *Memory) Wrote(at time.Time) (later bool) {
	if at.Before(m.paces.wroteAt) {
		return false
	}
	m.paces.wroteAt = at
	return true
}

// RecordCounts says whether an answer of the API to the question for the record counts. Somebody, or this launcher, may have written the
// record since it was asked.
func (m *Memory) RecordCounts(asked, now time.Time) bool {
	return now.Sub(asked) <= recordStale && !asked.Before(m.paces.wroteAt)
}

// HandsOver says whether a hand-over may begin now.
func (m *Memory) HandsOver(now time.Time) bool { return now.Sub(m.paces.handOverAt) >= handOverPause }

// HandedOver notes that a hand-over begins, or was given up.
func (m *Memory) HandedOver(now time.Time) { m.paces.handOverAt = now }

// Files says whether a standing is written to disk now. If so, it counts as written now. A standing of which only the offset has moved is
// written once a second at most.
func (m *Memory) Files(next Standing, now time.Time) bool {
	advanced := m.paces.filed
	advanced.Offset = next.Offset
	if next == advanced && now.Sub(m.paces.filedAt) < fileEvery {
		return false
	}
	m.paces.filed, m.paces.filedAt = next, now
	return true
}

// MayBeRemembered says whether the sentinels may still go by what they have heard from the Redis that ran here before. first says that this is
// the first time since that Redis has ended.
func (m *Memory) MayBeRemembered(now time.Time) (first, may bool) {
	first = m.paces.held.at.IsZero()
	m.paces.held.is(true, now)
	return first, m.paces.held.span(now) <= rememberedAtMost
}
