package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// replacer is a server with old data that has put a backup into their place, and the command that has ordered it.
func replacer(t *testing.T) (*Server, *restoration.Giver) {
	t.Helper()
	c := config.Config{Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
	s := &Server{config: c, log: quiet, finished: make(chan func(), 1)}
	for directory, content := range map[string]string{appendDir: "old", restoreDir: "new"} {
		require.NoError(t, os.Mkdir(filepath.Join(c.DataDir, directory), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, directory, baseFile), []byte(content), 0o600))
	}
	giver, err := restoration.Give(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), filepath.Join(c.DataDir, restoreDir, baseFile), nil)
	require.NoError(t, err)
	t.Cleanup(giver.Close)
	ctx, end := context.WithCancel(t.Context())
	s.replacing = &replacing{order: kube.Restoration{Backup: backupName, URL: giver.URL}, command: restoration.Take(giver.URL, nil), ctx: ctx, end: end, hush: end}
	s.replacing.teller = s.replacing.command.Telling(t.Context(), restoration.Told{})
	s.replacing.told.Stage = restoration.Loading
	s.memory.Worth.Standing = role.Standing{Generation: 3, Offset: 100}
	require.NoError(t, s.swap().Begin(filepath.Join(c.DataDir, restoreDir)))
	require.Equal(t, "new", s.data(t))
	return s, giver
}

// data gives what the data directory has.
func (s *Server) data(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.config.DataDir, appendDir, baseFile))
	require.NoError(t, err)
	return string(content)
}

func TestPodThatGivesABackupUpHasItsOldDataAndSaysWhy(t *testing.T) {
	s, giver := replacer(t)
	s.giveUp(errors.New("no room"))
	require.Equal(t, "old", s.data(t))
	require.Equal(t, role.Standing{Generation: 3, Offset: 100}, s.memory.Worth.Standing)
	require.Nil(t, s.replacing)
	require.Eventually(t, func() bool {
		told, _ := giver.Last()
		return told == restoration.Told{Stage: restoration.Failed, Reason: "no room"}
	}, bound, 10*time.Millisecond, "the command hears why")
	require.False(t, s.unseen())
}

// The next launcher brings the old data back before it starts Redis.
func TestLauncherEndsIfItCannotBringTheOldDataBack(t *testing.T) {
	s, _ := replacer(t)
	before := filepath.Join(s.config.DataDir, appendDir+".before")
	require.NoError(t, os.RemoveAll(before))
	require.NoError(t, os.WriteFile(filepath.Join(s.config.DataDir, "blocked"), nil, 0o600))
	require.NoError(t, os.Symlink(filepath.Join("blocked", "nothing"), before))
	s.giveUp(errors.New("no room"))
	require.ErrorContains(t, s.fatal, "bring the data back")
}

func TestLauncherThatStartsBringsTheOldDataBack(t *testing.T) {
	s, _ := replacer(t)
	again := &Server{config: s.config, log: quiet}
	require.NoError(t, again.undoReplacing())
	require.Equal(t, "old", again.data(t))

	s, _ = replacer(t)
	require.NoError(t, s.swap().Commit())
	again = &Server{config: s.config, log: quiet}
	require.NoError(t, again.undoReplacing())
	require.Equal(t, "new", again.data(t), "the record names this pod with them")
	require.NoDirExists(t, filepath.Join(s.config.DataDir, appendDir+".before"))
}

func TestBackupThatLeavesNoRoomForWritesIsNotTaken(t *testing.T) {
	redis := fakeredis.Start(t, nil)
	r := &replacing{ctx: t.Context(), node: redisnode.New(redis.Addr, "")}
	t.Cleanup(r.node.Close)
	for memory, refused := range map[string]bool{
		"used_memory:200\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n":  true,
		"used_memory:200\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n":    false,
		"used_memory:200\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n": false,
		"used_memory:100\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n":  false,
	} {
		redis.Answer("INFO", fakeredis.Text(memory))
		_, err := r.awaitLoaded()
		require.Equal(t, refused, err != nil, memory)
		if refused {
			require.ErrorContains(t, err, "take 200 bytes of memory, and maxmemory is 100")
		}
	}
}

// One late answer of the master decides nothing.
func TestBackupIsGivenUpOnlyWhenTheMasterStaysAway(t *testing.T) {
	s, _ := replacer(t)
	now := time.Now()
	loads, other := role.Decision{Action: role.LoadBackup}, role.Decision{Action: role.StartReplica, Reason: "nobody is master"}
	s.watchReplacing(other, now)
	s.watchReplacing(other, now.Add(replacingGrace))
	require.NotNil(t, s.replacing)
	s.watchReplacing(loads, now.Add(replacingGrace+time.Second))
	s.watchReplacing(other, now.Add(replacingGrace+2*time.Second))
	require.NotNil(t, s.replacing, "the grace begins anew")
	s.replacing.told.Stage = restoration.Taking
	s.watchReplacing(other, now.Add(time.Hour))
	require.NotNil(t, s.replacing, "a takeover is carried out")
	s.replacing.told.Stage = restoration.Loaded
	s.watchReplacing(other, now.Add(time.Hour))
	require.Nil(t, s.replacing)
	require.Equal(t, "old", s.data(t))
}

func TestOrderIsTakenOnceAndAnotherOneAfterTheOneBefore(t *testing.T) {
	s, _ := replacer(t)
	first, second := kube.Restoration{Backup: "first"}, kube.Restoration{Backup: "second"}
	s.lastOrder = first
	s.ordered(t.Context(), second)
	require.Equal(t, first, s.lastOrder, "the pod is busy with the first one, and is told again")
	s.giveUp(errors.New("stopped"))
	s.replacingStep = true
	s.ordered(t.Context(), second)
	require.Nil(t, s.replacing, "a step of the first one still writes its files")
	s.replacingStep = false
	s.ordered(t.Context(), first)
	require.Nil(t, s.replacing, "it was given up")
	s.ordered(t.Context(), second)
	require.Equal(t, second, s.replacing.order)
	(<-s.finished)() // nobody gives the file
	require.Nil(t, s.replacing)
}

func TestPodThatLeavesGivesABackupUpUnlessItTakesOver(t *testing.T) {
	s, _ := replacer(t)
	s.replacing.told.Stage = restoration.Taking
	require.True(t, s.leaveReplacing())
	s.replacing.told.Stage = restoration.Loaded
	require.False(t, s.leaveReplacing())
	require.Equal(t, "old", s.data(t))
	s.stopping = true
	s.ordered(t.Context(), kube.Restoration{Backup: backupName})
	require.Nil(t, s.replacing, "it takes no order")
}
