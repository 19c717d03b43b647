package role

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// now is the moment of a look in tests of one look.
var now = time.Unix(1800000000, 0)

func TestStandingFollowsTheRecordAndTheReplication(t *testing.T) {
	old := Standing{Generation: 1, Offset: 10}
	wasMaster := Standing{Generation: 1, Master: true, Offset: 10}
	empty := Standing{Empty: true}
	master := Local{Running: true, Answering: true, Master: true, Offset: 20}
	replica := Local{Running: true, Answering: true, Synced: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: History{ID: "m"}}
	cut, loading, unsynced, stood := replica, replica, replica, replica
	stood.History.ID = "l"
	cut.LinkUp, loading.Loading, unsynced.Synced, unsynced.Offset = false, true, false, 1
	stale := unsynced
	stale.Offset = 20
	theirs := record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}}
	mine := record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}}
	for name, c := range map[string]struct {
		before Standing
		local  Local
		record *record.Record
		want   Standing
	}{
		"the recorded master is of the record's generation":           {old, master, &mine, Standing{Generation: 5, Master: true, Offset: 20}},
		"a replica of the recorded master is, too":                    {old, replica, &theirs, Standing{Generation: 5, Offset: 20}},
		"a replica linked to an ended process keeps its generation":   {old, stood, &theirs, Standing{Generation: 1, Offset: 20}},
		"a former master is a replica once it follows the record":     {wasMaster, replica, &theirs, Standing{Generation: 5, Offset: 20}},
		"a master that is not recorded is worth what it was":          {old, master, &theirs, old},
		"a replica without a link only advances":                      {old, cut, &theirs, Standing{Generation: 1, Offset: 20}},
		"a former master is a master no more, and keeps the rest":     {wasMaster, unsynced, &theirs, Standing{Generation: 1, Offset: 10}},
		"so it is without the record":                                 {wasMaster, unsynced, nil, Standing{Generation: 1, Offset: 10}},
		"an empty replica in sync with another than the record":       {empty, replica, &mine, Standing{Generation: 5, Offset: 20}},
		"an empty replica whose link has ended holds data":            {empty, cut, &theirs, Standing{Generation: 5, Offset: 20}},
		"also where nobody knows of which generation":                 {empty, cut, &mine, Standing{Offset: 20}},
		"a server that loads says nothing new":                        {old, loading, &theirs, old},
		"a replica that has never synchronised says nothing new":      {empty, unsynced, &theirs, empty},
		"without the record the offset goes on in its generation":     {old, replica, nil, Standing{Generation: 1, Offset: 20}},
		"what could not be read is known with the record again":       {Standing{Unreadable: true}, replica, &theirs, Standing{Generation: 5, Offset: 20}},
		"without the record data in memory are not nothing":           {empty, replica, nil, Standing{Offset: 20}},
		"without the record a server without a sync is still nothing": {empty, unsynced, nil, empty},
		"a replica that waits for its next copy is not nothing":       {empty, stale, nil, Standing{Offset: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(Standing{Empty: true}, now)
			m.Worth.Standing, m.Worth.Filed = c.before, c.before
			m.Own = 5
			o := Observation{Self: Member{UID: "uid-a"}, Local: c.local}
			m.Told.History = "m"
			if c.record != nil {
				m.SetRecord(*c.record, now)
				m.Told.For = c.record.Generation
				o.RecordKnown, o.MasterUID = true, c.record.Master.UID
			}
			m.Settle(o)
			require.Equal(t, c.want, m.Worth.Standing)
		})
	}
}

