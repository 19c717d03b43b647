package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// brokenAfter is that of package role.
const brokenAfter = 4

// disk is a data directory with an append-only file.
func disk(t *testing.T) config.Config {
	c := config.Config{Persistence: true, DataDir: t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, appendDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, appendDir, "appendonly.aof.1.incr.aof"), nil, 0o600))
	return c
}

// keeper is the launcher of server-a, which keeps a standing in a data directory of its own.
func keeper(t *testing.T) *Server {
	s := &Server{config: disk(t), self: record.Member{UID: "uid-a"}, child: &process.Child{}, log: quiet, hold: &hold{}}
	t.Cleanup(s.disk().wait)
	return s
}

// readStanding is what the launcher of the next container finds.
func readStanding(c config.Config) role.Standing {
	return (&Server{config: c, log: quiet}).loadStanding()
}

// writeStanding writes as another container has done.
func writeStanding(t *testing.T, c config.Config, standing role.Standing) {
	t.Helper()
	f := newStandingFile(c, quiet)
	_, _ = f.read()
	f.hand(standing)
	f.wait()
	on, known := f.onDisk()
	require.True(t, known)
	require.Equal(t, standing, on)
}

// written waits for what was handed over to be written, and reads it.
func written(s *Server) role.Standing {
	s.disk().wait()
	return readStanding(s.config)
}

func TestStandingWithoutDataIsEmpty(t *testing.T) {
	empty := role.Standing{Empty: true}
	c := disk(t)
	writeStanding(t, c, role.Standing{Generation: 4})
	require.NoError(t, os.RemoveAll(filepath.Join(c.DataDir, appendDir)))
	require.Equal(t, empty, readStanding(c), "the word remains, the data do not")
	require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, appendDir), 0o700))
	require.Equal(t, empty, readStanding(c), "a directory without a file")
	c = disk(t)
	writeStanding(t, c, role.Standing{Generation: 4})
	c.Persistence = false
	require.Equal(t, empty, readStanding(c), "Redis will not load them")
}

func TestDataWithoutAWordAreBetterThanNone(t *testing.T) {
	c := disk(t)
	require.Equal(t, role.Standing{}, readStanding(c))
}

func TestFilesThatRedisMadeBeforeItHadDataAreNone(t *testing.T) {
	empty := role.Standing{Empty: true}
	c := config.Config{Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
	s := &Server{config: c, log: quiet, hold: &hold{}}
	s.observed.worth.Standing = readStanding(c)
	require.Equal(t, empty, s.observed.worth.Standing)
	require.NoError(t, s.start(netip.MustParseAddrPort("127.0.0.2:6379")))
	<-s.child.Done()
	require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, appendDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, appendDir, "appendonly.aof.1.incr.aof"), nil, 0o600))
	require.Equal(t, empty, readStanding(c), "the container has restarted before the first synchronisation")
	s.observed.setRecord(record.Record{Generation: 3, Master: record.Member{IP: "127.0.0.2"}})
	s.keepStanding(role.Observation{Local: role.Local{Answering: true, Synced: true, LinkUp: true, Follows: netip.MustParseAddr("127.0.0.2"), Offset: 7}})
	require.Equal(t, role.Standing{Generation: 3, Offset: 7}, written(s))
}

