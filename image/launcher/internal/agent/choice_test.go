package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

func TestReplicaIsNotHeldBackForever(t *testing.T) {
	reply := "*1\r\n" + fakeredis.List("ip", "10.0.0.4", "port", "6379", "flags", "slave", "runid", "a", "slave-priority", "100",
		"info-refresh", "10", "last-ok-ping-reply", "10")
	view, _ := sentinelAt(t, "first", "10.0.0.1", map[string]string{"SENTINEL REPLICAS": reply})
	s := &Server{config: config.Config{MasterName: "mymaster", PodIP: netip.MustParseAddr("10.0.0.4")}, log: quiet}
	require.False(t, s.remembered(t.Context()), "no sentinel answers")
	s.views = []observe.SentinelView{view}
	require.True(t, s.remembered(t.Context()))
	s.memory.ProcessStarted(false, time.Now())
	s.memory.MayBeRemembered(time.Now().Add(-time.Minute))
	require.False(t, s.remembered(t.Context()), "who answers at this address is not the replica that was here")
}
