package redisconf

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

func sumOf(password string) string {
	s := sha256.Sum256([]byte(password))
	return hex.EncodeToString(s[:])
}

// with is a connection that tries passwords.
func with(t *testing.T, port int, passwords ...string) *redisnode.Node {
	t.Helper()
	n := redisnode.New(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), "").Trying(func() []string { return passwords })
	t.Cleanup(n.Close)
	return n
}

// lets says whether a new connection with one password is let in.
func lets(t *testing.T, port int, password string) bool {
	t.Helper()
	accepts, reach := with(t, port, password).Accepts(t.Context())
	require.Equal(t, redisnode.Answered, reach)
	return accepts
}

// Redis and Sentinel start in each step of a change, and take the other steps while they run.
func TestRedisAndSentinelAcceptSeveralPasswordsWhileOneTakesThePlaceOfAnother(t *testing.T) {
	changing := func(link string, accepted ...string) config.Config {
		return settings(func(c *config.Config) {
			c.BindAddress, c.RedisPort, c.SentinelPort, c.DataDir, c.RunDir = "127.0.0.1", freePort(t), freePort(t), t.TempDir(), t.TempDir()
			c.Password, c.Passwords = "new one", &config.Passwords{Link: link, Accepted: accepted}
		})
	}
	started := seed
	started.Master = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(freePort(t)))
	both := []string{"resetpass", "#" + sumOf("new one"), "#" + sumOf("old one")}
	for name, sentinel := range map[string]bool{"redis": false, "sentinel": true} {
		t.Run(name, func(t *testing.T) {
			begin := func(c config.Config) int {
				if sentinel {
					run(t, Sentinel(c, started), c.SentinelPort, "new one", "--sentinel")
					return c.SentinelPort
				}
				run(t, Server(c, netip.AddrPort{}), c.RedisPort, "new one")
				return c.RedisPort
			}
			port := begin(changing("old one", both...))
			require.True(t, lets(t, port, "new one"))
			require.True(t, lets(t, port, "old one"))
			require.False(t, lets(t, port, ""))
			require.False(t, lets(t, port, "another"))
			node := with(t, port, "another", "", "old one")
			sums, none, err := node.Passwords(t.Context())
			require.NoError(t, err, "it tries all")
			require.False(t, none)
			require.ElementsMatch(t, []string{sumOf("new one"), sumOf("old one")}, sums)

			require.NoError(t, node.SetPasswords(t.Context(), both[:2]))
			require.True(t, lets(t, port, "new one"))
			require.False(t, lets(t, port, "old one"))
			_, _, err = node.Passwords(t.Context())
			require.NoError(t, err, "an open connection stays")

			require.NoError(t, node.SetPasswords(t.Context(), []string{"nopass"}))
			for _, password := range []string{"new one", "old one", ""} {
				require.True(t, lets(t, port, password), password)
			}
			_, none, err = node.Passwords(t.Context())
			require.NoError(t, err)
			require.True(t, none)

			port = begin(changing("new one", "nopass"))
			require.True(t, lets(t, port, ""))
			port = begin(changing("new one", both[:2]...))
			require.False(t, lets(t, port, ""))
			require.True(t, lets(t, port, "new one"))
		})
	}
}

func TestReplicaAndSentinelNameTheUserWhileThePasswordChanges(t *testing.T) {
	c := settings(func(c *config.Config) {
		c.Password, c.Passwords = "new", &config.Passwords{Link: "old", Accepted: []string{"nopass"}}
	})
	require.Contains(t, Server(c, netip.AddrPort{}), "masterauth \"old\"\nmasteruser default\n")
	require.Contains(t, Server(c, netip.AddrPort{}), "user default on nopass ~* &* +@all\n")
	text := Sentinel(c, seed)
	for _, line := range []string{"sentinel auth-pass mymaster \"old\"\n", "sentinel auth-user mymaster default\n", "sentinel sentinel-pass \"old\"\n", "sentinel sentinel-user default\n"} {
		require.Contains(t, text, line)
	}
	c.Password, c.Passwords = "", &config.Passwords{Accepted: []string{"nopass"}}
	for _, text := range []string{Server(c, netip.AddrPort{}), Sentinel(c, seed)} {
		require.NotContains(t, text, "user")
		require.NotContains(t, text, "pass")
		require.NotContains(t, text, "masterauth")
	}
}