func TestStandingFollowsTheRecordAndTheReplication(t *testing.T) {
	old := role.Standing{Generation: 1, Offset: 10}
	wasMaster := role.Standing{Generation: 1, Master: true, Offset: 10}
	empty := role.Standing{Empty: true}
	master := role.Local{Running: true, Answering: true, Master: true, Offset: 20}
	replica := role.Local{Running: true, Answering: true, Synced: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: role.History{ID: "m"}}
	cut, loading, unsynced, stood := replica, replica, replica, replica
	stood.History.ID = "l"
	cut.LinkUp, loading.Loading, unsynced.Synced, unsynced.Offset = false, true, false, 1
	stale := unsynced
	stale.Offset = 20
	theirs := record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}}
	mine := record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}}
	for name, c := range map[string]struct {
		before role.Standing
		local  role.Local
		record *record.Record
		want   role.Standing
	}{
		"the recorded master is of the record's generation":           {old, master, &mine, role.Standing{Generation: 5, Master: true, Offset: 20}},
		"a replica of the recorded master is, too":                    {old, replica, &theirs, role.Standing{Generation: 5, Offset: 20}},
		"a replica linked to an ended process keeps its generation":   {old, stood, &theirs, role.Standing{Generation: 1, Offset: 20}},
		"a former master is a replica once it follows the record":     {wasMaster, replica, &theirs, role.Standing{Generation: 5, Offset: 20}},
		"a master that is not recorded is worth what it was":          {old, master, &theirs, old},
		"a replica without a link only advances":                      {old, cut, &theirs, role.Standing{Generation: 1, Offset: 20}},
		"a former master is a master no more, and keeps the rest":     {wasMaster, unsynced, &theirs, role.Standing{Generation: 1, Offset: 10}},
		"so it is without the record":                                 {wasMaster, unsynced, nil, role.Standing{Generation: 1, Offset: 10}},
		"an empty replica in sync with another than the record":       {empty, replica, &mine, role.Standing{Generation: 5, Offset: 20}},
		"an empty replica whose link has ended holds data":            {empty, cut, &theirs, role.Standing{Generation: 5, Offset: 20}},
		"also where nobody knows of which generation":                 {empty, cut, &mine, role.Standing{Offset: 20}},
		"a server that loads says nothing new":                        {old, loading, &theirs, old},
		"a replica that has never synchronised says nothing new":      {empty, unsynced, &theirs, empty},
		"without the record the offset goes on in its generation":     {old, replica, nil, role.Standing{Generation: 1, Offset: 20}},
		"what could not be read is known with the record again":       {role.Standing{Unreadable: true}, replica, &theirs, role.Standing{Generation: 5, Offset: 20}},
		"without the record data in memory are not nothing":           {empty, replica, nil, role.Standing{Offset: 20}},
		"without the record a server without a sync is still nothing": {empty, unsynced, nil, empty},
		"a replica that waits for its next copy is not nothing":       {empty, stale, nil, role.Standing{Offset: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			s := keeper(t)
			s.observed.worth.Standing, s.observed.worth.Filed = c.before, c.before
			s.generation.Store(5)
			o := role.Observation{Local: c.local}
			s.observed.told.History = "m"
			if c.record != nil {
				s.observed.setRecord(*c.record)
				s.observed.told.For = c.record.Generation
				o.RecordKnown, o.MasterUID = true, c.record.Master.UID
			}
			s.keepStanding(o)
			require.Equal(t, c.want, s.observed.worth.Standing)
			if c.record != nil && c.want != c.before {
				require.Equal(t, c.want, written(s), "it is on disk, too")
			}
		})
	}
}

