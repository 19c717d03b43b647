package redisconf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

// hostile passwords try to end their word, their line or the file.
var hostile = []string{
	`plain`, ` `, `two words`, `"`, `""`, `\`, `\\`, `\"`, `'`, `"; user default on nopass`, `#`, `# comment`, `a"b'c\d e`, `\x41`, `\n`, `%s`,
	"pässwörd ✓ 日本", "\u00a0", "\u2028requirepass", `" requirepass "`, strings.Repeat(`"\ `, 100),
}

func settings(change func(*config.Config)) config.Config {
	c := config.Config{
		PodIP: netip.MustParseAddr("10.0.0.1"), Servers: 3, Sentinels: 3, Quorum: 2, MasterName: "mymaster",
		DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second, MinReplicasMaxLag: 3 * time.Second, Persistence: true,
		RedisPort: 6379, SentinelPort: 26379, DataDir: "/redis-master-data", RunDir: "/run/redis-ha",
	}
	if change != nil {
		change(&c)
	}
	return c
}

// parsed reads a file as Redis does: one directive a line.
func parsed(t require.TestingT, text string) map[string][][]string {
	out := map[string][][]string{}
	require.True(t, strings.HasSuffix(text, "\n"))
	for line := range strings.Lines(text) {
		words, err := split(line)
		require.NoError(t, err, line)
		require.NotEmpty(t, words)
		out[words[0]] = append(out[words[0]], words[1:])
	}
	return out
}

func TestQuotedTextIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).
			Draw(t, "text")
		line := "requirepass " + quote(s)
		words, err := split(line)
		require.NoError(t, err)
		require.Equal(t, []string{"requirepass", s}, words)
		require.NotContains(t, line, "\n")
	})
}

func TestNoPasswordAddsOrChangesADirective(t *testing.T) {
	master := netip.MustParseAddrPort("10.0.0.2:6379")
	without := parsed(t, Server(settings(nil), master))
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.OneOf(rapid.SampledFrom(hostile), rapid.StringN(1, 40, -1)).Draw(t, "password")
		c := settings(func(c *config.Config) { c.Password = password })
		got := parsed(t, Server(c, master))
		require.Equal(t, [][]string{{password}}, got["requirepass"])
		require.Equal(t, [][]string{{password}}, got["masterauth"])
		delete(got, "requirepass")
		delete(got, "masterauth")
		require.Equal(t, without, got)

		sentinel := parsed(t, Sentinel(c, seed))
		require.Equal(t, [][]string{{password}}, sentinel["requirepass"])
		require.Contains(t, sentinel["sentinel"], []string{"sentinel-pass", password})
		require.Contains(t, sentinel["sentinel"], []string{"auth-pass", "mymaster", password})
		require.Len(t, sentinel["sentinel"], len(parsed(t, Sentinel(settings(nil), seed))["sentinel"])+2)
		read, ok := ParseSentinel(Sentinel(c, seed))
		require.True(t, ok)
		require.Equal(t, seed, read)
	})
}

func TestServerFollowsTheGivenMasterAndStartsUnpromotable(t *testing.T) {
	replica := parsed(t, Server(settings(nil), netip.MustParseAddrPort("10.0.0.2:7000")))
	require.Equal(t, [][]string{{"10.0.0.2", "7000"}}, replica["replicaof"])
	require.Equal(t, [][]string{{"0"}}, replica["replica-priority"])
	require.Equal(t, [][]string{{"0"}}, replica["min-replicas-to-write"])
	require.Equal(t, [][]string{{"3"}}, replica["min-replicas-max-lag"])
	require.Equal(t, [][]string{{"10.0.0.1"}}, replica["replica-announce-ip"])
	require.Equal(t, [][]string{{"*", "-::*"}}, replica["bind"])
	require.Equal(t, [][]string{{"yes"}}, replica["appendonly"])
	require.Equal(t, [][]string{{""}}, replica["save"])
	require.NotContains(t, replica, "rdb-del-sync-files")
	require.NotContains(t, replica, "requirepass")

	master := parsed(t, Server(settings(func(c *config.Config) { c.Persistence, c.BindAddress = false, "127.0.0.9" }), netip.AddrPort{}))
	require.NotContains(t, master, "replicaof")
	require.Equal(t, [][]string{{"no"}}, master["appendonly"])
	require.NotContains(t, master, "appendfilename")
	require.Equal(t, [][]string{{"yes"}}, master["rdb-del-sync-files"])
	require.Equal(t, [][]string{{"127.0.0.9"}}, master["bind"])
}

// Sentinel would make a second master a replica, and clients must not read what is being loaded.
func TestUnseenServerListensAtItsSocketOnly(t *testing.T) {
	unseen := parsed(t, Unseen(settings(nil), "/run/redis-ha/unseen.sock"))
	ports := unseen["port"]
	require.Equal(t, []string{"0"}, ports[len(ports)-1], "the last one counts")
	require.Equal(t, [][]string{{"/run/redis-ha/unseen.sock"}}, unseen["unixsocket"])
	require.NotContains(t, unseen, "replicaof")

	encrypted := parsed(t, Unseen(settings(func(c *config.Config) { c.TLS = config.TLS{CertFile: "tls.crt"} }), "/run/redis-ha/unseen.sock"))
	for _, directive := range []string{"port", "tls-port"} {
		ports := encrypted[directive]
		require.Equal(t, []string{"0"}, ports[len(ports)-1], directive)
	}
}

