package agent

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

func TestPodIsReadyOnlyWithRedisInItsRole(t *testing.T) {
	master := role.Local{Running: true, Answering: true, Master: true}
	replica := role.Local{Running: true, Answering: true, Synced: true, LinkUp: true}
	cut, loading, silent, unsynced, writing := replica, replica, replica, replica, replica
	cut.LinkUp, cut.LinkDown = false, replicaGone+1
	loading.Loading, silent.Answering, unsynced.Synced, writing.Copied = true, false, false, true
	for name, c := range map[string]struct {
		local role.Local
		label role.Label
		want  string
	}{
		"a master that is labelled":            {master, role.MasterLabel, ""},
		"a master whose label is left":         {master, role.HoldLabel, ""},
		"a master that must not be labelled":   {master, role.ClearLabel, "the reason"},
		"a replica in sync":                    {replica, role.SlaveLabel, ""},
		"a replica that has lost its master":   {cut, role.SlaveLabel, "the link to the master has been down for over 10s"},
		"a replica before its first sync":      {unsynced, role.SlaveLabel, "the first synchronisation is not finished"},
		"a replica that writes its first file": {writing, role.SlaveLabel, "the data are not in the append-only file yet: its first rewrite is running"},
		"a Redis that loads its data":          {loading, role.HoldLabel, "redis-server is loading its data"},
		"a silent Redis":                       {silent, role.HoldLabel, "redis-server does not answer"},
		"no Redis":                             {role.Local{}, role.ClearLabel, "the reason"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{decided: role.Decision{Label: c.label, Reason: "the reason"}}
			require.Equal(t, c.want, s.notReady(role.Observation{Local: c.local}))
		})
	}
	writing.Copied = true
	s := &Server{observed: observed{info: redisnode.Info{RewriteFailed: true}}}
	require.Contains(t, s.notReady(role.Observation{Local: writing}), "its rewrite failed")
}

func TestSentinelMayPromoteAReplicaInSyncAndNobodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		local role.Local
		now   int // replica-priority before
		want  string
	}{
		"a replica in sync gets the normal priority": {role.Local{Synced: true}, 0, "CONFIG SET replica-priority 100"},
		"it keeps it": {role.Local{Synced: true}, 100, ""},
		"a replica that waits for a copy loses it": {role.Local{}, 100, "CONFIG SET replica-priority 0"},
		"a master loses it, before it is replaced": {role.Local{Master: true}, 100, "CONFIG SET replica-priority 0"},
	} {
		t.Run(name, func(t *testing.T) {
			redis := speak(t, map[string]string{"CONFIG": "+OK\r\n"})
			s := &Server{config: config.Config{PodIP: redis.addr.Addr(), RedisPort: int(redis.addr.Port())}, log: quiet, links: newLinks(""), priority: c.now}
			s.observed.info.Priority = c.now
			s.prioritise(t.Context(), c.local)
			s.prioritise(t.Context(), role.Local{Master: c.local.Master, Synced: c.local.Synced})
			var told []string
			for _, command := range redis.heard() {
				if strings.HasPrefix(strings.ToUpper(command), "CONFIG") {
					told = append(told, command)
				}
			}
			if c.want == "" {
				require.Empty(t, told)
				return
			}
			require.NotEmpty(t, told)
			require.Equal(t, strings.ToLower(c.want), strings.ToLower(told[0]))
			if c.local.Master {
				require.Len(t, told, 1, "Redis does not tell the priority of a master, so the launcher remembers it")
			}
		})
	}
}

// A refusal is an answer: the kubelet must not restart a Redis that has as many clients as it takes.
func TestRedisThatRefusesTheLauncherIsAlive(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("-ERR max number of clients reached\r\n"))
			_ = connection.Close()
		}
	}()
	addr := netip.MustParseAddrPort(listener.Addr().String())
	s := &Server{config: config.Config{PodIP: addr.Addr(), RedisPort: int(addr.Port())}, log: quiet, links: newLinks(""), child: &process.Child{}}
	s.observed.answeredAt, s.observed.served, s.observed.info.Master = time.Now().Add(-2*hungAfter), true, true
	local := s.observeLocal(t.Context())
	require.Equal(t, role.Local{Running: true, Full: true}, local)
	require.Less(t, since(s.observed.answeredAt), hungAfter)
	require.False(t, s.silentMaster(local), "its writes are not held back")
	require.Empty(t, s.notReady(role.Observation{Local: local}))
}

// Readiness of a master means nothing to its Services, but each change of it
// makes kube-proxy work, and the label may be about to move.
func TestLabelledMasterThatDoesNotAnswerStaysReadyUntilAFailoverIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{observed: observed{answeredAt: time.Now()}}
		silent := role.Observation{Local: role.Local{Running: true}, Self: role.Member{Label: role.Master}}
		time.Sleep(masterSilent - time.Millisecond)
		require.Empty(t, s.notReady(silent))
		silent.Self.Label = role.Slave
		require.Equal(t, "redis-server does not answer", s.notReady(silent))
		silent.Self.Label = role.Master
		time.Sleep(time.Millisecond)
		require.Equal(t, "redis-server does not answer", s.notReady(silent))
	})
}

func TestClocksRunFromTheFirstMomentToTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at time.Time
		require.Zero(t, since(at))
		mark(&at, true)
		time.Sleep(3 * time.Second)
		mark(&at, true)
		require.Equal(t, 3*time.Second, since(at))
		mark(&at, false)
		require.Zero(t, since(at))
	})
}