// Without the API nobody can record a promotion. The sentinels' epoch orders it.
func TestStandingOfAPromotionThatIsNotRecordedHasTheSentinelsEpoch(t *testing.T) {
	self := netip.MustParseAddr("10.0.0.1")
	views := make([]role.View, 3)
	for i := range views {
		views[i] = role.View{Reach: role.Answered, HasMaster: true, Master: self, ConfigEpoch: int64(4 + i)}
	}
	master := role.Observation{Self: role.Member{IP: self}, Sentinels: 3, Views: views, Local: role.Local{Answering: true, Master: true, Offset: 20}}
	promoted := role.Standing{Generation: 2, Epoch: 6, Master: true, Offset: 20}
	s := keeper(t)
	s.observed.worth.Standing = role.Standing{Generation: 2, Offset: 10}
	s.keepStanding(master)
	require.Equal(t, promoted, s.observed.worth.Standing)
	require.Equal(t, promoted, written(s))

	s.observed.worth.Standing = role.Standing{Generation: 2, Master: true, Offset: 10}
	s.keepStanding(master)
	require.Equal(t, role.Standing{Generation: 2, Master: true, Offset: 20}, s.observed.worth.Standing, "this one is recorded")
	master.Peers = []role.Peer{{Status: &role.Status{Standing: role.Standing{Generation: 2, Epoch: 5}}}}
	s.keepStanding(master)
	require.Equal(t, promoted, s.observed.worth.Standing, "it was named again after a promotion that is not recorded")

	master.Peers, s.observed.worth.Standing = nil, role.Standing{Generation: 2, Master: true, Offset: 10}
	s.generation.Store(2)
	views[0].ConfigEpoch = 7
	s.keepStanding(master)
	require.Equal(t, role.Standing{Generation: 2, Epoch: 7, Master: true, Offset: 20}, s.observed.worth.Standing, "the sentinels have named another in between")
	require.Zero(t, s.generation.Load(), "it is to be recorded again")

	// New sentinels begin with epoch 0. A sentinel that was cut off comes back and still has epoch 7.
	views[0].ConfigEpoch, views[1].ConfigEpoch, views[2].ConfigEpoch = 0, 0, 0
	s.keepStanding(master)
	require.EqualValues(t, 7, s.observed.worth.NamedIn, "it has been named in that epoch")

	replica := role.Observation{Local: role.Local{Answering: true, Synced: true, LinkUp: true, Offset: 30, History: role.History{ID: "m"}}}
	for why, prepare := range map[string]func(m *observed){
		"there is no record": func(*observed) {},
		"the record names another master": func(m *observed) {
			m.setRecord(record.Record{Generation: 2, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
			m.told.For = 2
		},
	} {
		s = keeper(t)
		s.observed.worth.Standing, s.observed.told.Master, s.observed.told.History = role.Standing{Generation: 2, Offset: 10}, &promoted, "m"
		prepare(&s.observed)
		s.keepStanding(replica)
		require.Equal(t, role.Standing{Generation: 2, Epoch: 6, Offset: 30}, s.observed.worth.Standing, why)
		s.observed.worth.Standing, s.observed.told.History = role.Standing{Generation: 2, Offset: 10}, "n"
		s.keepStanding(replica)
		require.Equal(t, role.Standing{Generation: 2, Offset: 30}, s.observed.worth.Standing, "the link was to another process; "+why)
	}
}

// A replica whose master was promoted without the API, and does not know yet that the sentinels name it,
// has data of the generation that the master had as a replica.
func TestEmptyReplicaHasDataOfTheGenerationThatItsMasterTells(t *testing.T) {
	replica := role.Observation{Local: role.Local{Answering: true, Synced: true, LinkUp: true, Offset: 30, History: role.History{ID: "m"}}}
	s := keeper(t)
	s.observed.worth.Standing, s.observed.told.AtLeast, s.observed.told.History = role.Standing{Empty: true}, role.Standing{Generation: 2, Epoch: 1}, "m"
	s.keepStanding(replica)
	require.Equal(t, role.Standing{Generation: 2, Epoch: 1, Offset: 30}, s.observed.worth.Standing)
	require.Empty(t, s.observed.worth.Of, "the master may turn out to be of a later one")

	s.observed.worth.Standing, s.observed.told.History = role.Standing{Empty: true}, "n"
	s.keepStanding(replica)
	require.Equal(t, role.Standing{Offset: 30}, s.observed.worth.Standing, "the link was to another process")
}

// A copy that is only in memory was taken from a master whose data come before those of the
// files in an election. After a restart the files must not win over that master.
func TestFilesOfAPromotionThatWasGivenUpAreNotTheLatest(t *testing.T) {
	s := keeper(t)
	s.observed.worth.Filed = role.Standing{Generation: 2, Epoch: 6, Offset: 900}
	s.observed.worth.Standing = s.observed.worth.Filed
	s.observed.setRecord(record.Record{Generation: 2, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	s.observed.told.History, s.observed.told.For = "m", 2
	copied := role.Observation{Local: role.Local{
		Answering: true, Synced: true, LinkUp: true, Copied: true, Offset: 5, Follows: netip.MustParseAddr("10.0.0.7"), History: role.History{ID: "m"},
	}}
	s.keepStanding(copied)
	require.Equal(t, role.Standing{Generation: 2, Epoch: 6, Offset: 5}, s.observed.worth.Standing, "the record may name this master for an earlier time")
	s.observed.told.Master = &role.Standing{Generation: 2, Master: true}
	s.keepStanding(copied)
	require.Equal(t, role.Standing{Generation: 2, Offset: 5}, s.observed.worth.Standing)
	require.Equal(t, role.Standing{Generation: 2}, written(s))
}

func TestStandingIsWrittenAtMostOnceASecond(t *testing.T) {
	s := keeper(t)
	s.generation.Store(5)
	s.observed.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}})
	for offset := range int64(3) {
		s.keepStanding(role.Observation{MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: offset}})
	}
	require.EqualValues(t, 2, s.observed.worth.Standing.Offset)
	require.EqualValues(t, 0, written(s).Offset)
}

