package copydata

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// fill writes keys of every type.
func fill(t *testing.T, i *instance) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	must(i.Set(ctx, "string", "value", 0).Err())
	must(i.Set(ctx, "empty", "", 0).Err())
	must(i.Set(ctx, "binary \x00\r\n\xff key", "binary \x00\r\n\xff value", 0).Err())
	must(i.Set(ctx, "passing", "value", time.Hour).Err())
	must(i.PFAdd(ctx, "estimate", "a", "b", "c").Err())
	must(i.RPush(ctx, "list", "a", "b", "", "a").Err())
	must(i.SAdd(ctx, "set", "a", "b", "c").Err())
	must(i.SAdd(ctx, "numbers", 1, 2, 3).Err())
	must(i.ZAdd(ctx, "sorted set", redis.Z{Score: 0.1, Member: "a"}, redis.Z{Score: -1e300, Member: "b"}, redis.Z{Score: 3, Member: ""}).Err())
	must(i.Do(ctx, "ZADD", "infinite", "inf", "a", "-inf", "b").Err())
	must(i.HSet(ctx, "hash", "field", "value", "other", "").Err())
	must(i.PExpireAt(ctx, "hash", time.Now().Add(2*time.Hour)).Err())
	fillStreams(t, i)
	must(i.in(t, 5).Set(ctx, "elsewhere", "value", 0).Err())
	must(i.in(t, 15).Set(ctx, "string", "another value", time.Hour).Err())
	if err := i.Do(ctx, "HPEXPIRE", "hash", 3_600_000, "FIELDS", 1, "field").Err(); err != nil {
		require.ErrorContains(t, err, "unknown command") // before Redis 7.4
	}
}

func fillStreams(t *testing.T, i *instance) {
	t.Helper()
	ctx := t.Context()
	for _, id := range []string{"1-1", "1-2", "7-0", "9-0"} {
		require.NoError(t, i.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: id, Values: []string{"field", "value " + id, "b", ""}}).Err())
	}
	require.NoError(t, i.XGroupCreate(ctx, "stream", "readers", "0").Err())
	require.NoError(t, i.XGroupCreate(ctx, "stream", "idle", "$").Err())
	require.NoError(t, i.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "readers", Consumer: "one", Streams: []string{"stream", ">"}, Count: 2}).Err())
	require.NoError(t, i.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "readers", Consumer: "two", Streams: []string{"stream", ">"}, Count: 1}).Err())
	require.NoError(t, i.XAck(ctx, "stream", "readers", "1-1").Err())
	require.NoError(t, i.XDel(ctx, "stream", "9-0").Err())
	require.NoError(t, i.XAdd(ctx, &redis.XAddArgs{Stream: "empty stream", ID: "3-3", Values: []string{"a", "b"}}).Err())
	require.NoError(t, i.XTrimMaxLen(ctx, "empty stream", 0).Err())
}

// fillLarge writes keys that are copied in pieces.
func fillLarge(t *testing.T, i *instance) {
	t.Helper()
	ctx := t.Context()
	for _, script := range []string{
		`for i = 1, 60000 do redis.call('HSET', 'large hash', 'field' .. i, string.rep('v', 150)) end`,
		`for i = 1, 60000 do redis.call('ZADD', 'large sorted set', i / 7, 'member' .. i .. string.rep('v', 150)) end`,
		`for i = 1, 60000 do redis.call('RPUSH', 'large list', 'element' .. i .. string.rep('v', 200)) end`,
		`for i = 1, 60000 do redis.call('SADD', 'large set', 'member' .. i .. string.rep('v', 150)) end`,
		`for i = 1, 60000 do redis.call('XADD', 'large stream', i .. '-1', 'field', 'v' .. i .. string.rep('v', 200)) end`,
		`for i = 1, 12 do redis.call('APPEND', 'large string', string.rep(string.char(60 + i), 1000003)) end`,
	} {
		require.NoError(t, i.Eval(ctx, script+" return 1", nil).Err())
	}
	for _, key := range []string{"large hash", "large sorted set", "large list", "large set", "large stream", "large string"} {
		require.Greater(t, i.MemoryUsage(ctx, key).Val(), int64(copyplan.LargeKey), key)
		require.NoError(t, i.Expire(ctx, key, time.Hour).Err())
	}
}

// without has an instance not know a command.
func without(commands ...string) []string {
	var arguments []string
	for _, command := range commands {
		arguments = append(arguments, "--rename-command", command, "")
	}
	return arguments
}

