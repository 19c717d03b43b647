package agent

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube/kubetest"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

const bound = kubetest.Bound

var (
	quiet    = kubetest.Quiet
	release  = kubetest.Release
	settings = kubetest.Settings
	connect  = kubetest.Connect
	member   = kubetest.Member
)

// launcher is a server's launcher whose Redis is said to run.
func launcher(t *testing.T, server *fakeapi.Server, pod string) *Server {
	t.Helper()
	c := settings(t, server, pod)
	registry := prometheus.NewRegistry()
	s := NewServer(c, connect(t, server, c), web.New(registry), NewMetrics(registry), quiet)
	s.child = &process.Child{}
	return s
}
