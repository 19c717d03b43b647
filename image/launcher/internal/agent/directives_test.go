package agent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// running is a launcher whose Redis was started with directives of the user.
func running(t *testing.T, lines ...string) (*Server, *fakeredis.Server) {
	t.Helper()
	s, redis := sized(t, release(t, "server-a"))
	s.config.ExtraConfig, s.config.MinReplicasMaxLag, s.config.RedisServer = lines, 3*time.Second, "redis-server"
	s.directives.started(s.config)
	s.child = &process.Child{}
	return s, redis
}

func TestRunningRedisTakesChangedDirectivesOnce(t *testing.T) {
	s, redis := running(t, "hz 20")
	s.tune(t.Context(), role.Plan{})
	require.Empty(t, directives(redis), "it was started with these")
	s.config.ExtraConfig, s.config.MinReplicasMaxLag = []string{"hz 30", "maxmemory-policy allkeys-lru"}, 5*time.Second
	for range 3 {
		s.applySettings(t.Context())
	}
	require.Equal(t, []string{"hz 30", "maxmemory-policy allkeys-lru", "min-replicas-max-lag 5"}, directives(redis))
	require.Empty(t, s.directives.pending(true))
}

// The launcher's own default comes from the launcher, and any other from Redis itself.
func TestDirectiveThatTheUserSetsNoMoreGetsItsDefault(t *testing.T) {
	s, redis := running(t, "hz 20", "repl-diskless-sync-delay 7", "maxmemory 100mb")
	s.config.ExtraConfig = nil
	s.applySettings(t.Context())
	require.Equal(t, []string{"maxmemory 550502400", "repl-diskless-sync-delay 0"}, directives(redis))
	require.Equal(t, []string{"hz: Redis has not taken it yet"}, s.directives.pending(true))
	require.Eventually(t, func() bool { s.applySettings(t.Context()); return len(s.directives.pending(true)) == 0 }, bound, 10*time.Millisecond)
	require.Equal(t, "hz 10", directives(redis)[2])
}

func TestRefusedDirectiveIsToldAndNotTriedAgain(t *testing.T) {
	s, redis := running(t)
	redis.Answer("CONFIG SET hz", "-ERR CONFIG SET failed (possibly related to argument 'hz') - argument must be between 1 and 500\r\n")
	redis.Answer("CONFIG SET io-threads", "-ERR CONFIG SET failed (possibly related to argument 'io-threads') - can't set immutable config\r\n")
	s.config.ExtraConfig = []string{"hz 900", "io-threads 4", "timeout 9"}
	s.applySettings(t.Context())
	s.applySettings(t.Context())
	require.Equal(t, []string{"hz 900", "io-threads 4", "timeout 9"}, directives(redis))
	pending := s.directives.pending(true)
	require.Len(t, pending, 2)
	require.Contains(t, pending[0], `hz: Redis refuses "900": ERR CONFIG SET failed`)
	require.Equal(t, "io-threads: Redis takes it only when it starts", pending[1])

	require.Equal(t, []string{"io-threads 4", "timeout 9"}, s.directives.startable(s.config).ExtraConfig, "a Redis that starts must not end at a value that was refused")
	s.config.ExtraConfig = []string{"hz 50", "io-threads 4", "timeout 9"}
	redis.Answer("CONFIG SET hz", "+OK\r\n")
	s.applySettings(t.Context())
	require.Equal(t, "hz 50", directives(redis)[3])
	require.Len(t, s.directives.pending(true), 1)
}

func TestSilentRedisIsAskedAgain(t *testing.T) {
	s, redis := running(t)
	redis.Answer("CONFIG SET", "")
	s.config.ExtraConfig = []string{"hz 50"}
	s.applySettings(t.Context())
	require.Equal(t, []string{"hz: Redis has not taken it yet"}, s.directives.pending(true))
	require.Empty(t, s.directives.pending(false), "it starts with that")
	redis.Answer("CONFIG SET", "+OK\r\n")
	require.Eventually(t, func() bool { s.applySettings(t.Context()); return len(s.directives.pending(true)) == 0 }, bound, 10*time.Millisecond)
}

// The loop would stand still for the time of an answer for each directive.
func TestSilentRedisIsNotAskedForEachDirective(t *testing.T) {
	s, redis := running(t)
	redis.Answer("CONFIG SET", "")
	s.config.ExtraConfig = []string{"hz 50", "maxmemory-policy allkeys-lru", "timeout 9"}
	s.applySettings(t.Context())
	require.Equal(t, []string{"hz 50"}, directives(redis))
	require.Len(t, s.directives.pending(true), 3)
}

