// Package fakerelease is a release for tests: its pods and Leases on a fake API, and a client of that API for each launcher.
package fakerelease

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// bound is how long Connect waits for the client to have read the pods.
const bound = 10 * time.Second

// New gives a fake API with pods by the names given and the Leases of the chart. A pod whose name begins with "sentinel" is a sentinel, and
// every other pod is a server. The pods have the addresses 127.0.0.10, 127.0.0.11 and so on.
func New(t *testing.T, pods ...string) *fakeapi.Server {
	t.Helper()
	server := fakeapi.New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for i, name := range pods {
		component := "server"
		if strings.HasPrefix(name, "sentinel") {
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

// Config gives the configuration of a pod of the release.
func Config(t *testing.T, server *fakeapi.Server, pod string) config.Config {
	t.Helper()
	selector, err := labels.Parse("app=redis-ha")
	require.NoError(t, err)
	return config.Config{
		Sentinel: !strings.HasPrefix(pod, "server"), Prefix: "redis-ha-", PodName: pod, PodUID: "uid-" + pod, Namespace: "default",
		PodIP: netip.MustParseAddr(server.Pod(pod).Status.PodIP), PodSelector: selector, MasterName: "mymaster",
		Servers: 3, Sentinels: 3, Quorum: 2, MinReplicas: 1, DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second,
		Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisPort: 6379, SentinelPort: 26379, HTTPPort: 8080,
	}
}

// Connect gives a client of the API that has read the pods, and watches them until the test ends.
func Connect(t *testing.T, server *fakeapi.Server, c config.Config) *kube.Client {
	t.Helper()
	line, err := server.Connect(c.PodName, "127.0.0.1:0")
	require.NoError(t, err)
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(c.Kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, line.URL()), 0o600))
	api, err := kube.New(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go api.Run(ctx)
	require.Eventually(t, api.Synced, bound, time.Millisecond)
	return api
}

// Member gives a pod of the release as the record names it.
func Member(pod string) record.Member {
	return record.Member{Name: pod, UID: "uid-" + pod, IP: "127.0.0.1"}
}

// SetRecord writes a record, whatever the API has.
func SetRecord(t *testing.T, api *kube.Client, want record.Record) {
	t.Helper()
	now, err := api.Record(t.Context())
	require.NoError(t, err)
	now.Master, now.Previous, now.Fence, now.Order, now.Generation = want.Master, want.Previous, want.Fence, want.Order, want.Generation
	_, err = api.WriteRecord(t.Context(), now)
	require.NoError(t, err)
}
