package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// sized is a launcher with a memory limit of 700 MiB, and the Redis that it commands.
func sized(t *testing.T, server *fakeapi.Server) (*Server, *fakeredis.Server) {
	t.Helper()
	redis := fakeredis.Start(t, map[string]string{"CONFIG SET": "+OK\r\n"})
	s := launcher(t, server, "server-a")
	s.config.PodIP, s.config.RedisPort = redis.Addr.Addr(), int(redis.Addr.Port())
	s.config.MemoryLimit, s.config.MaxMemoryPercent = 700<<20, 75
	return s, redis
}

// limited has the API tell the memory limit that the kubelet has applied to a pod, and waits until the launcher knows it.
func limited(t *testing.T, server *fakeapi.Server, s *Server, pod, limit string) {
	t.Helper()
	want := resource.MustParse(limit)
	require.NoError(t, server.UpdatePod(pod, func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "redis", Resources: &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: want}},
		}}
	}))
	require.Eventually(t, func() bool {
		for _, p := range s.api.Pods() {
			if p.Name == pod {
				return p.MemoryLimit == want.Value()
			}
		}
		return false
	}, bound, time.Millisecond)
}

// directives are what Redis was told to set, one line for each order.
func directives(redis *fakeredis.Server) []string {
	var found []string
	for _, command := range redis.Heard() {
		if set, ok := strings.CutPrefix(command, "CONFIG SET"); ok {
			found = append(found, strings.TrimSpace(set))
		}
	}
	return found
}

// gibibyte is what a memory limit of 1 GiB sets.
const gibibyte = "repl-backlog-size 67108864 client-output-buffer-limit replica 178956970 0 0 maxmemory 805306368"

func TestRedisFollowsTheMemoryLimitOfAResizedContainerOnce(t *testing.T) {
	server := release(t, "server-a", "server-b")
	s, redis := sized(t, server)
	var logged bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&logged, nil))
	s.resize(t.Context())
	require.Empty(t, directives(redis), "the API does not tell the limit")
	limited(t, server, s, "server-b", "2Gi")
	s.resize(t.Context())
	require.Empty(t, directives(redis), "it is the limit of another pod")
	limited(t, server, s, "server-a", "700Mi")
	s.resize(t.Context())
	require.Empty(t, directives(redis), "it is the limit that Redis was started with")

	limited(t, server, s, "server-a", "1Gi")
	s.tune(t.Context(), role.Plan{})
	s.tune(t.Context(), role.Plan{})
	require.Equal(t, []string{gibibyte}, directives(redis))
	require.EqualValues(t, 700<<20, s.config.MemoryLimit, "others read it meanwhile")

	limited(t, server, s, "server-a", "700Mi")
	s.resize(t.Context())
	require.Equal(t, []string{gibibyte, "repl-backlog-size 45875200 client-output-buffer-limit replica 122333866 0 0 maxmemory 550502400"}, directives(redis), "and back")
	require.Equal(t, 2, strings.Count(logged.String(), "the memory limit has changed"), logged.String())
	require.Contains(t, logged.String(), "from=734003200 to=1073741824 repl-backlog-size=67108864")
}

func TestMemoryLimitIsFollowedInALaterTurnWhereRedisRefusesIt(t *testing.T) {
	server := release(t, "server-a")
	s, redis := sized(t, server)
	limited(t, server, s, "server-a", "1Gi")
	redis.Answer("CONFIG SET", "-ERR not now\r\n")
	s.resize(t.Context())
	s.resize(t.Context())
	require.Equal(t, []string{gibibyte, gibibyte}, directives(redis))
	redis.Answer("CONFIG SET", "+OK\r\n")
	s.resize(t.Context())
	s.resize(t.Context())
	require.Len(t, directives(redis), 3)
}

func TestResizeLeavesTheUsersDirectivesAlone(t *testing.T) {
	server := release(t, "server-a")
	s, redis := sized(t, server)
	s.config.ExtraConfig = []string{"maxmemory 100mb", "client-output-buffer-limit slave 1mb 0 0"}
	limited(t, server, s, "server-a", "1Gi")
	s.resize(t.Context())
	require.Equal(t, []string{"repl-backlog-size 67108864"}, directives(redis))

	s.config.ExtraConfig = append(s.config.ExtraConfig, "repl-backlog-size 1mb")
	limited(t, server, s, "server-a", "2Gi")
	s.resize(t.Context())
	require.Len(t, directives(redis), 1, "nothing is left to set")
}

func TestNothingIsSizedWithoutAMemoryLimitInTheEnvironment(t *testing.T) {
	server := release(t, "server-a")
	s, redis := sized(t, server)
	s.config.MemoryLimit = 0
	limited(t, server, s, "server-a", "1Gi")
	s.resize(t.Context())
	require.Empty(t, directives(redis))
}

// The environment of a container stays as it was when the container is resized.
func TestRedisThatStartsAfterAResizeGetsThePresentMemoryLimit(t *testing.T) {
	server := release(t, "server-a")
	s, redis := sized(t, server)
	s.config.RedisServer = "true"
	text := func() string {
		require.NoError(t, s.start(redis.Addr, false))
		t.Cleanup(s.stopRedis)
		content, err := os.ReadFile(filepath.Join(s.config.RunDir, "redis.conf"))
		require.NoError(t, err)
		return string(content)
	}
	require.Contains(t, text(), "\nmaxmemory 550502400\n")
	limited(t, server, s, "server-a", "1Gi")
	s.restarts = role.Restarts{}
	require.Contains(t, text(), "\nmaxmemory 805306368\n")
	s.resize(t.Context())
	require.Empty(t, directives(redis), "it has it already")
}
