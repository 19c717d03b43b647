package redisconf

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// freePort gives a port of the loopback address that nobody listens on.
func freePort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// run starts the real program with a configuration and gives a client that has
// reached it.
func run(t *testing.T, text string, port int, password string, arguments ...string) *redis.Client {
	t.Helper()
	return runEncrypted(t, text, port, password, nil, arguments...)
}

// runEncrypted is run with a client that encrypts, unless encryption is nil.
func runEncrypted(t *testing.T, text string, port int, password string, encryption *tls.Config, arguments ...string) *redis.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redis.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	program := exec.Command("redis-server", append([]string{path}, arguments...)...)
	var output bytes.Buffer
	program.Stdout, program.Stderr = &output, &output
	require.NoError(t, program.Start(), "redis-server is needed (Debian package redis-server)")
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	t.Cleanup(func() {
		_ = program.Process.Kill()
		<-ended
	})
	client := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Password: password, TLSConfig: encryption, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
	})
	t.Cleanup(func() { _ = client.Close() })
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := client.Ping(context.Background()).Err()
		if err == nil {
			return client
		}
		select {
		case <-ended:
			ended <- nil
			t.Fatalf("redis-server does not start with\n%s\n%s", text, &output)
		case <-time.After(20 * time.Millisecond):
		}
		require.True(t, time.Now().Before(deadline), "%v; %s", err, &output)
	}
}

func TestRedisTakesTheConfigurationAndThePassword(t *testing.T) {
	for _, password := range []string{``, `plain`, `two words "quoted" 'single' \back\\slash\" # pässwörd ✓`, `"; user default on nopass`} {
		t.Run(password, func(t *testing.T) {
			c := settings(func(c *config.Config) {
				c.BindAddress, c.RedisPort, c.DataDir, c.Password = "127.0.0.1", freePort(t), filepath.Join(t.TempDir(), "da ta"), password
				c.ExtraConfig = []string{"maxmemory 100mb"}
			})
			require.NoError(t, os.Mkdir(c.DataDir, 0o700))
			client := run(t, Server(c, netip.AddrPort{}), c.RedisPort, password)
			ctx := context.Background()
			require.NoError(t, client.Set(ctx, "key", "value", 0).Err())
			values, err := client.ConfigGet(ctx, "*").Result()
			require.NoError(t, err)
			require.Equal(t, password, values["requirepass"])
			require.Equal(t, password, values["masterauth"])
			require.Equal(t, c.DataDir, values["dir"])
			require.Equal(t, "104857600", values["maxmemory"])
			require.Equal(t, "0", values["replica-priority"])
			require.Equal(t, "", values["save"])
			if password != "" {
				stranger := redis.NewClient(&redis.Options{Addr: client.Options().Addr, Protocol: 2, DisableIdentity: true})
				defer stranger.Close()
				require.ErrorContains(t, stranger.Ping(ctx).Err(), "NOAUTH")
			}
		})
	}
}

// A running Redis that gets another memory limit has the same settings as a Redis that was started with that limit.
func TestRedisFollowsAnotherMemoryLimitWhileItRuns(t *testing.T) {
	c := settings(func(c *config.Config) {
		c.BindAddress, c.RedisPort, c.DataDir, c.MemoryLimit, c.MaxMemoryPercent = "127.0.0.1", freePort(t), t.TempDir(), 700<<20, 75
	})
	client := run(t, Server(c, netip.AddrPort{}), c.RedisPort, "")
	sized := func() []string {
		values, err := client.ConfigGet(t.Context(), "*").Result()
		require.NoError(t, err)
		limits := values["client-output-buffer-limit"]
		return []string{values["maxmemory"], values["maxmemory-policy"], values["repl-backlog-size"], limits[strings.Index(limits, "slave"):strings.Index(limits, " pubsub")]}
	}
	require.Equal(t, []string{"550502400", "noeviction", "45875200", "slave 122333866 0 0"}, sized())
	set := []any{"CONFIG", "SET"}
	for _, d := range Resized(c, 1<<30) {
		set = append(set, d.Name, d.Value)
	}
	require.NoError(t, client.Do(t.Context(), set...).Err())
	require.Equal(t, []string{"805306368", "noeviction", "67108864", "slave 178956970 0 0"}, sized())
}

func TestSentinelTakesTheConfigurationAndTheSeed(t *testing.T) {
	c := settings(func(c *config.Config) {
		c.BindAddress, c.SentinelPort, c.RunDir, c.Password = "127.0.0.1", freePort(t), t.TempDir(), `a "b" \c ✓`
	})
	started := seed
	started.Master = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(freePort(t)))
	client := run(t, Sentinel(c, started), c.SentinelPort, c.Password, "--sentinel")
	ctx := context.Background()
	reply, err := client.Do(ctx, "SENTINEL", "MASTER", "mymaster").StringSlice()
	require.NoError(t, err)
	for _, want := range [][2]string{
		{"ip", "127.0.0.1"}, {"port", strconv.Itoa(int(started.Master.Port()))}, {"config-epoch", "7"}, {"num-slaves", "2"},
		{"num-other-sentinels", "2"}, {"quorum", "2"}, {"failover-timeout", "8000"}, {"down-after-milliseconds", "3000"},
	} {
		require.Subset(t, pairs(reply), [][2]string{want})
	}
	id, err := client.Do(ctx, "SENTINEL", "MYID").Text()
	require.NoError(t, err)
	require.Equal(t, seed.ID, id)
}

// pairs reads a flat list of keys and values.
func pairs(list []string) (out [][2]string) {
	for i := 0; i+1 < len(list); i += 2 {
		out = append(out, [2]string{list[i], list[i+1]})
	}
	return out
}