func TestFurtherDirectivesComeBetweenDefaultsAndWhatTheLauncherOwns(t *testing.T) {
	text := Server(settings(func(c *config.Config) { c.ExtraConfig = []string{"maxmemory 1mb", "Repl-Backlog-Size 64mb"} }), netip.AddrPort{})
	require.Contains(t, text, "\nmaxmemory 1mb\nRepl-Backlog-Size 64mb\nbind ")
	require.Contains(t, Server(settings(nil), netip.AddrPort{}), "\nrepl-backlog-size 16777216\n")
}

func TestThousandsOfClientsFindRoom(t *testing.T) {
	text := parsed(t, Server(settings(nil), netip.AddrPort{}))
	require.Equal(t, [][]string{{"4096"}}, text["tcp-backlog"])
	require.Equal(t, [][]string{{"11000"}}, text["maxclients"])
}

func TestBuffersOfReplicasFollowTheMemoryLimit(t *testing.T) {
	without := parsed(t, Server(settings(nil), netip.AddrPort{}))
	require.NotContains(t, without, "client-output-buffer-limit")
	text := parsed(t, Server(settings(func(c *config.Config) { c.MemoryLimit = 700 << 20 }), netip.AddrPort{}))
	require.Equal(t, [][]string{{"45875200"}}, text["repl-backlog-size"])
	require.Equal(t, [][]string{{"replica", "122333866", "0", "0"}}, text["client-output-buffer-limit"])
}

func TestDirectivesTheLauncherWritesAreOwnedOrTheUsersValueIsTheLast(t *testing.T) {
	for _, persistence := range []bool{true, false} {
		ours := parsed(t, Server(settings(func(c *config.Config) { c.Persistence, c.MemoryLimit = persistence, 700<<20 }), netip.MustParseAddrPort("10.0.0.2:6379")))
		for directive := range ours {
			if config.Owned(directive) {
				continue
			}
			text := Server(settings(func(c *config.Config) {
				c.Persistence, c.ExtraConfig = persistence, []string{strings.ToUpper(directive) + " of-the-user"}
			}), netip.AddrPort{})
			values := parsed(t, strings.ToLower(text))[directive]
			require.Equal(t, []string{"of-the-user"}, values[len(values)-1], "Redis takes the last value of %s", directive)
		}
	}
}

func TestMaxMemoryFollowsTheMemoryLimitAndTheUsersValueIsTheLast(t *testing.T) {
	sized := func(c *config.Config) { c.MemoryLimit, c.MaxMemoryPercent = 700<<20, 75 }
	require.Equal(t, [][]string{{"550502400"}}, parsed(t, Server(settings(sized), netip.AddrPort{}))["maxmemory"])
	own := parsed(t, Server(settings(func(c *config.Config) { sized(c); c.ExtraConfig = []string{"maxmemory 0"} }), netip.AddrPort{}))
	require.Equal(t, [][]string{{"550502400"}, {"0"}}, own["maxmemory"], "Redis takes the last value")
	require.NotContains(t, parsed(t, Server(settings(func(c *config.Config) { sized(c); c.MaxMemoryPercent = 0 }), netip.AddrPort{})), "maxmemory")
}

func TestAnotherMemoryLimitChangesWhatFollowsFromItAndNotWhatTheUserSets(t *testing.T) {
	all := []Directive{{"repl-backlog-size", "67108864"}, {"client-output-buffer-limit", "replica 178956970 0 0"}, {"maxmemory", "805306368"}}
	for name, c := range map[string]struct {
		user []string
		want []Directive
	}{
		"nothing of the user's":    {nil, all},
		"another directive":        {[]string{"maxmemory-policy allkeys-lru", "client-output-buffer-limit pubsub 1mb 0 0"}, all},
		"maxmemory":                {[]string{"MAXMEMORY 1mb"}, all[:2]},
		"the backlog":              {[]string{"repl-backlog-size 1mb"}, all[1:]},
		"the buffer of a replica":  {[]string{"client-output-buffer-limit normal 0 0 0 slave 1mb 0 0"}, []Directive{all[0], all[2]}},
		"everything is the user's": {[]string{"maxmemory 0", "repl-backlog-size 1mb", "client-output-buffer-limit replica 1mb 0 0"}, nil},
	} {
		started := settings(func(c *config.Config) { c.MemoryLimit, c.MaxMemoryPercent = 700<<20, 75 })
		started.ExtraConfig = c.user
		require.ElementsMatch(t, c.want, Resized(started, 1<<30), name)
		require.Empty(t, Resized(started, 700<<20), name)
	}
	none := settings(func(c *config.Config) { c.MemoryLimit = 700 << 20 })
	require.ElementsMatch(t, all[:2], Resized(none, 1<<30), "without a share of the limit there is no maxmemory")
}

