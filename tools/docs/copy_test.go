package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis starts a redis-server with a password and returns a client of it.
func startRedis(t *testing.T, password string) *redis.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = listener.Close()
	server := exec.CommandContext(t.Context(), "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--save", "", "--requirepass", password)
	if err := server.Start(); err != nil {
		t.Fatalf("start redis-server (`make tools` installs it): %v", err)
	}
	t.Cleanup(func() { _ = server.Wait() })
	client := redis.NewClient(&redis.Options{Addr: address, Password: password, MaxRetries: 50, MinRetryBackoff: 20 * time.Millisecond})
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("wait for redis-server: %v", err)
	}
	return client
}

// copyData runs docs/copy-data.sh.
func copyData(t *testing.T, old, new *redis.Client) (output string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", filepath.Join(root(t), "docs", "copy-data.sh"), old.Options().Addr, new.Options().Addr)
	command.Env = append(os.Environ(), "OLD_PASS="+old.Options().Password, "NEW_PASS="+new.Options().Password, "TMPDIR="+t.TempDir())
	said, err := command.CombinedOutput()
	return string(said), err
}

func TestCopyDataCopiesEveryKindOfKey(t *testing.T) {
	ctx := t.Context()
	old, new := startRedis(t, "old password"), startRedis(t, "new 'password'")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keys := []string{"string", "binary \x00\r\n\xff key", "passing", "list", "hash", "set", "sorted set", "stream"}
	must(old.Set(ctx, keys[0], "value", 0).Err())
	must(old.Set(ctx, keys[1], "binary \x00\r\n\xff value", 0).Err())
	must(old.Set(ctx, keys[2], "value", time.Hour).Err())
	must(old.RPush(ctx, keys[3], "a", "b").Err())
	must(old.HSet(ctx, keys[4], "field", "value").Err())
	must(old.SAdd(ctx, keys[5], "a").Err()) // one: the order of several in a dump is random
	must(old.ZAdd(ctx, keys[6], redis.Z{Score: 0.1, Member: "a"}).Err())
	must(old.XAdd(ctx, &redis.XAddArgs{Stream: keys[7], ID: "1-1", Values: []string{"field", "value"}}).Err())
	must(old.Do(ctx, "eval", "redis.call('select', 5) redis.call('set', 'elsewhere', 'value') return 1", 0).Err())

	if said, err := copyData(t, old, new); err != nil || !strings.Contains(said, "errors: 0") {
		t.Fatalf("copy-data.sh: %v\n%s", err, said)
	}
	for _, key := range keys {
		requireSame(t, key, func(c *redis.Client) (any, error) { return c.Dump(ctx, key).Result() }, old, new)
		requireSame(t, key+" expires", func(c *redis.Client) (any, error) { return c.PExpireTime(ctx, key).Result() }, old, new)
	}
	requireSame(t, "number of keys", func(c *redis.Client) (any, error) { return c.DBSize(ctx).Result() }, old, new)
	requireSame(t, "another database", func(c *redis.Client) (any, error) {
		return c.Eval(ctx, "redis.call('select', 5) return redis.call('get', 'elsewhere')", nil).Result()
	}, old, new)
}

func requireSame(t *testing.T, what string, read func(*redis.Client) (any, error), old, new *redis.Client) {
	t.Helper()
	want, err := read(old)
	if err != nil {
		t.Fatalf("%s of the old Redis: %v", what, err)
	}
	got, err := read(new)
	if err != nil || got != want {
		t.Errorf("%s: %q (error %v), want %q", what, got, err, want)
	}
}

func TestCopyDataLeavesARedisWithDataAlone(t *testing.T) {
	old, new := startRedis(t, "password"), startRedis(t, "password")
	if err := new.RPush(t.Context(), "list", "a").Err(); err != nil {
		t.Fatal(err)
	}
	said, err := copyData(t, old, new)
	if err == nil || !strings.Contains(said, "holds data already") {
		t.Errorf("copy-data.sh: error %v\n%s", err, said)
	}
}

func TestCopyDataFailsWhereOneRedisDoesNotAnswer(t *testing.T) {
	running := startRedis(t, "password")
	gone := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = gone.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, pair := range map[string][2]*redis.Client{"the old one": {gone, running}, "the new one": {running, gone}} {
		if said, err := copyData(t, pair[0], pair[1]); err == nil || ctx.Err() != nil {
			t.Errorf("%s does not answer: error %v\n%s", name, err, said)
		}
	}
}