func TestStandingThatWasNotWrittenAtOnceIsWrittenLater(t *testing.T) {
	s := keeper(t)
	s.generation.Store(5)
	s.observed.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}})
	at := func(offset int64) role.Observation {
		return role.Observation{MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: offset}}
	}
	s.keepStanding(at(1))
	s.keepStanding(at(2))
	require.EqualValues(t, 1, written(s).Offset)
	s.standingAt = s.standingAt.Add(-time.Minute)
	s.keepStanding(at(2))
	require.EqualValues(t, 2, written(s).Offset, "though nothing has changed since")
}

func TestStandingOfALaterMasterIsWrittenAtOnce(t *testing.T) {
	s := keeper(t)
	for _, generation := range []int64{1, 2, 3} {
		s.generation.Store(generation)
		s.observed.setRecord(record.Record{Generation: generation, Master: record.Member{UID: "uid-a"}})
		s.keepStanding(role.Observation{MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: 7}})
		require.Equal(t, generation, written(s).Generation)
	}
}

func TestDataOfAnEndedProcessWithoutPersistenceAreGone(t *testing.T) {
	s := &Server{log: quiet, startedAt: time.Now(), claimed: true, hold: &hold{}}
	child, err := process.Start("true")
	require.NoError(t, err)
	<-child.Done()
	s.child = child
	s.observed.worth.Standing = role.Standing{Generation: 5, Master: true}
	s.observed.since = time.Time{}
	s.childEnded()
	require.Equal(t, role.Standing{Empty: true}, s.observed.worth.Standing)
	require.False(t, s.claimed)
	require.Nil(t, s.child)
	require.Equal(t, 1, s.restarts.Crashes)
	require.WithinDuration(t, time.Now(), s.observed.since, time.Minute)
	s.observed.worth.Standing = role.Standing{Generation: 5}
	s.processEnded()
	require.Equal(t, role.Standing{Empty: true}, s.observed.worth.Standing, "also where the launcher has stopped it")
}

func TestDataThatRedisCannotLoadSeveralTimesAreToldToBeBroken(t *testing.T) {
	s := keeper(t)
	s.observed.worth.Standing = role.Standing{Generation: 5, Offset: 7}
	for crash := range brokenAfter {
		require.False(t, s.observed.worth.Standing.Broken, "after %d crashes", crash)
		endChild(t, s)
	}
	require.Equal(t, role.Standing{Generation: 5, Offset: 7, Broken: true}, s.observed.worth.Standing)

	writeStanding(t, s.config, s.observed.worth.Standing)
	require.False(t, written(s).Broken, "the next container tries again")
	s.child = &process.Child{}
	s.observed.setRecord(record.Record{Generation: 6, Master: record.Member{UID: "uid-b"}})
	s.keepStanding(role.Observation{Local: role.Local{Answering: true, Synced: true}})
	require.False(t, s.observed.worth.Standing.Broken, "what Redis serves is not")

	s.observed.worth.Standing = role.Standing{Empty: true}
	s.child = nil
	s.restarts.Unloaded = brokenAfter - 1
	endChild(t, s)
	require.Equal(t, role.Standing{Empty: true}, s.observed.worth.Standing, "nothing cannot be broken")
}