func TestEveryKindOfKeyIsCopied(t *testing.T) {
	for name, c := range map[string]struct {
		from, to []string
		large    bool
	}{
		"between two versions that are the same":           {large: true},
		"to a target that refuses payloads":                {to: without("RESTORE"), large: true},
		"to a target that refuses payloads, one by one":    {from: without("MEMORY"), to: without("RESTORE")},
		"from a source that allows few commands":           {from: without("DUMP", "EVAL_RO", "CONFIG", "PEXPIRETIME")},
		"from a source that tells only how long keys have": {from: without("PEXPIRETIME", "MEMORY")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := startRedis(t, append(c.from, "--requirepass", "old 'password'")...), startRedis(t, append(c.to, "--requirepass", "new \"password\"")...)
			fill(t, from)
			if c.large {
				fillLarge(t, from)
			}
			said, err := runCopy(t, between(from, to))
			require.NoError(t, err)
			if after(c.from, "--rename-command") == "" || c.from[1] == "MEMORY" {
				requireSame(t, from, to)
			} else {
				requireSameSizes(t, from, to)
			}
			require.Contains(t, said, " 0 differ\n")
			require.Contains(t, said, "database 5: 1 keys at both")
			require.NotContains(t, said, "password")
			require.Equal(t, len(c.to) > 0 || strings.Contains(name, "few"), strings.Contains(said, "is copied by commands"), said)

			o := between(from, to)
			o.Resume = true
			said, err = runCopy(t, o)
			require.NoError(t, err)
			require.Contains(t, said, "(100.0 %), 0 B written, ", "what is equal is not written again")
		})
	}
}

// requireSameSizes is for instances that are asked in vain for the time at which keys expire: the copy itself compares values.
func requireSameSizes(t *testing.T, from, to *instance) {
	t.Helper()
	for db := range 16 {
		require.Equal(t, from.in(t, db).DBSize(t.Context()).Val(), to.in(t, db).DBSize(t.Context()).Val())
	}
}

func TestFunctionsAreCopied(t *testing.T) {
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.FunctionLoad(t.Context(), "#!lua name=lib\nredis.register_function('answer', function() return 42 end)").Err())
	_, err := runCopy(t, between(from, to))
	require.NoError(t, err)
	require.Equal(t, int64(42), to.FCall(t.Context(), "answer", nil).Val())
}

func TestTargetWithDataIsLeftAlone(t *testing.T) {
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Set(t.Context(), "key", "theirs", 0).Err())
	require.NoError(t, to.in(t, 3).Set(t.Context(), "key", "ours", 0).Err())
	_, err := runCopy(t, between(from, to))
	require.ErrorContains(t, err, "holds data already, 1 keys in database 3: empty it, or use --resume")
	require.Zero(t, to.DBSize(t.Context()).Val())

	o := between(from, to)
	o.Resume = true
	_, err = runCopy(t, o)
	require.NoError(t, err)
	requireSame(t, from, to)
}

func TestServersThatCannotBeCopiedAreRefused(t *testing.T) {
	from, to := startRedis(t), startRedis(t)
	replica := startRedis(t, "--replicaof", strings.Replace(from.address, ":", " ", 1))
	cluster := startRedis(t, "--cluster-enabled", "yes")
	for want, o := range map[string]Options{
		"the target is a slave":         between(from, replica),
		"the source is a Redis Cluster": between(cluster, to),
		"are the same server":           {From: Endpoint{Address: from.address}, To: Endpoint{Address: strings.Replace(from.address, "127.0.0.1", "localhost", 1)}},
		"the source is a slave":         {From: Endpoint{Address: replica.address}, To: Endpoint{Address: to.address}, Follow: true},
		"connection refused":            {From: Endpoint{Address: "127.0.0.1:1"}, To: Endpoint{Address: to.address}},
		"at the target 127.0.0.1:1":     {From: Endpoint{Address: from.address}, To: Endpoint{Address: "127.0.0.1:1"}},
	} {
		_, err := runCopy(t, o)
		require.ErrorContains(t, err, want)
	}
	_, err := runCopy(t, between(replica, to))
	require.NoError(t, err, "a replica may be the source of a copy that does not follow it")
}

