package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
)

const backupName = "20261130T030000Z-1a2b3c4d"

// restorer is a server that fetches a backup, whose file is there already. attempt is that fetching; ended says whether it was told to end.
func restorer(t *testing.T, persistence bool) (s *Server, attempt *restoring, ended *bool) {
	t.Helper()
	c := config.Config{
		Persistence: persistence, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1", Backup: config.Backup{RestoreFrom: "latest"},
	}
	s, ended = &Server{config: c, log: quiet, guard: &writepause.Guard{}}, new(bool)
	t.Cleanup(s.disk().Wait)
	s.memory.Worth.Standing = s.loadStanding()
	require.True(t, s.memory.Worth.Standing.Empty)
	require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, restoreDir), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, restoreDir, baseFile), []byte("data"), 0o600))
	attempt = &restoring{end: func() { *ended = true }, wanted: true}
	s.restoring = attempt
	return s, attempt, ended
}

func TestBackupIsFetchedOnWhileTheElectionWaitsForSomethingElse(t *testing.T) {
	s, attempt, ended := restorer(t, true)
	s.plan.Action = role.Wait // as while the API does not answer
	s.watchRestore()
	require.False(t, *ended)
	s.fetched(attempt, backupName, nil)
	require.NoDirExists(t, filepath.Join(s.config.DataDir, appendDir), "the election has to wait for it")
	s.watchRestore()
	s.restore(t.Context())
	require.FileExists(t, filepath.Join(s.config.DataDir, appendDir, baseFile))
	require.Equal(t, role.Standing{}, s.memory.Worth.Standing)
	require.Equal(t, backupName, s.restoredBackup())
}

// Two attempts at once would write the same files.
func TestBackupIsFetchedAnewOnlyWhenTheAttemptBeforeHasEnded(t *testing.T) {
	s, attempt, ended := restorer(t, true)
	s.setRecord(record.Record{Initialised: true, Generation: 1, Master: record.Member{UID: "uid-b"}})
	s.watchRestore()
	require.True(t, *ended)
	s.restore(t.Context())
	require.Same(t, attempt, s.restoring)
	s.fetched(attempt, backupName, nil)
	require.Nil(t, s.restoring)
	require.NoDirExists(t, filepath.Join(s.config.DataDir, restoreDir), "another pod is master, and the file takes up room")
	require.NoDirExists(t, filepath.Join(s.config.DataDir, appendDir))
}

func TestFetchedBackupIsNotTakenBelowARedisThatRuns(t *testing.T) {
	s, attempt, _ := restorer(t, true)
	s.fetched(attempt, backupName, nil)
	s.child = &process.Child{}
	s.watchRestore()
	require.Nil(t, s.restoring)
	require.NoDirExists(t, filepath.Join(s.config.DataDir, restoreDir))
}

// A Redis that needs more memory than it has dies while it loads. The record names the backup by then, and no launcher fetches it once more.
func TestRestoredDumpIsLoadedUntilItHasBeenLoadedOnce(t *testing.T) {
	s, attempt, _ := restorer(t, false)
	s.fetched(attempt, backupName, nil)
	s.restore(t.Context())
	dump := filepath.Join(s.config.DataDir, dumpFile)
	run := func(s *Server) {
		t.Helper()
		s.restarts = role.Restarts{}
		require.NoError(t, s.start(netip.AddrPort{}, false))
		<-s.child.Done()
	}
	run(s)
	s.settleRestored()
	s.childEnded()
	require.False(t, s.memory.Worth.Standing.Empty, "this pod still has the backup")
	run(s)
	require.FileExists(t, dump)

	again := &Server{config: s.config, log: quiet, guard: &writepause.Guard{}}
	again.memory.Worth.Standing = again.loadStanding()
	require.False(t, again.memory.Worth.Standing.Empty, "the container has restarted")
	run(again)
	require.FileExists(t, dump)

	again.memory.Loaded = true
	again.settleRestored()
	again.childEnded()
	require.True(t, again.memory.Worth.Standing.Empty, "without persistence the data end with their process")
	run(again)
	require.NoFileExists(t, dump)
	require.Empty(t, again.restoredBackup())
}
