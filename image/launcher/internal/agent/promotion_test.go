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
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// endedSentinel is one whose process has ended.
func endedSentinel(t *testing.T, name string) observe.SentinelView {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(listener.Addr().String())
	require.NoError(t, listener.Close())
	return observe.SentinelView{Pod: kube.Pod{Name: name}, View: role.View{Reach: role.Answered}, Node: observe.NewLinks("").To(addr.Addr(), int(addr.Port()))}
}

// While a failover runs, a hand-over that has waited long enough must not let
// clients write again: the promotion may come a moment later. Once it is over,
// waiting helps nobody.
func TestFailoverStateIsWhatTheSentinelsTell(t *testing.T) {
	const own, other = "10.0.0.1", "10.0.0.9"
	replacing, idle := "master,failover_in_progress", "master"
	answers := func(master, flags string) func(*testing.T, string) observe.SentinelView {
		return func(t *testing.T, name string) observe.SentinelView {
			view, _ := sentinelAt(t, name, own, map[string]string{"SENTINEL MASTER": fakeredis.Master(master, flags)})
			return view
		}
	}
	silent := func(t *testing.T, name string) observe.SentinelView {
		view, _ := sentinelAt(t, name, own, map[string]string{"SENTINEL MASTER": ""})
		return view
	}
	missed := func(t *testing.T, name string) observe.SentinelView {
		view := answers(own, replacing)(t, name)
		view.Reach = role.Unknown
		return view
	}
	lost := func(t *testing.T, name string) observe.SentinelView {
		view := silent(t, name)
		view.Reach = role.Unknown
		return view
	}
	for name, c := range map[string]struct {
		first, second func(*testing.T, string) observe.SentinelView
		want          progress
	}{
		"a sentinel replaces this master":               {answers(own, replacing), answers(own, idle), failoverRuns},
		"which did not answer before":                   {missed, answers(own, idle), failoverRuns},
		"and the other has ended":                       {endedSentinel, answers(own, replacing), failoverRuns},
		"and the other does not answer":                 {silent, answers(own, replacing), failoverRuns},
		"a sentinel only finds this master down":        {answers(own, "s_down,o_down,master"), answers(own, idle), failoverOver},
		"the sentinel that replaced it has ended":       {endedSentinel, answers(own, idle), failoverOver},
		"both have ended":                               {endedSentinel, endedSentinel, failoverOver},
		"a sentinel does not answer any more":           {silent, answers(own, idle), failoverUnclear},
		"a sentinel has never answered":                 {lost, answers(own, idle), failoverOver},
		"none has ever answered":                        {lost, lost, failoverUnclear},
		"a sentinel has replaced this master":           {answers(other, idle), answers(own, idle), failoverUnclear},
		"a sentinel replaces another":                   {answers(other, replacing), answers(own, idle), failoverUnclear},
		"a sentinel has ended, and one does not answer": {silent, endedSentinel, failoverUnclear},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := config.Config{MasterName: "mymaster", PodIP: netip.MustParseAddr(own)}
			views := []observe.SentinelView{c.first(t, "first"), c.second(t, "second")}
			require.Equal(t, c.want, failoverState(t.Context(), settings, views))
			views[0], views[1] = views[1], views[0]
			require.Equal(t, c.want, failoverState(t.Context(), settings, views), "in another order")
		})
	}
}

func TestFailoverEndsOnlyWhenItHasBeenOverForAMoment(t *testing.T) {
	settings := config.Config{MasterName: "mymaster", PodIP: netip.MustParseAddr("10.0.0.1")}
	began := time.Now()
	require.True(t, awaitFailoverEnd(t.Context(), settings, []observe.SentinelView{endedSentinel(t, "told")}))
	require.GreaterOrEqual(t, time.Since(began), promotionLag)

	limited, cancel := context.WithTimeout(t.Context(), 3*promotionLag)
	defer cancel()
	running, _ := sentinelAt(t, "told", "10.0.0.1", map[string]string{"SENTINEL MASTER": fakeredis.Master("10.0.0.1", "master,failover_in_progress")})
	require.False(t, awaitFailoverEnd(limited, settings, []observe.SentinelView{running}))
}

// A server that was not in sync when the hand-over began may be the one that the
// sentinel chooses; one that has never followed this master in between is a master of
// the past.
func TestPromotionOfAReplicaThatCameLateIsSeen(t *testing.T) {
	link := func(role, master string) string {
		return fakeredis.Text("role:" + role + "\r\nmaster_host:" + master + "\r\nmaster_port:6379\r\nmaster_link_status:up\r\n")
	}
	for name, c := range map[string]struct {
		inSync bool
		first  string
		seen   bool
	}{
		"it was in sync before":        {true, link("master", ""), true},
		"it followed a moment later":   {false, link("slave", "10.0.0.1"), true},
		"it followed somebody else":    {false, link("slave", "10.0.0.9"), false},
		"it says at once it is master": {false, link("master", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replica := fakeredis.Start(t, map[string]string{"INFO": c.first})
			s := &Server{links: observe.NewLinks(""), config: config.Config{PodIP: netip.MustParseAddr("10.0.0.1"), RedisPort: int(replica.Addr.Port())}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			servers, successors := []netip.Addr{replica.Addr.Addr()}, []netip.Addr{}
			if c.inSync {
				successors = servers
			}
			promoted := s.watchPromotion(ctx, servers, successors)
			require.Eventually(t, func() bool { return len(replica.Heard()) > 1 }, time.Second, time.Millisecond, "questions")
			replica.Answer("INFO", link("master", ""))
			if c.seen {
				require.Eventually(t, func() bool { return len(promoted) == 1 }, time.Second, time.Millisecond, "the promotion to be seen")
				require.Equal(t, replica.Addr.Addr(), <-promoted)
				return
			}
			asked := len(replica.Heard())
			require.Eventually(t, func() bool { return len(replica.Heard()) > asked+5 }, time.Second, time.Millisecond, "questions")
			require.Empty(t, promoted)
		})
	}
}

// The failover may be noticed when almost all of the first pause is over.
func TestPauseIsRenewedWhileAFailoverIsAwaited(t *testing.T) {
	master := fakeredis.Start(t, map[string]string{"CLIENT PAUSE": "+OK\r\n"})
	replica := fakeredis.Start(t, map[string]string{"INFO": fakeredis.Text("role:slave\r\n")})
	s := &Server{links: observe.NewLinks(""), config: config.Config{
		MasterName: "mymaster", PodIP: netip.MustParseAddr("10.0.0.1"), RedisPort: int(replica.Addr.Port()), DownAfter: 3 * time.Second,
	}}
	node := s.links.To(master.Addr.Addr(), int(master.Addr.Port()))
	replicas := []netip.Addr{replica.Addr.Addr()}
	_, err := s.awaitPromotion(node, replicas, replicas, []observe.SentinelView{endedSentinel(t, "told")})
	require.ErrorContains(t, err, "ended without a promotion")
	require.Contains(t, master.Heard(), "CLIENT PAUSE 1500 WRITE", "in the first quarter of a pause")
}