func TestAllProblemsOfTheOptionsAreTold(t *testing.T) {
	_, err := runCopy(t, Options{
		From: Endpoint{Address: "old", PasswordFile: "/no/such/file", CAFile: "/ca"}, To: Endpoint{Address: "new:6379", User: "me"},
		Sample: -1, PauseSource: time.Second,
	})
	for _, want := range []string{
		"6 problem(s)", `--from is "old": give host:port`, "--from-password-file: open /no/such/file", "--from-tls is missing",
		"--to-user is \"me\" without a password: set TO_PASS or --to-password-file", "--sample is -1", "--pause-source has an effect only with --follow",
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = runCopy(t, Options{From: Endpoint{Address: "old:6379"}, To: Endpoint{Address: "old:6379"}, PauseSource: -time.Second})
	require.ErrorContains(t, err, "are the same address")
	require.ErrorContains(t, err, "--pause-source is -1s")
}

func TestACLUsersWithAPasswordFile(t *testing.T) {
	from := startRedis(t)
	to := startRedis(t)
	for _, i := range []*instance{from, to} {
		require.NoError(t, i.Do(t.Context(), "ACL", "SETUSER", "mover", "on", ">secret word", "~*", "&*", "+@all", "-config").Err())
	}
	fill(t, from)
	o := between(from, to)
	file := write(t, "secret word\n")
	o.From.User, o.From.PasswordFile, o.To.User, o.To.PasswordFile = "mover", file, "mover", file
	said, err := runCopy(t, o)
	require.NoError(t, err)
	require.NotContains(t, said, "secret word")
	requireSame(t, from, to)

	o.From.PasswordFile, o.From.Password = "", "wrong"
	_, err = runCopy(t, o)
	require.ErrorContains(t, err, "WRONGPASS")
	require.ErrorContains(t, err, "at the source "+from.address)
}

func TestWhatDiffersIsFound(t *testing.T) {
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	_, err := runCopy(t, between(from, to))
	require.NoError(t, err)
	ctx := t.Context()
	for want, spoil := range map[string]func(*redis.Client) error{
		`1 are missing, for instance ["list"]`:                func(c *redis.Client) error { return c.Del(ctx, "list").Err() },
		`does not have 1, for instance ["own"]`:               func(c *redis.Client) error { return c.Set(ctx, "own", "x", 0).Err() },
		`"hash" of database 0: the values of the hash differ`: func(c *redis.Client) error { return c.HSet(ctx, "hash", "field", "wrong").Err() },
		`"set" of database 0: the values of the set differ`: func(c *redis.Client) error {
			return c.Eval(ctx, "redis.call('SREM', 'set', 'a') return redis.call('SADD', 'set', 'A')", nil).Err()
		},
		`"list" of database 0: its length is 4 at the source and 5 at the target`: func(c *redis.Client) error { return c.RPush(ctx, "list", "x").Err() },
		`"string" of database 0: it expires at -1`:                                func(c *redis.Client) error { return c.Expire(ctx, "string", time.Hour).Err() },
		`"string" of database 0: the type is string at the source and list`: func(c *redis.Client) error {
			return c.Eval(ctx, "redis.call('DEL', 'string') return redis.call('RPUSH', 'string', 'A')", nil).Err()
		},
		`"stream" of database 0: the values of the stream differ`: func(c *redis.Client) error { return c.XAck(ctx, "stream", "readers", "1-2").Err() },
	} {
		require.NoError(t, spoil(to.Client))
		c := newCopier(between(from, to), &log{})
		require.NoError(t, errors.Join(c.source.learn(ctx), c.target.learn(ctx)))
		require.ErrorContains(t, c.verify(ctx), want)
		c.source.close()
		c.target.close()

		o := between(from, to)
		o.Resume = true
		_, err := runCopy(t, o)
		require.NoError(t, err, "a copy that goes on puts it right")
		requireSame(t, from, to)
	}
}

func TestKeysThatHaveExpiredAreNotCountedAsADifference(t *testing.T) {
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Set(t.Context(), "stays", "value", 0).Err())
	require.NoError(t, from.Set(t.Context(), "goes", "value", 200*time.Millisecond).Err())
	// Redis counts a key that has expired until it deletes it, and does not delete it while writes are paused.
	require.NoError(t, from.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err())
	until(t, "the key to expire", func() bool { return from.Exists(t.Context(), "goes").Val() == 0 })
	require.Equal(t, int64(2), from.DBSize(t.Context()).Val())
	said, err := runCopy(t, between(from, to))
	require.NoError(t, err)
	require.Contains(t, said, "the same keys at both; the source counts 2 and the target 1, with keys that have expired")
}
