package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

func TestExternalMasterKeepsAnAddressThatItsNameStillHas(t *testing.T) {
	e := &externalMaster{config: config.External{Host: "127.0.0.1", Port: 6380}}
	e.resolve(t.Context())
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), *e.addr.Load())

	known := netip.MustParseAddr("127.0.0.1")
	e.addr.Store(&known)
	e.resolve(t.Context())
	require.Same(t, &known, e.addr.Load())

	e.config.Host = "no-such-name.invalid"
	e.resolve(t.Context())
	require.Same(t, &known, e.addr.Load(), "a name that does not resolve any more keeps its address")

	e.config.Host = "127.0.0.2"
	e.resolve(t.Context())
	require.Equal(t, netip.MustParseAddr("127.0.0.2"), *e.addr.Load())
}

func TestMasterToFollowHasItsPort(t *testing.T) {
	s := &Server{config: config.Config{RedisPort: 6379}}
	require.Equal(t, role.External{}, s.external(), "there is none")
	inside, outside := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("127.0.0.1")
	s.config.External = config.External{Host: "127.0.0.1", Port: 6380}
	s.externalMaster = &externalMaster{config: s.config.External}
	require.Equal(t, role.External{On: true}, s.external(), "its name has not been resolved yet")
	background := t.Context()
	go s.externalMaster.run(background)
	require.Eventually(t, func() bool { return s.external().Addr == outside }, 10*time.Second, 10*time.Millisecond)
	s.plan.Seen.External = s.external()
	master, external := s.masterAt(outside)
	require.True(t, external)
	require.Equal(t, "127.0.0.1:6380", master.String())
	master, external = s.masterAt(inside)
	require.False(t, external)
	require.Equal(t, "10.0.0.2:6379", master.String())
	s.plan.Seen.External = role.External{}
	master, external = s.masterAt(outside)
	require.False(t, external, "the release has a master of its own, which has got that address")
	require.Equal(t, "127.0.0.1:6379", master.String())
}

func TestSuccessorOfAnExternalMasterForgetsThePasswordOfThatMaster(t *testing.T) {
	redis := fakeredis.Start(t, map[string]string{"REPLICAOF": "-ERR not now\r\n", "CONFIG": "+OK\r\n"})
	s := &Server{
		config: config.Config{
			PodIP: redis.Addr.Addr(), RedisPort: int(redis.Addr.Port()), Password: "ours", External: config.External{Host: "old", Port: 6380, Password: "theirs", TLS: true},
		},
		log: quiet, links: observe.NewLinks(""),
	}
	require.Error(t, s.promote(t.Context()))
	redis.Answer("REPLICAOF", "+OK\r\n")
	require.NoError(t, s.promote(t.Context()))
	redis.Answer("CONFIG", "-ERR not now\r\n")
	require.NoError(t, s.promote(t.Context()), "it is master, whatever password it has")
	var told []string
	for _, command := range redis.Heard() {
		if command = strings.ToLower(command); strings.HasPrefix(command, "replicaof") || strings.HasPrefix(command, "config set") {
			told = append(told, command)
		}
	}
	const promote, forget = "replicaof no one", "config set masterauth ours tls-replication no"
	require.Equal(t, []string{promote, promote, forget, promote, forget}, told)
}
