package role

import (
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

const (
	// calmPace is how often a launcher looks at its own Redis: it sees a promotion within that time.
	calmPace = 200 * time.Millisecond
	// hurryPace is how often a launcher looks while a failover is under way or may be.
	hurryPace = 25 * time.Millisecond
	// serverPace keeps the number of questions in a failover to about 800 a second for each launcher: a look asks each server twice. From
	// ten servers on it makes the looks of a failover rarer than hurryPace.
	serverPace = 2500 * time.Microsecond
	// CalmTick is how often the sentinels are asked while everybody agrees, and how often a failed attempt is repeated.
	CalmTick = time.Second
	// recordEvery is how often the record is read while the role is not settled, recordCalm how often otherwise.
	recordEvery = 100 * time.Millisecond
	recordCalm  = 15 * time.Second
	// stoodStill is how long after the beginning of the last look a launcher, or its node, must have stood still. What it knew
	// may be wrong. A look takes a second or two when nobody answers.
	stoodStill = 3 * time.Second
	// hurryTime is how long a launcher looks often from the moment in which a replica has lost its master or the launcher of
	// its master, the sentinels have found the master down, a master has died or lost its label, or a replica was promoted.
	hurryTime = 3 * time.Second
	// suspicious is how long a master has not answered the sentinels when its replicas begin to look often.
	suspicious = time.Second
	// silenceLimit is how long a master may not answer before its writes are held back. It is less than the sentinels wait, so that
	// the pause is there before a promotion.
	silenceLimit = time.Second
)

// since is the moment from which on something has been the case. The zero value: it is not the case.
type since struct{ at time.Time }

// is notes whether it is the case now.
func (s *since) is(on bool, now time.Time) {
	switch {
	case !on:
		s.at = time.Time{}
	case s.at.IsZero():
		s.at = now
	}
}

// span is how long it has been the case; 0 if it is not.
func (s since) span(now time.Time) time.Duration {
	if s.at.IsZero() {
		return 0
	}
	return now.Sub(s.at)
}

// within says whether it has begun less than a time ago.
func (s since) within(limit time.Duration, now time.Time) bool {
	return !s.at.IsZero() && now.Sub(s.at) < limit
}

// Memory is what the launcher of a server remembers between its looks. It is a value: Step takes one and gives the next.
type Memory struct {
	// Worth is what the data of this server are worth, and Held what its Redis process holds of the present history.
	Worth Worth
	Held  Held
	// Told is what the master of this replica has told last.
	Told Told
	// Record is the record as it was last read; RecordKnown says whether it could be read.
	Record      record.Record
	RecordKnown bool
	// Own is the generation in which this pod has been recorded since its Redis became master; 0 for none.
	Own int64
	// Claimed: this pod has been granted mastership, and is starting as master.
	Claimed bool
	// Decided is the last decision, and Calm says that the other servers were not asked for it.
	Decided Decision
	Calm    bool
	// Loaded: this process of Redis has loaded its data. Served: it has been a master, or a replica in sync.
	Loaded, Served bool
	// MinReplicas is min-replicas-to-write as it was last set in this process of Redis; -1: it is not known.
	MinReplicas int
	// ServedHistory is the ID of the history of the Redis that runs, or ran last, as master; empty if it was a replica.
	ServedHistory string
	// Attempts are those of this launcher to replace a master.
	Attempts Attempts
	// MasterSince is since when Redis has been master; zero if it is not.
	MasterSince time.Time

	last       Own       // the last answer of Redis
	answeredAt time.Time // when that was
	wasInSync  bool      // before this look
	byRecord   bool      // this process has been made master by a claim
	confirmed  bool      // a majority of the sentinels has named this pod since it is master
	recorded   bool      // the record has named this pod since it is master

	lookedAt time.Time // when the last look began
	sawAt    time.Time // a look last saw which servers come before this pod
	woken    bool      // this launcher had stood still before this look
	views    []View
	viewsAt  time.Time
	namedAt  time.Time // a sentinel named a master last, or none could be asked
	recordAt time.Time // last attempt to read the record
	toldAt   time.Time // the master of this replica was asked then

	searching    time.Time // this pod has been looking for a role since then
	podless      since     // the pod list has never been read
	generation   int64     // of the record when it could last be read
	generationAt time.Time // it was first read with that generation then
	fence        record.Fence
	fenceAt      time.Time // the record was first read with that fence then

	following  since // following another than the agreed master
	linked     since
	linkDown   since
	masterless since // no other server has answered as master
	foremost   since // no other server has come before this pod in an election; see keepForemost
	down       since // the sentinels find the master down
	refused    since // nothing listens in the pod of the sentinels' master
	alert      since // a failover has most likely begun
	died       since // Redis ended as master, and its late connections have not been passed on
	paces      paces
}

// NewMemory is that of a launcher that has just started. worth is what the files of its Redis are worth.
func NewMemory(worth Standing, now time.Time) Memory {
	return Memory{Worth: Worth{Standing: worth, Filed: worth}, MinReplicas: -1, searching: now, namedAt: now}
}

// SetRecord takes a record that was read or written.
func (m *Memory) SetRecord(r record.Record, now time.Time) {
	if m.generationAt.IsZero() || r.Generation != m.generation {
		m.generation, m.generationAt = r.Generation, now
	}
	if f := r.Fence; f != nil && (f.UID != m.fence.UID || f.By != m.fence.By || !f.At.Equal(m.fence.At)) {
		m.fence, m.fenceAt = *f, now
	}
	m.Record, m.RecordKnown, m.recordAt = r, true, now
}

// SetOwnRecord takes a record that names this pod as the master.
func (m *Memory) SetOwnRecord(r record.Record, now time.Time) {
	m.SetRecord(r, now)
	m.Own = r.Generation
}

// ReadAgain has the next look read the record, whenever it was read last.
func (m *Memory) ReadAgain() { m.recordAt = time.Time{} }

// EndAttempt notes how the attempt to replace a master has ended.
func (m *Memory) EndAttempt(end Ending, now time.Time) {
	m.Attempts = m.Attempts.End(end, now)
	if end != Replaced && end != Ordered {
		m.ReadAgain()
	}
}

// Alert notes that a failover has most likely begun: the launcher of the master has ended or begun to leave, or another pod
// has taken the label off this one.
func (m *Memory) Alert(now time.Time) { m.alert.at = now }

// MadeMaster notes whether a claim has made this process of Redis master.
func (m *Memory) MadeMaster(done bool) { m.byRecord, m.Claimed = done, done }

// Died is since when Redis has been dead as master, with its clients still coming here; zero if it is not.
func (m *Memory) Died() time.Time { return m.died.at }

// diedLately is how long after the death of a master its clients may still come to it.
const diedLately = 10 * time.Second

// DiedLately says whether clients may still come to this pod, whose Redis has died as master.
func (m *Memory) DiedLately(now time.Time) bool { return m.died.within(diedLately, now) }

// PassedOn notes that the clients of a master that has died are passed on to its successor.
func (m *Memory) PassedOn() { m.died = since{} }

// Silent is how long Redis has not answered.
func (m *Memory) Silent(now time.Time) time.Duration {
	if m.answeredAt.IsZero() {
		return 0
	}
	return now.Sub(m.answeredAt)
}

// ProcessStarted notes that Redis has been started. saved says that it loads a saved copy; see SavesCopy.
func (m *Memory) ProcessStarted(saved bool, now time.Time) {
	m.Loaded, m.Held, m.Served = false, Held{saved: saved}, false
	m.byRecord, m.confirmed, m.recorded = false, false, false
	m.MasterSince, m.linked, m.linkDown, m.following = time.Time{}, since{}, since{}, since{}
	m.answeredAt, m.MinReplicas, m.paces.held = now, -1, since{}
}

// ProcessEnded notes that Redis has ended: died says by itself, and not because its launcher has stopped it. A full copy that had not
// reached the files has gone with it.
func (m *Memory) ProcessEnded(died, persistence bool, now time.Time) {
	if died {
		m.died = since{}
		m.died.is(m.last.Master && !m.last.Loading, now)
	}
	m.Worth = m.Worth.Ended(m.Held.Copied, persistence)
	m.ProcessStarted(false, now)
	m.last, m.searching, m.Own = Own{}, now, 0
	m.recordAt, m.viewsAt = time.Time{}, time.Time{}
	m.Claimed = false // an election that chooses this pod again says so again
}

// Pace is the time to the next look of a launcher in a release of so many servers. In a hurry a look may ask all of them.
func (m *Memory) Pace(now time.Time, servers int) time.Duration {
	if !m.Hurry(now) {
		return calmPace
	}
	return min(calmPace, max(hurryPace, time.Duration(servers)*serverPace))
}

// Hurry says whether the next look is due soon, since a failover is under way or may be.
func (m *Memory) Hurry(now time.Time) bool {
	promoted := since{m.MasterSince}
	for _, s := range []since{m.alert, m.down, m.linkDown, promoted, m.died} {
		if s.within(hurryTime, now) {
			return true
		}
	}
	return false
}

// look takes what the own Redis has told, and gives its state.
func (m *Memory) look(own Own, persistence bool) Local {
	m.wasInSync = m.Held.InSync
	switch {
	case !own.Running:
		return Local{}
	case own.Full: // a refusal is an answer, and a process that gives one is alive
		m.answeredAt = own.At
		return Local{Running: true, Full: true, Loading: m.last.Loading}
	case !own.Answered:
		return Local{Running: true, Loading: m.last.Loading, Silent: m.Silent(own.At)}
	}
	if !persistence { // there are no files that could lag behind memory
		own.Rewriting, own.Failed, own.Unwritten = false, false, false
	}
	if own.Follows != m.last.Follows || own.Master != m.last.Master {
		m.recordAt = time.Time{} // another master: the record is about to change, too
	}
	if m.last.Master && !own.Master {
		m.Own, m.Worth.NamedIn = 0, 0
	}
	m.last, m.answeredAt, m.ServedHistory = own, own.At, ""
	if own.Master {
		m.ServedHistory = own.History.ID
	}
	m.Loaded = m.Loaded || !own.Loading
	m.Held = m.Held.After(own.Look)
	m.Served = m.Served || m.Held.InSync || own.Master && !own.Loading
	m.byRecord = m.byRecord && own.Master
	master, linked := since{m.MasterSince}, !own.Master && own.LinkUp
	master.is(own.Master, own.At)
	m.MasterSince = master.at
	m.linked.is(linked, own.At)
	m.linkDown.is(!own.Master && !own.LinkUp, own.At)
	return Local{
		Running: true, Answering: true, Loading: own.Loading, Master: own.Master, Claimed: m.byRecord, Follows: own.Follows,
		LinkUp: linked, Synced: m.Held.InSync, Copied: m.Held.Copied, Offset: own.Offset, History: own.History, Online: own.Online,
		MasterFor: master.span(own.At), Linked: m.linked.span(own.At), LinkDown: m.linkDown.span(own.At), Unlinked: own.Unlinked,
	}
}

// says is what the record says of the master.
func (m *Memory) says(self Member) Recorded {
	master, _ := netip.ParseAddr(m.Record.Master.IP)
	return Recorded{Known: m.RecordKnown, Generation: m.Record.Generation, Master: master, Own: m.RecordKnown && m.Record.Names(self.record(), m.Own)}
}

// record names the pod as the record does.
func (m Member) record() record.Member {
	in := record.Member{Name: m.Name, UID: m.UID, Volume: m.Volume}
	if m.IP.IsValid() {
		in.IP = m.IP.String()
	}
	return in
}
