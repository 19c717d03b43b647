package promote

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
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
