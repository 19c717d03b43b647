package promote

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

func TestWhatIsInTheWayOfAServer(t *testing.T) {
	external := state{master: true, offset: 100 << 20, history: "h"}
	good := redisnode.Info{LinkUp: true, ReplID: "h", Offset: external.offset}
	for want, change := range map[string]func(*server){
		"":                      func(*server) {},
		"does not answer: gone": func(s *server) { s.err = errors.New("gone") },
		"loads its data":        func(s *server) { s.info.Loading = true },
		"is master":             func(s *server) { s.info.Master = true },
		"has no link to":        func(s *server) { s.info.LinkUp = false },
		"has another history":   func(s *server) { s.info.ReplID = "other" },
		"is 50 MiB behind":      func(s *server) { s.info.Offset -= 50 << 20 },
	} {
		s := server{info: good}
		change(&s)
		if want == "" {
			require.Empty(t, obstacle(s, external))
		} else {
			require.Contains(t, obstacle(s, external), want)
		}
	}
	behind := server{info: good}
	behind.info.Offset -= lagLimit
	require.Empty(t, obstacle(behind, external), "it catches up while writes wait")
	require.Empty(t, obstacle(server{info: good}, state{offset: external.offset}), "a server that tells no history")
}

func TestWhatIsInTheWayOfTheExternalMaster(t *testing.T) {
	good := state{master: true, offset: 7, history: "h", process: "p"}
	require.Empty(t, good.obstacles("old:6379", 0))
	replica, empty := good, good
	replica.master, empty.empty = false, true
	require.Contains(t, replica.obstacles("old:6379", 0)[0], "is a replica itself")
	require.Contains(t, empty.obstacles("old:6379", 0)[0], "has no keys, and may have lost them")
	require.Contains(t, good.obstacles("old:6379", 3)[0], "3 Sentinel(s) watch old:6379")
}

// Writes wait at the Redis that was asked to hold them back, and nowhere else.
func TestExternalMasterThatHasChangedIsNotSucceeded(t *testing.T) {
	p := &promotion{process: "p", source: &source{address: "old:6379"}}
	require.NoError(t, p.unchanged(state{master: true, process: "p"}))
	require.ErrorContains(t, p.unchanged(state{process: "p"}), "has become a replica")
	require.ErrorContains(t, p.unchanged(state{master: true, process: "another"}), "another Redis answers")
}

func TestOrderEndsBeforeThePause(t *testing.T) {
	for _, c := range []struct{ pause, paused, want time.Duration }{
		{time.Minute, time.Second, successionTime},
		{shortestPause, 2 * time.Second, 8 * time.Second},
		{shortestPause, shortestPause / 2, 2500 * time.Millisecond},
		{0, time.Hour, successionTime}, // the clients are stopped
	} {
		p := &promotion{options: Options{Pause: c.pause}}
		require.Equal(t, c.want, p.orderTime(c.paused), "%v of %v", c.paused, c.pause)
	}
}

func TestPauseIsLongEnoughForACutOver(t *testing.T) {
	c := config.Config{External: config.External{Host: "old", Port: 6379}}
	for _, pause := range []time.Duration{-time.Minute, time.Second} {
		require.ErrorContains(t, Run(t.Context(), c, nil, Options{Pause: pause}, io.Discard), "--pause-source is")
	}
}

// An answer that does not come may mean that writes wait.
func TestPauseThatFailsIsEnded(t *testing.T) {
	external := fakeredis.Start(t, map[string]string{"CLIENT": "-ERR not now\r\n"})
	source, err := connect(config.External{Host: external.Addr.Addr().String(), Port: int(external.Addr.Port())})
	require.NoError(t, err)
	p := &promotion{options: Options{Pause: time.Minute}, out: io.Discard, source: source}
	t.Cleanup(func() { _ = p.source.Close() })
	require.ErrorContains(t, p.carryOut(t.Context()), "hold writes back")
	heard := strings.ToLower(strings.Join(external.Heard(), "\n"))
	require.Contains(t, heard, "client pause 60000 write\nclient unpause")
}
