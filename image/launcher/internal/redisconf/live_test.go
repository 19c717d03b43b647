package redisconf

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/defaults"
)

func TestLiveDirectivesAreReadAsRedisReadsThem(t *testing.T) {
	c := settings(func(c *config.Config) {
		c.ExtraConfig = []string{
			`proc-title-template "{title} {listen-addr}"`, "HZ 20", "hz 30", `notify-keyspace-events ""`, `broken "x`,
			"client-output-buffer-limit normal 1 1 1", "client-output-buffer-limit pubsub 2 2 2",
		}
	})
	require.Equal(t, map[string]string{
		"proc-title-template": "{title} {listen-addr}", "hz": "30", "notify-keyspace-events": "", "broken": `"x`, "min-replicas-max-lag": "3",
		"client-output-buffer-limit": "normal 1 1 1 pubsub 2 2 2",
	}, Live(c))
}

func TestOldNamesAreTakenBackBeforeNewOnesAreSet(t *testing.T) {
	require.Equal(t, []Change{{Name: "slave-lazy-flush", Reset: true}, {Name: "hz", Value: "20"}, {Name: "replica-lazy-flush", Value: "no"}},
		Changes(map[string]string{"slave-lazy-flush": "no", "timeout": "0"}, map[string]string{"replica-lazy-flush": "no", "hz": "20", "timeout": "0"}))
}

// A Redis that takes changes while it runs has the same values as one that was started with them.
func TestRedisTakesChangesAsIfItHadBeenStartedWithThem(t *testing.T) {
	stages := [][]string{
		nil,
		{"maxmemory-policy allkeys-lru", "maxmemory 100mb", "hz 20", "repl-diskless-sync-delay 3", "client-output-buffer-limit normal 1mb 1mb 10", `notify-keyspace-events "KEA"`, "repl-backlog-size 2mb"},
		{"client-output-buffer-limit replica 512mb 128mb 60 pubsub 1mb 1mb 1", "hash-max-ziplist-entries 7", "maxclients 100", "slave-lazy-flush yes"},
		{"hash-max-listpack-entries 9", "replica-lazy-flush yes", "client-output-buffer-limit normal 3mb 0 0"},
		nil,
	}
	at := func(lines []string) config.Config {
		return settings(func(c *config.Config) {
			c.BindAddress, c.RedisPort, c.DataDir, c.MemoryLimit, c.MaxMemoryPercent = "127.0.0.1", freePort(t), t.TempDir(), 700<<20, 75
			c.ExtraConfig, c.MinReplicasMaxLag = lines, time.Duration(len(lines)+1)*time.Second
		})
	}
	values := func(client *redis.Client) map[string]string {
		all, err := client.ConfigGet(t.Context(), "*").Result()
		require.NoError(t, err)
		for _, own := range []string{"port", "dir", "replica-announce-port", "slave-announce-port"} {
			delete(all, own)
		}
		return all
	}
	c := at(nil)
	running := run(t, Server(c, netip.AddrPort{}), c.RedisPort, "")
	applied := Live(c)
	for i, lines := range stages {
		next := at(lines)
		for _, change := range Changes(applied, Live(next)) {
			var told map[string]string
			if change.NeedsDefaults(next) {
				var err error
				told, err = defaults.Ask(t.Context(), "redis-server", t.TempDir(), []string{change.Name})
				require.NoError(t, err)
			}
			require.NoError(t, running.Do(t.Context(), "CONFIG", "SET", change.Name, change.Argument(next, told)).Err(), change)
		}
		applied = Live(next)
		started := run(t, Server(next, netip.AddrPort{}), next.RedisPort, "")
		require.Equal(t, values(started), values(running), "stage %d: %s", i, strings.Join(lines, "; "))
	}
}
