package agent

import (
	"bytes"
	"log/slog"
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
	"github.com/redis-ha/redis-ha/image/launcher/internal/standingfile"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/slowdisk"
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
	s := &Server{config: disk(t), self: record.Member{UID: "uid-a"}, child: &process.Child{}, log: quiet, guard: &writepause.Guard{}}
	t.Cleanup(s.disk().Wait)
	return s
}

// readStanding is what the launcher of the next container finds.
func readStanding(c config.Config) role.Standing {
	return (&Server{config: c, log: quiet}).loadStanding()
}

// writeStanding writes as another container has done.
func writeStanding(t *testing.T, c config.Config, standing role.Standing) {
	t.Helper()
	f := standingfile.New(c.DataDir, quiet)
	_, _ = f.Read()
	f.Hand(standing)
	f.Wait()
	on, known := f.Latest()
	require.True(t, known)
	require.Equal(t, standing, on)
}

// present is the path of the file with the standing.
func present(c config.Config) string { return filepath.Join(c.DataDir, "redis-ha.json") }

// written waits for what was handed over to be written, and reads it.
func written(s *Server) role.Standing {
	s.disk().Wait()
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
	s := &Server{config: c, log: quiet, guard: &writepause.Guard{}}
	s.memory.Worth.Standing = readStanding(c)
	require.Equal(t, empty, s.memory.Worth.Standing)
	require.NoError(t, s.start(netip.MustParseAddrPort("127.0.0.2:6379"), false))
	<-s.child.Done()
	require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, appendDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, appendDir, "appendonly.aof.1.incr.aof"), nil, 0o600))
	require.Equal(t, empty, readStanding(c), "the container has restarted before the first synchronisation")
	s.setRecord(record.Record{Generation: 3, Master: record.Member{IP: "127.0.0.2"}})
	s.keepStanding(role.Observation{Local: role.Local{Answering: true, Synced: true, LinkUp: true, Follows: netip.MustParseAddr("127.0.0.2"), Offset: 7}})
	require.Equal(t, role.Standing{Generation: 3, Offset: 7}, written(s))
}

// Disk and memory agree unless a copy is in memory only.
func TestStandingThatChangesIsOnDisk(t *testing.T) {
	s := keeper(t)
	s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{Generation: 1, Offset: 10}, role.Standing{Generation: 1, Offset: 10}
	s.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	s.memory.Told = role.Told{For: 5, History: "m"}
	s.keepStanding(role.Observation{Local: role.Local{
		Answering: true, Synced: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: role.History{ID: "m"},
	}})
	require.Equal(t, role.Standing{Generation: 5, Offset: 20}, s.memory.Worth.Standing)
	require.Equal(t, s.memory.Worth.Standing, written(s))
}

func TestStandingIsWrittenAtMostOnceASecond(t *testing.T) {
	s := keeper(t)
	s.memory.Own = 5
	s.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}})
	for offset := range int64(3) {
		s.keepStanding(role.Observation{Self: role.Member{UID: "uid-a"}, MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: offset}})
	}
	require.EqualValues(t, 2, s.memory.Worth.Standing.Offset)
	require.EqualValues(t, 0, written(s).Offset)
}

func TestStandingThatWasNotWrittenAtOnceIsWrittenLater(t *testing.T) {
	s := keeper(t)
	s.memory.Own = 5
	s.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-a"}})
	at := func(offset int64) role.Observation {
		return role.Observation{Self: role.Member{UID: "uid-a"}, MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: offset}}
	}
	s.keepStanding(at(1))
	s.keepStanding(at(2))
	require.EqualValues(t, 1, written(s).Offset)
	require.Eventually(t, func() bool { s.keepStanding(at(2)); return written(s).Offset == 2 }, 5*time.Second, 100*time.Millisecond, "though nothing has changed since")
}

func TestStandingOfALaterMasterIsWrittenAtOnce(t *testing.T) {
	s := keeper(t)
	for _, generation := range []int64{1, 2, 3} {
		s.memory.Own = generation
		s.setRecord(record.Record{Generation: generation, Master: record.Member{UID: "uid-a"}})
		s.keepStanding(role.Observation{Self: role.Member{UID: "uid-a"}, MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true, Offset: 7}})
		require.Equal(t, generation, written(s).Generation)
	}
}

