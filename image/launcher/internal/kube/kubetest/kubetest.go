// Package kubetest gives the tests of the launcher a release of pods in a fake API.
package kubetest

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

	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// Bound is how long a test waits for an event that must come. No event takes as long, not even on a busy machine.
const Bound = 10 * time.Second

// Quiet drops what is logged.
var Quiet = slog.New(slog.DiscardHandler)

// Release starts a fake API with the Leases of the chart and with pods by the names given. The first pod has the address 127.0.0.10, and
// each next pod has the next address. A pod whose name begins with "sentinel" is a sentinel pod, and any other pod is a server pod.
func Release(t *testing.T, pods ...string) *fakeapi.Server {
	t.Helper()
	server := fakeapi.New("default")
	t.Cleanup(func() { check(t, server.Close()) })
	for i, name := range pods {
		component := "server"
		if strings.HasPrefix(name, "sentinel") {
			component = "sentinel"
		}
		check(t, server.CreatePod(fakeapi.PodTemplate{
			Name: name, UID: "uid-" + name, IP: fmt.Sprintf("127.0.0.%d", 10+i), Created: time.Now(), Container: "redis",
			Labels: map[string]string{"app": "redis-ha", "component": component},
		}))
	}
	check(t, server.CreateLease("redis-ha-master"))
	check(t, server.CreateLease("redis-ha-sentinels"))
	return server
}

// Settings returns the configuration of a pod of the release.
func Settings(t *testing.T, server *fakeapi.Server, pod string) config.Config {
	t.Helper()
	selector, err := labels.Parse("app=redis-ha")
	check(t, err)
	return config.Config{
		Sentinel: !strings.HasPrefix(pod, "server"), Prefix: "redis-ha-", PodName: pod, PodUID: "uid-" + pod, Namespace: "default",
		PodIP: netip.MustParseAddr(server.Pod(pod).Status.PodIP), PodSelector: selector, MasterName: "mymaster",
		Servers: 3, Sentinels: 3, Quorum: 2, MinReplicas: 1, DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second,
		Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisPort: 6379, SentinelPort: 26379, HTTPPort: 8080,
	}
}

// Connect returns a client of the fake API that watches the pods and has read them once. The client stops when the test ends.
func Connect(t *testing.T, server *fakeapi.Server, c config.Config) *kube.Client {
	t.Helper()
	line, err := server.Connect(c.PodName, "127.0.0.1:0")
	check(t, err)
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	check(t, os.WriteFile(c.Kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, line.URL()), 0o600))
	api, err := kube.New(c, Quiet)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go api.Run(ctx)
	for began := time.Now(); !api.Synced(); time.Sleep(time.Millisecond) {
		if time.Since(began) > Bound {
			t.Fatal("the pods have not been read")
		}
	}
	return api
}

// Member returns a pod as the Leases name it. Its address is 127.0.0.1, whatever address the pod has in the fake API.
func Member(pod string) record.Member {
	return record.Member{Name: pod, UID: "uid-" + pod, IP: "127.0.0.1"}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
