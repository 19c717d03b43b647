package agent

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/pace"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// A sentinel that is gone without a refusal, as a deleted pod is, once used up
// the time for the servers too: a master that had died then found no replica and
// started again.
func TestServersAnswerWhileASentinelTakesAllTheTimeThereIs(t *testing.T) {
	sentinel, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = sentinel.Close() }()
	replica := fakeredis.Start(t, map[string]string{
		"INFO": fakeredis.Text("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:7\r\n"),
	})
	s := &Server{
		config: config.Config{
			PodUID: "uid-a", MasterName: "mymaster", RedisPort: int(replica.Addr.Port()), HTTPPort: 1,
			SentinelPort: sentinel.Addr().(*net.TCPAddr).Port,
		},
		log: quiet, links: observe.NewLinks(""), guard: &writepause.Guard{},
	}
	here := netip.MustParseAddr("127.0.0.1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var facts role.Facts
	s.askOthers(ctx, role.Questions{Sentinels: true, Servers: true}, []kube.Pod{
		{Name: "sentinel", UID: "uid-s", IP: here, Sentinel: true, Ready: true},
		{Name: "server-b", UID: "uid-b", IP: here, Server: true, Ready: true},
	}, &facts)
	require.Equal(t, role.Unknown, facts.Views[0].Reach)
	require.Len(t, facts.Peers, 1)
	require.Equal(t, role.Answered, facts.Peers[0].Redis)
	require.EqualValues(t, 7, facts.Peers[0].Offset)
}

// A promotion may be due while one of the servers accepts connections and never answers.
func TestQuickQuestionsTakeNoLongerThanOneLookOfAFailover(t *testing.T) {
	master, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = master.Close() }()
	s := &Server{config: config.Config{PodUID: "uid-a", RedisPort: master.Addr().(*net.TCPAddr).Port, HTTPPort: 1}, log: quiet, links: observe.NewLinks("")}
	began := time.Now()
	var facts role.Facts
	s.askOthers(t.Context(), role.Questions{Servers: true, Quick: true}, []kube.Pod{
		{Name: "server-b", UID: "uid-b", IP: netip.MustParseAddr("127.0.0.1"), Server: true, Ready: true},
	}, &facts)
	require.Less(t, time.Since(began), 2*observe.QuickAnswer)
	require.Len(t, facts.Peers, 1, "they were asked")
}

// A launcher that has demoted its own Redis has ended its clients' connections. The look that finds the replica must not end them again.
func TestClientsOfADemotedMasterAreDroppedOnce(t *testing.T) {
	redis := fakeredis.Start(t, map[string]string{"CLIENT UNPAUSE": "+OK\r\n", "CLIENT KILL": ":3\r\n", "INFO": fakeredis.Text("role:master\r\nmaster_replid:m\r\n")})
	s := &Server{config: config.Config{PodIP: redis.Addr.Addr(), RedisPort: int(redis.Addr.Port())}, log: quiet, links: observe.NewLinks(""), child: &process.Child{}}
	s.pacer = pace.New(pace.Settings{Log: quiet})
	s.askOwn(t.Context())
	require.False(t, s.demoting)
	s.demoting = true
	require.NoError(t, s.finishDemotion(t.Context()))
	redis.Answer("INFO", fakeredis.Text("role:slave\r\nmaster_replid:m\r\n"))
	s.askOwn(t.Context())
	require.False(t, s.demoting, "it was this launcher")
	redis.Answer("INFO", fakeredis.Text("role:master\r\nmaster_replid:m\r\n"))
	s.askOwn(t.Context())
	redis.Answer("INFO", fakeredis.Text("role:slave\r\nmaster_replid:m\r\n"))
	s.askOwn(t.Context())
	require.True(t, s.demoting, "it was somebody else")
}

func TestOwnPodIsToldFromALaterPodOfTheSameName(t *testing.T) {
	created, address := time.Unix(1, 0), netip.MustParseAddr("10.0.0.1")
	s := &Server{config: config.Config{PodIP: address}, self: record.Member{Name: "server-1", UID: "uid-1", Volume: "volume"}, stopping: true}
	want := role.Member{Name: "server-1", UID: "uid-1", IP: address, Volume: "volume", Terminating: true}
	require.Equal(t, want, s.member([]kube.Pod{{Name: "server-1", UID: "uid-later", Created: time.Unix(2, 0), Revision: "new", Ordinal: 1}}))
	want.Created, want.Label, want.Revision, want.Ordinal = created, role.Slave, "old", 1
	require.Equal(t, want, s.member([]kube.Pod{{Name: "server-1", UID: "uid-1", Created: created, Role: role.Slave, Revision: "old", Ordinal: 1}}))
}

func TestDecisionsKnowWhetherVolumesAreKept(t *testing.T) {
	s := &Server{config: config.Config{Persistence: true}}
	require.False(t, s.settings().VolumesKept)
	s.config.VolumesKept = true
	require.True(t, s.settings().VolumesKept)
}
