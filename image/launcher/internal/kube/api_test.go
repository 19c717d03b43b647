package kube

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

const prefix = "redis-ha-"

// release returns a server with a server pod, a sentinel pod, a pod that is
// not of the release, and the Leases of the chart.
func release(t *testing.T) *fakeapi.Server {
	t.Helper()
	server := fakeapi.New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for i, pod := range []struct{ name, app, component string }{
		{"server-a", "redis-ha", "server"}, {"sentinel-a", "redis-ha", "sentinel"}, {"stranger", "other", "server"},
	} {
		require.NoError(t, server.CreatePod(fakeapi.PodTemplate{
			Name: pod.name, UID: "uid-" + pod.name, IP: fmt.Sprintf("127.0.0.%d", 10+i), Created: created, Container: "redis",
			Labels: map[string]string{"app": pod.app, "component": pod.component},
		}))
	}
	require.NoError(t, server.CreateLease(prefix+"master"))
	require.NoError(t, server.CreateLease(prefix+"sentinels"))
	return server
}

var created = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// client connects the launcher of a pod.
func client(t *testing.T, server *fakeapi.Server, pod string) *Client {
	t.Helper()
	c, _ := clientAndLine(t, server, pod, slog.New(slog.DiscardHandler))
	return c
}

func clientAndLine(t *testing.T, server *fakeapi.Server, pod string, log *slog.Logger) (*Client, *fakeapi.Client) {
	t.Helper()
	line, err := server.Connect(pod, "127.0.0.1:0")
	require.NoError(t, err)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, line.URL()), 0o600))
	selector, err := labels.Parse("app=redis-ha")
	require.NoError(t, err)
	c, err := New(config.Config{
		Prefix: prefix, PodName: pod, PodUID: "uid-" + pod, Namespace: "default", PodIP: netip.MustParseAddr("127.0.0.10"),
		PodSelector: selector, Kubeconfig: kubeconfig,
	}, log)
	require.NoError(t, err)
	return c, line
}

// logbook collects what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func podLabel(server *fakeapi.Server, name, label string) string {
	return server.Pod(name).Labels[label]
}

func setLabel(t *testing.T, server *fakeapi.Server, name, label, value string) {
	t.Helper()
	require.NoError(t, server.UpdatePod(name, func(p *corev1.Pod) { p.Labels[label] = value }))
}
