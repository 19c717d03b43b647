package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

const bound = 10 * time.Second

// release returns a fake API with pods by the names given, of which those that
// begin with "sentinel" are sentinels, and the Leases of the chart.
func release(t *testing.T, pods ...string) *fakeapi.Server {
	t.Helper()
	server := fakeapi.New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for i, name := range pods {
		component := "server"
		if len(name) > 8 && name[:8] == "sentinel" {
			component = "sentinel"
		}
		require.NoError(t, server.CreatePod(fakeapi.PodTemplate{
			Name: name, UID: "uid-" + name, IP: fmt.Sprintf("127.0.0.%d", 10+i), Created: time.Now(), Container: "redis",
			Labels: map[string]string{"app": "redis-ha", "component": component},
		}))
	}
	require.NoError(t, server.CreateLease("redis-ha-master"))
	require.NoError(t, server.CreateLease("redis-ha-sentinels"))
	return server
}

// settings is the configuration of a pod of the release.
func settings(t *testing.T, server *fakeapi.Server, pod string) config.Config {
	t.Helper()
	selector, err := labels.Parse("app=redis-ha")
	require.NoError(t, err)
	return config.Config{
		Sentinel: pod[:6] != "server", Prefix: "redis-ha-", PodName: pod, PodUID: "uid-" + pod, Namespace: "default",
		PodIP: netip.MustParseAddr(server.Pod(pod).Status.PodIP), PodSelector: selector, MasterName: "mymaster",
		Servers: 3, Sentinels: 3, Quorum: 2, MinReplicas: 1, DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second,
		Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisPort: 6379, SentinelPort: 26379, HTTPPort: 8080,
	}
}

// connect gives a client of the API that watches the pods.
func connect(t *testing.T, server *fakeapi.Server, c config.Config) *kube.Client {
	t.Helper()
	line, err := server.Connect(c.PodName, "127.0.0.1:0")
	require.NoError(t, err)
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(c.Kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, line.URL()), 0o600))
	api, err := kube.New(c, quiet)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go api.Run(ctx)
	require.Eventually(t, api.Synced, bound, time.Millisecond)
	return api
}

var quiet = slog.New(slog.DiscardHandler)

// launcher is a server's launcher whose Redis is said to run.
func launcher(t *testing.T, server *fakeapi.Server, pod string) *Server {
	t.Helper()
	c := settings(t, server, pod)
	registry := prometheus.NewRegistry()
	s := NewServer(c, connect(t, server, c), web.New(registry), NewMetrics(registry), quiet)
	s.child = &process.Child{}
	return s
}

func member(pod string) record.Member {
	return record.Member{Name: pod, UID: "uid-" + pod, IP: "127.0.0.1"}
}