// Without the API nobody can record a promotion. The sentinels' epoch orders it.
func TestStandingOfAPromotionThatIsNotRecordedHasTheSentinelsEpoch(t *testing.T) {
	self := netip.MustParseAddr("10.0.0.1")
	views := make([]View, 3)
	for i := range views {
		views[i] = View{Reach: Answered, HasMaster: true, Master: self, ConfigEpoch: int64(4 + i)}
	}
	master := Observation{Self: Member{IP: self}, Sentinels: 3, Views: views, Local: Local{Answering: true, Master: true, Offset: 20}}
	promoted := Standing{Generation: 2, Epoch: 6, Master: true, Offset: 20}
	m := NewMemory(Standing{Empty: true}, now)
	m.Worth.Standing = Standing{Generation: 2, Offset: 10}
	m.Settle(master)
	require.Equal(t, promoted, m.Worth.Standing)

	m.Worth.Standing = Standing{Generation: 2, Master: true, Offset: 10}
	m.Settle(master)
	require.Equal(t, Standing{Generation: 2, Master: true, Offset: 20}, m.Worth.Standing, "this one is recorded")
	master.Peers = []Peer{{Status: &Status{Standing: Standing{Generation: 2, Epoch: 5}}}}
	m.Settle(master)
	require.Equal(t, promoted, m.Worth.Standing, "it was named again after a promotion that is not recorded")

	master.Peers, m.Worth.Standing = nil, Standing{Generation: 2, Master: true, Offset: 10}
	m.Own = 2
	views[0].ConfigEpoch = 7
	m.Settle(master)
	require.Equal(t, Standing{Generation: 2, Epoch: 7, Master: true, Offset: 20}, m.Worth.Standing, "the sentinels have named another in between")
	require.Zero(t, m.Own, "it is to be recorded again")

	// New sentinels begin with epoch 0. A sentinel that was cut off comes back and still has epoch 7.
	views[0].ConfigEpoch, views[1].ConfigEpoch, views[2].ConfigEpoch = 0, 0, 0
	m.Settle(master)
	require.EqualValues(t, 7, m.Worth.NamedIn, "it has been named in that epoch")

	replica := Observation{Local: Local{Answering: true, Synced: true, LinkUp: true, Offset: 30, History: History{ID: "m"}}}
	for why, prepare := range map[string]func(m *Memory){
		"there is no record": func(*Memory) {},
		"the record names another master": func(m *Memory) {
			m.SetRecord(record.Record{Generation: 2, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}}, now)
			m.Told.For = 2
		},
	} {
		m = NewMemory(Standing{Empty: true}, now)
		m.Worth.Standing, m.Told.Master, m.Told.History = Standing{Generation: 2, Offset: 10}, &promoted, "m"
		prepare(&m)
		m.Settle(replica)
		require.Equal(t, Standing{Generation: 2, Epoch: 6, Offset: 30}, m.Worth.Standing, why)
		m.Worth.Standing, m.Told.History = Standing{Generation: 2, Offset: 10}, "n"
		m.Settle(replica)
		require.Equal(t, Standing{Generation: 2, Offset: 30}, m.Worth.Standing, "the link was to another process; "+why)
	}
}

// A replica whose master was promoted without the API, and does not know yet that the sentinels name it,
// has data of the generation that the master had as a replica.
func TestEmptyReplicaHasDataOfTheGenerationThatItsMasterTells(t *testing.T) {
	replica := Observation{Local: Local{Answering: true, Synced: true, LinkUp: true, Offset: 30, History: History{ID: "m"}}}
	m := NewMemory(Standing{Empty: true}, now)
	m.Worth.Standing, m.Told.AtLeast, m.Told.History = Standing{Empty: true}, Standing{Generation: 2, Epoch: 1}, "m"
	m.Settle(replica)
	require.Equal(t, Standing{Generation: 2, Epoch: 1, Offset: 30}, m.Worth.Standing)
	require.Empty(t, m.Worth.Of, "the master may turn out to be of a later one")

	m.Worth.Standing, m.Told.History = Standing{Empty: true}, "n"
	m.Settle(replica)
	require.Equal(t, Standing{Offset: 30}, m.Worth.Standing, "the link was to another process")
}

// A copy that is only in memory was taken from a master whose data come before those of the
// files in an election. After a restart the files must not win over that master.
func TestFilesOfAPromotionThatWasGivenUpAreNotTheLatest(t *testing.T) {
	m := NewMemory(Standing{Empty: true}, now)
	m.Worth.Filed = Standing{Generation: 2, Epoch: 6, Offset: 900}
	m.Worth.Standing = m.Worth.Filed
	m.SetRecord(record.Record{Generation: 2, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}}, now)
	m.Told.History, m.Told.For = "m", 2
	copied := Observation{Local: Local{
		Answering: true, Synced: true, LinkUp: true, Copied: true, Offset: 5, Follows: netip.MustParseAddr("10.0.0.7"), History: History{ID: "m"},
	}}
	m.Settle(copied)
	require.Equal(t, Standing{Generation: 2, Epoch: 6, Offset: 5}, m.Worth.Standing, "the record may name this master for an earlier time")
	m.Told.Master = &Standing{Generation: 2, Master: true}
	m.Settle(copied)
	require.Equal(t, Standing{Generation: 2, Offset: 5}, m.Worth.Standing)
	require.Equal(t, Standing{Generation: 2}, m.Worth.Filed)
}