func TestDataThatRedisHasLoadedAreNotBrokenHoweverOftenItEnds(t *testing.T) {
	s := &Server{config: disk(t), log: quiet, restarts: role.Restarts{Unloaded: brokenAfter - 1}, hold: &hold{}}
	s.observed.worth.Standing = role.Standing{Generation: 5, Master: true, Offset: 7}
	for crash := range 2 * brokenAfter {
		s.observed.loaded = true
		endChild(t, s)
		require.False(t, s.observed.worth.Standing.Broken, "after %d crashes", crash)
		require.Zero(t, s.restarts.Unloaded)
	}
	require.Equal(t, 2*brokenAfter, s.restarts.Crashes, "it has not lived for a second, and needs pauses all the same")
	require.False(t, s.observed.loaded, "the next process has to show it again")
}

// endChild lets s have a redis-server that has just ended.
func endChild(t *testing.T, s *Server) {
	t.Helper()
	child, err := process.Start("true")
	require.NoError(t, err)
	<-child.Done()
	s.child, s.startedAt = child, time.Now()
	s.childEnded()
}

func TestDataThatRedisCannotLoadAreKeptAside(t *testing.T) {
	s := &Server{config: disk(t), log: quiet, hold: &hold{}, restarts: role.Restarts{Crashes: brokenAfter, Unloaded: brokenAfter}}
	writeStanding(t, s.config, role.Standing{Generation: 5, Master: true})
	s.setDataAside()
	s.keepEmpty()
	require.Zero(t, s.restarts.Crashes)
	require.Zero(t, s.restarts.Unloaded)
	require.Equal(t, role.Standing{Empty: true}, s.observed.worth.Standing, "until the master has sent a copy")
	require.NoDirExists(t, filepath.Join(s.config.DataDir, appendDir))
	require.FileExists(t, filepath.Join(s.config.DataDir, appendDir+".broken", "appendonly.aof.1.incr.aof"))
	require.NoError(t, os.Mkdir(filepath.Join(s.config.DataDir, appendDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(s.config.DataDir, appendDir, "appendonly.aof.1.incr.aof"), nil, 0o600))
	require.Equal(t, role.Standing{Empty: true}, written(s), "what Redis makes anew is nothing before it has synchronised")
	require.NoError(t, os.RemoveAll(filepath.Join(s.config.DataDir, appendDir)))
	s.restarts.Unloaded = brokenAfter
	s.setDataAside()
	require.Equal(t, brokenAfter, s.restarts.Unloaded, "there is nothing more to put aside")
}

func TestCopyCountsOnDiskWhenItsFirstRewriteHasSucceeded(t *testing.T) {
	before := role.Standing{Generation: 1, Offset: 10}
	s := &Server{config: disk(t), self: record.Member{UID: "uid-a"}, child: &process.Child{}, log: quiet}
	s.disk().hand(before)
	s.disk().wait()
	s.observed.worth.Standing, s.observed.worth.Filed = before, before
	s.observed.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	copied := role.Local{Running: true, Answering: true, Synced: true, Copied: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: role.History{ID: "m"}}
	s.observed.told.History, s.observed.told.For = "m", 5
	s.observed.held = role.Held{InSync: true, Copied: true}
	s.keepStanding(role.Observation{Local: copied})
	require.Equal(t, role.Standing{Generation: 5, Offset: 20}, s.observed.worth.Standing, "the running Redis would bring it as a master")
	require.Equal(t, before, written(s), "its files would not")
	s.processEnded()
	require.Equal(t, before, s.observed.worth.Standing, "the copy has gone with the process")
	s.observed.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	copied.Copied = false
	s.keepStanding(role.Observation{Local: copied})
	require.Equal(t, role.Standing{Generation: 5, Offset: 20}, written(s))
}

func TestDumpOfAnEarlierProcessIsNotLoadedWithoutPersistence(t *testing.T) {
	c := config.Config{DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
	dump := filepath.Join(c.DataDir, "dump.rdb")
	require.NoError(t, os.WriteFile(dump, []byte("REDIS0011"), 0o600))
	s := &Server{config: c, log: quiet, hold: &hold{}}
	require.NoError(t, s.start(netip.AddrPort{}))
	<-s.child.Done()
	require.NoFileExists(t, dump)
	require.NoError(t, s.start(netip.AddrPort{}), "the second start finds no dump")
}
