package agent

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

const bound = 10 * time.Second

// The tests of this package use these short names for the fake release.
var (
	release    = fakerelease.New
	configured = fakerelease.Config
	connect    = fakerelease.Connect
	member     = fakerelease.Member
)

var quiet = slog.New(slog.DiscardHandler)

// launcher is a server's launcher whose Redis is said to run.
func launcher(t *testing.T, server *fakeapi.Server, pod string) *Server {
	t.Helper()
	c := configured(t, server, pod)
	registry := prometheus.NewRegistry()
	s := NewServer(c, nil, nil, nil, connect(t, server, c), web.New(registry), NewMetrics(registry), quiet)
	s.child = &process.Child{}
	return s
}