// A replica follows a master that was promoted a moment ago. Redis tells that at once, and the generation becomes known only when
// the promoted master answers. That master may be lost before.
func TestDataThatGoOnAfterAPromotionAreOfTheNextEpoch(t *testing.T) {
	known := Worth{Standing: Standing{Generation: 2, Offset: 10}, Filed: Standing{Generation: 2, Offset: 10}, Of: "m"}
	promoted := History{ID: "n", Before: "m", BeforeUpTo: 11}
	replica := Local{Answering: true, Synced: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: promoted}
	recorded := Recorded{Known: true, Generation: 2, Master: netip.MustParseAddr("10.0.0.8")}
	after := func(w Worth, l Local, r Recorded) Worth {
		w, _ = w.After(Observation{Local: l}, Told{For: r.Generation}, r)
		return w
	}
	later := Standing{Generation: 2, Epoch: 1, Offset: 20}

	w := after(known, replica, recorded)
	require.Equal(t, Worth{Standing: later, Filed: later, Of: "n"}, w)
	formerMaster := candidate{Standing: Standing{Generation: 2, Master: true, Offset: 900}}
	require.Positive(t, compare(candidate{Standing: w.Filed}, formerMaster), "the former master does not win an election, whatever it wrote alone")
	require.Equal(t, w, after(w, replica, recorded), "the same promotion counts once")
	require.Equal(t, later, after(known, replica, Recorded{}).Standing, "also without the record")

	again := replica
	again.History = History{ID: "o", Before: "n", BeforeUpTo: 21}
	require.EqualValues(t, 2, after(w, again, recorded).Standing.Epoch, "the next promotion counts as well")
	next := Recorded{Known: true, Generation: 3, Master: replica.Follows}
	answered, _ := w.After(Observation{Local: replica}, Told{For: 3, History: "n"}, next)
	require.Equal(t, Standing{Generation: 3, Offset: 20}, answered.Standing, "the generation replaces the epoch when it is known")

	lost := replica
	lost.LinkUp = false
	require.Equal(t, later, after(known, lost, recorded).Standing, "also where the first look comes after the end of the link")
	inMemory := replica
	inMemory.Copied = true
	require.Equal(t, known.Filed, after(known, inMemory, recorded).Filed, "the files do not hold these data yet")
	full := replica
	full.History.Before = ""
	require.Zero(t, after(known, full, recorded).Standing.Epoch, "a full copy may be of any master")
	unsure := known
	unsure.Of = ""
	require.Zero(t, after(unsure, replica, recorded).Standing.Epoch, "nobody knows which history the standing was of")
}

// The replica that was promoted knows that, too. Its promotion may be given up until the sentinels name it.
func TestPromotedMasterIsOfTheNextEpochOnceTheSentinelsNameIt(t *testing.T) {
	known := Worth{Standing: Standing{Generation: 2, Epoch: 5, Offset: 10}, Of: "m"}
	recorded := Recorded{Known: true, Generation: 2, Master: netip.MustParseAddr("10.0.0.8")}
	o := Observation{Self: member("a"), Sentinels: 3, Local: Local{Answering: true, Master: true, Offset: 20, History: History{ID: "n", Before: "m"}}}
	w, _ := known.After(o, Told{}, recorded)
	require.Equal(t, known.Standing, w.Standing)
	o.Views = views("a a b")
	w, _ = w.After(o, Told{}, recorded)
	require.Equal(t, Standing{Generation: 2, Epoch: 6, Master: true, Offset: 20}, w.Standing)
	o.Views[0].ConfigEpoch = 1
	w, _ = w.After(o, Told{}, Recorded{})
	require.EqualValues(t, 6, w.Standing.Epoch, "new sentinels begin with epoch 0")

	// Nobody has named it, and it follows its former master again. Redis tells the histories of the promotion until the copy is there.
	givenUp := Observation{Self: o.Self, Sentinels: 3, Local: Local{Answering: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.8"), History: o.Local.History}}
	w, _ = known.After(givenUp, Told{}, recorded)
	require.Equal(t, Standing{Generation: 2, Epoch: 5, Offset: 10}, w.Standing)
	require.Equal(t, "m", w.Of)

	recorded.Own = true
	w, _ = w.After(o, Told{}, recorded)
	require.Equal(t, "n", w.Of)
	require.Equal(t, Standing{Generation: 2, Master: true, Offset: 20}, w.Standing)
}