func TestDataOfAnEndedProcessWithoutPersistenceAreGone(t *testing.T) {
	s := &Server{log: quiet, restarts: role.Restarts{Started: time.Now()}, memory: role.Memory{Claimed: true}, guard: &writepause.Guard{}}
	child, err := process.Start("true")
	require.NoError(t, err)
	<-child.Done()
	s.child = child
	s.memory.Worth.Standing = role.Standing{Generation: 5, Master: true}
	s.childEnded()
	require.Equal(t, role.Standing{Empty: true}, s.memory.Worth.Standing)
	require.False(t, s.memory.Claimed)
	require.Nil(t, s.child)
	require.Equal(t, 1, s.restarts.Crashes)
	s.memory.Worth.Standing = role.Standing{Generation: 5}
	s.processEnded(false)
	require.Equal(t, role.Standing{Empty: true}, s.memory.Worth.Standing, "also where the launcher has stopped it")
}

func TestDataThatRedisCannotLoadSeveralTimesAreToldToBeBroken(t *testing.T) {
	s := keeper(t)
	s.memory.Worth.Standing = role.Standing{Generation: 5, Offset: 7}
	for crash := range brokenAfter {
		require.False(t, s.memory.Worth.Standing.Broken, "after %d crashes", crash)
		endChild(t, s)
	}
	require.Equal(t, role.Standing{Generation: 5, Offset: 7, Broken: true}, s.memory.Worth.Standing)

	writeStanding(t, s.config, s.memory.Worth.Standing)
	require.False(t, written(s).Broken, "the next container tries again")
	s.child = &process.Child{}
	s.setRecord(record.Record{Generation: 6, Master: record.Member{UID: "uid-b"}})
	s.keepStanding(role.Observation{Local: role.Local{Answering: true, Synced: true}})
	require.False(t, s.memory.Worth.Standing.Broken, "what Redis serves is not")

	s.memory.Worth.Standing = role.Standing{Empty: true}
	s.child = nil
	s.restarts.Unloaded = brokenAfter - 1
	endChild(t, s)
	require.Equal(t, role.Standing{Empty: true}, s.memory.Worth.Standing, "nothing cannot be broken")
}

func TestDataThatRedisHasLoadedAreNotBrokenHoweverOftenItEnds(t *testing.T) {
	s := &Server{config: disk(t), log: quiet, restarts: role.Restarts{Unloaded: brokenAfter - 1}, guard: &writepause.Guard{}}
	s.memory.Worth.Standing = role.Standing{Generation: 5, Master: true, Offset: 7}
	for crash := range 2 * brokenAfter {
		s.memory.Loaded = true
		endChild(t, s)
		require.False(t, s.memory.Worth.Standing.Broken, "after %d crashes", crash)
		require.Zero(t, s.restarts.Unloaded)
	}
	require.Equal(t, 2*brokenAfter, s.restarts.Crashes, "it has not lived for a second, and needs pauses all the same")
	require.False(t, s.memory.Loaded, "the next process has to show it again")
}

// endChild lets s have a redis-server that has just ended.
func endChild(t *testing.T, s *Server) {
	t.Helper()
	child, err := process.Start("true")
	require.NoError(t, err)
	<-child.Done()
	s.child, s.restarts.Started = child, time.Now()
	s.childEnded()
}

func TestDataThatRedisCannotLoadAreKeptAside(t *testing.T) {
	s := &Server{config: disk(t), log: quiet, guard: &writepause.Guard{}, restarts: role.Restarts{Crashes: brokenAfter, Unloaded: brokenAfter}}
	writeStanding(t, s.config, role.Standing{Generation: 5, Master: true})
	s.setDataAside()
	s.keepEmpty()
	require.Zero(t, s.restarts.Crashes)
	require.Zero(t, s.restarts.Unloaded)
	require.Equal(t, role.Standing{Empty: true}, s.memory.Worth.Standing, "until the master has sent a copy")
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
	s.disk().Hand(before)
	s.disk().Wait()
	s.memory.Worth.Standing, s.memory.Worth.Filed = before, before
	s.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	copied := role.Local{Running: true, Answering: true, Synced: true, Copied: true, LinkUp: true, Offset: 20, Follows: netip.MustParseAddr("10.0.0.7"), History: role.History{ID: "m"}}
	s.memory.Told = role.Told{For: 5, History: "m"}
	s.memory.Held = role.Held{InSync: true, Copied: true}
	s.keepStanding(role.Observation{Local: copied})
	require.Equal(t, role.Standing{Generation: 5, Offset: 20}, s.memory.Worth.Standing, "the running Redis would bring it as a master")
	require.Equal(t, before, written(s), "its files would not")
	s.processEnded(false)
	require.Equal(t, before, s.memory.Worth.Standing, "the copy has gone with the process")
	s.setRecord(record.Record{Generation: 5, Master: record.Member{UID: "uid-b", IP: "10.0.0.7"}})
	copied.Copied = false
	s.keepStanding(role.Observation{Local: copied})
	require.Equal(t, role.Standing{Generation: 5, Offset: 20}, written(s))
}