// A launcher that has just started goes by its settings at once. The sentinels may not have a longer down-after yet, or have a shorter one already.
func TestServerNeverGoesByALongerDownAfterThanASentinel(t *testing.T) {
	sentinel := fakeredis.Start(t, nil)
	has := func(downAfter string) {
		sentinel.Answer("SENTINEL MASTER", fakeredis.Master("10.0.0.1", "master", "down-after-milliseconds", downAfter))
	}
	s := &Server{
		config: config.Config{PodUID: "uid-a", MasterName: "mymaster", SentinelPort: int(sentinel.Addr.Port()), DownAfter: 10 * time.Second},
		log:    quiet, links: observe.NewLinks(""), guard: &writepause.Guard{},
	}
	pods := []kube.Pod{{Name: "sentinel", UID: "uid-s", IP: sentinel.Addr.Addr(), Sentinel: true, Ready: true}}
	look := func() { s.askOthers(t.Context(), role.Questions{Sentinels: true}, pods, &role.Facts{}) }
	require.Equal(t, 10*time.Second, s.downAfter())
	has("3000")
	look()
	require.Equal(t, 3*time.Second, s.downAfter())
	require.Equal(t, 3*time.Second, s.settings().DownAfter)
	sentinel.Answer("SENTINEL MASTER", "")
	look()
	require.Equal(t, 3*time.Second, s.downAfter(), "it does not answer, and may still have it")
	has("15000")
	look()
	require.Equal(t, 10*time.Second, s.downAfter(), "the settings of this launcher are shorter")
	has("3000")
	look()
	pods = nil
	look()
	require.Equal(t, 10*time.Second, s.downAfter(), "its pod is gone")
}

// A release with one server in its values may have been scaled by others.
func TestServerIsLoneOnlyWhereNoOtherServerExists(t *testing.T) {
	for pods, want := range map[string][]string{"alone": {"server-a", "sentinel-a"}, "not alone": {"server-a", "server-b", "sentinel-a"}} {
		s := launcher(t, release(t, want...), "server-a")
		s.config.Servers = 1
		require.Equal(t, pods == "alone", s.lone(), pods)
		s.config.Servers = 3
		require.False(t, s.lone())
	}
}

func TestSentinelIsToldSettingsThatItDoesNotHave(t *testing.T) {
	sentinel := fakeredis.Start(t, map[string]string{"SENTINEL SET": "+OK\r\n"})
	s := &Sentinel{config: config.Config{MasterName: "mymaster", Quorum: 2, DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second}, log: quiet, child: &process.Child{}}
	s.self.UID = "uid"
	view := observe.SentinelView{Pod: kube.Pod{UID: "uid"}, Node: redisnode.New(sentinel.Addr, ""), View: role.View{Reach: role.Answered, HasMaster: true}, Settings: s.wantedSettings()}
	s.views = []observe.SentinelView{view}
	s.applySettings(t.Context())
	require.Empty(t, sentinel.Heard())
	s.config.Quorum, s.config.DownAfter = 3, 5*time.Second
	s.applySettings(t.Context())
	require.Contains(t, sentinel.Heard(), "SENTINEL SET mymaster quorum 3 down-after-milliseconds 5000 failover-timeout 8000")
	require.Empty(t, s.unsettled)
	sentinel.Answer("SENTINEL SET", "-ERR no\r\n")
	s.applySettings(t.Context())
	require.Contains(t, s.unsettled, "the sentinel has not taken its settings")
}

// With the numbers of the slots two pods could have their turns at the same time, or none, after the number of sentinels has changed.
func TestSentinelPodsTakeTurnsByTheirNames(t *testing.T) {
	pods := []kube.Pod{{Name: "sentinel-c", Sentinel: true}, {Name: "server-a"}, {Name: "sentinel-a", Sentinel: true}, {Name: "sentinel-b", Sentinel: true}}
	for clock, want := range []string{"sentinel-a", "sentinel-b", "sentinel-c", "sentinel-a"} {
		for _, pod := range pods {
			s := &Sentinel{}
			s.self.Name = pod.Name
			require.Equal(t, pod.Name == want, s.turnOf(pods, int64(clock)), "%s at %d", pod.Name, clock)
		}
	}
}