var seed = SentinelSeed{
	ID: strings.Repeat("0123456789", 4), Master: netip.MustParseAddrPort("10.0.0.2:6379"), ConfigEpoch: 7, CurrentEpoch: 9,
	Replicas: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.3:6379"), netip.MustParseAddrPort("[fd00::4]:6379")},
	Sentinels: []KnownSentinel{
		{Addr: netip.MustParseAddrPort("10.0.0.5:26379"), ID: strings.Repeat("a", 40)},
		{Addr: netip.MustParseAddrPort("[fd00::6]:26379"), ID: strings.Repeat("b", 40)},
	},
}

func TestSentinelStartsWithTheSettingsAndTheSeed(t *testing.T) {
	directives := parsed(t, Sentinel(settings(nil), seed))["sentinel"]
	for _, want := range []string{
		"announce-ip 10.0.0.1", "announce-port 26379", "deny-scripts-reconfig yes", "resolve-hostnames no", "monitor mymaster 10.0.0.2 6379 2",
		"down-after-milliseconds mymaster 3000", "failover-timeout mymaster 8000", "parallel-syncs mymaster 100", "config-epoch mymaster 7",
		"leader-epoch mymaster 9", "current-epoch 9", "known-replica mymaster 10.0.0.3 6379", "known-replica mymaster fd00::4 6379",
		"known-sentinel mymaster 10.0.0.5 26379 " + strings.Repeat("a", 40),
	} {
		require.Contains(t, directives, strings.Fields(want))
	}
	alone := parsed(t, Sentinel(settings(func(c *config.Config) { c.Servers = 1 }), seed))["sentinel"]
	require.Contains(t, alone, strings.Fields("parallel-syncs mymaster 100"), "0 is refused by Sentinel")
}

func TestSentinelFileIsReadBack(t *testing.T) {
	anyAddr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip")
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), rapid.Uint16Min(1).Draw(t, "port"))
	})
	anyID := rapid.StringMatching(`[0-9a-f]{40}`)
	rapid.Check(t, func(t *rapid.T) {
		want := SentinelSeed{
			ID: anyID.Draw(t, "id"), Master: anyAddr.Draw(t, "master"),
			ConfigEpoch: rapid.Int64Min(0).Draw(t, "config epoch"), CurrentEpoch: rapid.Int64Min(0).Draw(t, "current epoch"),
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "others") {
			want.Replicas = append(want.Replicas, anyAddr.Draw(t, fmt.Sprint("replica ", i)))
			want.Sentinels = append(want.Sentinels, KnownSentinel{Addr: anyAddr.Draw(t, fmt.Sprint("sentinel ", i)), ID: anyID.Draw(t, "its id")})
		}
		got, ok := ParseSentinel(Sentinel(settings(nil), want))
		require.True(t, ok)
		require.Equal(t, want, got)
	})
}

func TestWhatSentinelItselfWritesIsRead(t *testing.T) {
	got, ok := ParseSentinel("port 26379\nsentinel myid 1234\nsentinel monitor mymaster 10.0.0.2 6379 2\nsentinel known-slave mymaster 10.0.0.3 6379\n" +
		"sentinel known-sentinel mymaster 10.0.0.4 26379 abcd\nsentinel known-sentinel mymaster 10.0.0.5 26379\nsentinel current-epoch 3\n" +
		"sentinel config-epoch mymaster 2\n# sentinel current-epoch 99\nlatency-tracking-info-percentiles 50 99 99.9\n")
	require.True(t, ok)
	require.Equal(t, SentinelSeed{
		ID: "1234", Master: netip.MustParseAddrPort("10.0.0.2:6379"), ConfigEpoch: 2, CurrentEpoch: 3,
		Replicas:  []netip.AddrPort{netip.MustParseAddrPort("10.0.0.3:6379")},
		Sentinels: []KnownSentinel{{Addr: netip.MustParseAddrPort("10.0.0.4:26379"), ID: "abcd"}},
	}, got)
	for _, text := range []string{"", "sentinel", "sentinel monitor mymaster", "sentinel monitor mymaster redis.example 6379 2", "sentinel myid 1"} {
		_, ok := ParseSentinel(text)
		require.False(t, ok, text)
	}
}

func TestReplicaThatLoadsASavedCopyDiffersInItsAppendOnlyFileAlone(t *testing.T) {
	master := netip.MustParseAddrPort("10.0.0.2:6379")
	for _, text := range []string{Server(settings(nil), master), ExternalReplica(settings(nil), master)} {
		usual, saved := parsed(t, text), parsed(t, FromSavedCopy(text))
		require.Equal(t, [][]string{{"yes"}, {"no"}}, saved["appendonly"], "the last one counts")
		saved["appendonly"] = usual["appendonly"]
		require.Equal(t, usual, saved)
	}
}