func TestDumpOfAnEarlierProcessIsNotLoadedWithoutPersistence(t *testing.T) {
	c := config.Config{DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
	dump := filepath.Join(c.DataDir, "dump.rdb")
	require.NoError(t, os.WriteFile(dump, []byte("REDIS0011"), 0o600))
	s := &Server{config: c, log: quiet, guard: &writepause.Guard{}}
	require.NoError(t, s.start(netip.AddrPort{}, false))
	<-s.child.Done()
	require.NoFileExists(t, dump)
	require.NoError(t, s.start(netip.AddrPort{}, false), "the second start finds no dump")
}

func TestDamageIsLoggedWithWhatItMeans(t *testing.T) {
	c := disk(t)
	writeStanding(t, c, role.Standing{Generation: 3, Offset: 7})
	writeStanding(t, c, role.Standing{Generation: 4, Master: true, Offset: 12345})
	load := func() string {
		var log bytes.Buffer
		(&Server{config: c, log: slog.New(slog.NewTextHandler(&log, nil))}).loadStanding()
		return log.String()
	}
	require.Empty(t, load())
	require.NoError(t, os.WriteFile(present(c), nil, 0o600))
	text := load()
	require.Contains(t, text, "level=WARN")
	require.Contains(t, text, "the file before it is used: read the standing in "+present(c)+" (0 bytes)")
	require.NoError(t, os.WriteFile(present(c)+".before", []byte("{"), 0o600))
	text = load()
	require.Contains(t, text, "level=ERROR")
	require.Contains(t, text, "in an election every server that knows it comes first")
	require.Contains(t, text, present(c)+".before (1 bytes)")
	require.NoError(t, os.RemoveAll(filepath.Join(c.DataDir, appendDir)))
	require.Empty(t, load(), "there are no data that the files could be about")
}

func TestLoopDoesNotWaitForABusyDisk(t *testing.T) {
	s := keeper(t)
	begun, release := slowdisk.Install(t, &s.disk().Flush)
	at := func(generation int64) {
		s.setRecord(record.Record{Generation: generation, Master: record.Member{UID: "uid-a"}})
		s.keepStanding(role.Observation{Self: role.Member{UID: "uid-a"}, MasterUID: "uid-a", Local: role.Local{Answering: true, Synced: true, Master: true}})
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		for generation := range int64(5) {
			s.memory.Own = generation + 1
			at(generation + 1)
			if generation == 0 {
				<-begun
			}
		}
	}()
	select {
	case <-returned:
	case <-time.After(bound):
		t.Fatal("keepStanding waits for the disk")
	}
	require.NoFileExists(t, present(s.config), "nothing has reached the disk")
	latest, _ := s.disk().Latest()
	require.EqualValues(t, 5, latest.Generation)
	release()
	require.EqualValues(t, 5, written(s).Generation)
}

func TestRedisIsNotStartedBeforeThatThereAreNoDataIsOnDisk(t *testing.T) {
	s := &Server{config: disk(t), log: quiet}
	s.memory.Worth.Standing = role.Standing{Empty: true}
	begun, release := slowdisk.Install(t, &s.disk().Flush)
	returned := make(chan struct{})
	go func() { defer close(returned); s.keepEmpty() }()
	require.Equal(t, filepath.Base(present(s.config))+".new", <-begun)
	select {
	case <-returned:
		t.Fatal("it has not waited")
	default:
	}
	release()
	<-returned
	require.Equal(t, filepath.Base(s.config.DataDir), <-begun)
	require.Equal(t, role.Standing{Empty: true}, readStanding(s.config))
}
