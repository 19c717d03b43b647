package copydata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// writer changes keys of every type until it is stopped.
type writer struct {
	stop func()
	// writes is the number of changes; longest is how long one of them waited.
	writes  int
	longest time.Duration
}

// startWriter starts a client that changes the source all the time.
func startWriter(t *testing.T, i *instance) *writer {
	t.Helper()
	w, ctx := &writer{}, context.Background()
	done := make(chan struct{})
	var finished sync.WaitGroup
	clients := []*redis.Client{i.Client, i.in(t, 2)}
	random := rand.New(rand.NewPCG(1, 2))
	finished.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			began := time.Now()
			if change(ctx, clients[random.IntN(2)], random) == nil {
				w.writes++
				w.longest = max(w.longest, time.Since(began))
			}
		}
	})
	w.stop = sync.OnceFunc(func() {
		close(done)
		finished.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

// change makes one random change.
func change(ctx context.Context, c *redis.Client, random *rand.Rand) error {
	n := random.IntN(50)
	key := func(kind string) string { return fmt.Sprintf("%s:%d", kind, n) }
	stream := key("stream")
	changes := []func() error{
		func() error { return c.Set(ctx, key("string"), random.Int(), 0).Err() },
		func() error {
			return c.Set(ctx, key("short"), random.Int(), time.Duration(1+random.IntN(300))*time.Millisecond).Err()
		},
		func() error { return c.Append(ctx, key("string"), "x").Err() },
		func() error { return c.RPush(ctx, key("list"), random.Int()).Err() },
		func() error { return c.LTrim(ctx, key("list"), -5, -1).Err() },
		func() error { return c.SAdd(ctx, key("set"), random.IntN(20)).Err() },
		func() error { return c.SPop(ctx, key("set")).Err() },
		func() error {
			return c.ZIncrBy(ctx, key("sorted"), random.Float64(), fmt.Sprint(random.IntN(10))).Err()
		},
		func() error { return c.HSet(ctx, key("hash"), random.IntN(20), random.Int()).Err() },
		func() error { return c.HDel(ctx, key("hash"), fmt.Sprint(random.IntN(20))).Err() },
		func() error {
			return c.Expire(ctx, key("hash"), time.Hour+time.Duration(random.IntN(1000))*time.Second).Err()
		},
		func() error { return c.Persist(ctx, key("hash")).Err() },
		func() error { return c.Del(ctx, key("string")).Err() },
		func() error { return c.Rename(ctx, key("string"), fmt.Sprintf("string:%d", random.IntN(50))).Err() },
		func() error {
			return c.HSet(ctx, "large hash", fmt.Sprint("field", random.IntN(60000)), random.Int()).Err()
		},
		func() error {
			return c.XAdd(ctx, &redis.XAddArgs{Stream: stream, MaxLen: 10, Values: []any{"field", random.Int()}}).Err()
		},
		func() error { return c.XGroupCreateMkStream(ctx, stream, "group", "0").Err() },
		func() error {
			return c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "group", Consumer: "one", Streams: []string{stream, ">"}, Count: 1, Block: -1}).Err()
		},
	}
	err := changes[random.IntN(len(changes))]()
	var answer redis.Error
	if errors.As(err, &answer) {
		return nil // such as a key that does not exist
	}
	return err
}

// following begins a copy that follows the source.
func following(t *testing.T, from, to *instance, change ...func(*Options)) *running {
	t.Helper()
	o := between(from, to)
	o.Follow = true
	for _, c := range change {
		c(&o)
	}
	return begin(t, o)
}

func TestChangesAreFollowedUntilTheCutOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to []string }{
		"by payloads": {},
		"by commands": {to: without("RESTORE")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := startRedis(t, c.from...), startRedis(t, c.to...)
			fill(t, from)
			require.NoError(t, from.Eval(t.Context(), `for i = 1, 60000 do redis.call('HSET', 'large hash', 'field' .. i, string.rep('v', 150)) end return 1`, nil).Err())
			require.NoError(t, from.Eval(t.Context(), `for i = 1, 50000 do redis.call('SET', 'many:' .. i, i) end return 1`, nil).Err())
			w := startWriter(t, from)
			r := following(t, from, to)
			r.says(t, "the target follows the source")
			r.says(t, "following: ")
			w.stop()
			r.move()
			require.NoError(t, r.wait(t))
			requireSame(t, from, to)
			require.Greater(t, w.writes, 1000)
			require.Equal(t, "", from.ConfigGet(t.Context(), setting).Val()[setting], "the setting of the source is put back")
		})
	}
}

func TestKilledCopyIsResumed(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Eval(t.Context(), `for i = 1, 100000 do redis.call('SET', 'key:' .. i, i) end return 1`, nil).Err())
	fill(t, from)
	killed := helper(t, from, to)
	until(t, "the copy to have copied a part", func() bool { return to.DBSize(t.Context()).Val() > 20_000 })
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	copied := to.DBSize(t.Context()).Val()
	require.Less(t, copied, int64(100_000), "the copy was killed too late for this test")

	// Nobody follows these changes.
	require.NoError(t, from.Eval(t.Context(), `for i = 1, 100000, 100 do redis.call('DEL', 'key:' .. i) redis.call('SET', 'key:' .. i + 1, 'changed') end return 1`, nil).Err())
	require.NoError(t, from.Expire(t.Context(), "key:3", time.Hour).Err())
	r := following(t, from, to, func(o *Options) { o.Resume = true })
	r.says(t, "the target follows the source")
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
	_, after, _ := strings.Cut(r.log.String(), "written, ")
	var equal int64
	_, err := fmt.Sscanf(after, "%d were equal", &equal)
	require.NoError(t, err)
	require.Greater(t, equal, copied*9/10, "%d keys were there", copied)
}

func TestLostSubscriptionIsMadeUpFor(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	// In one transaction: the change comes while nobody listens.
	_, err := from.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub")
		pipe.Set(t.Context(), "string", "changed", 0)
		pipe.Del(t.Context(), "list")
		pipe.Set(t.Context(), "new", "value", 0)
		return nil
	})
	require.NoError(t, err)
	r.says(t, "every key is compared: the subscription to changes was lost")
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
	require.Equal(t, "changed", to.Get(t.Context(), "string").Val())
}

func TestSubscriptionLostAtTheCutOverIsMadeUpFor(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	_, err := from.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub")
		pipe.Set(t.Context(), "string", "changed", 0)
		return nil
	})
	require.NoError(t, err)
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
}

func TestCommandsWithoutNotificationsAreNoticed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, change := range map[string]func(*testing.T, *instance) error{
		"FLUSHDB":  func(t *testing.T, i *instance) error { return i.in(t, 5).FlushDB(ctx).Err() },
		"FLUSHALL": func(_ *testing.T, i *instance) error { return i.FlushAll(ctx).Err() },
		"SWAPDB":   func(_ *testing.T, i *instance) error { return i.Do(ctx, "SWAPDB", 5, 15).Err() },
		"messages that are read and acknowledged": func(_ *testing.T, i *instance) error {
			return errors.Join(i.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "idle", Consumer: "one", Streams: []string{"stream", ">"}, Count: 2, Block: -1}).Err(),
				i.XAck(ctx, "stream", "readers", "1-2").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := startRedis(t), startRedis(t)
			fill(t, from)
			require.NoError(t, from.XGroupSetID(ctx, "stream", "idle", "1-1").Err())
			require.NoError(t, from.XGroupCreateConsumer(ctx, "stream", "idle", "one").Err())
			r := following(t, from, to)
			r.says(t, "the target follows the source")
			require.NoError(t, change(t, from))
			r.move()
			require.NoError(t, r.wait(t))
			requireSame(t, from, to)
		})
	}
}

func TestServersThatAreReplacedMeanwhileAreNoticed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the source", "the target"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := startRedis(t, "--appendonly", "yes"), startRedis(t)
			fill(t, from)
			r := following(t, from, to)
			r.says(t, "the target follows the source")
			lost := map[string]*instance{"the source": from, "the target": to}[name]
			lost.kill()
			lost.start(t) // the target has lost everything
			require.NoError(t, from.Set(t.Context(), "string", "changed", 0).Err())
			r.says(t, "every key is compared: ")
			require.NoError(t, from.Set(t.Context(), "new", "value", 0).Err())
			r.move()
			require.NoError(t, r.wait(t))
			requireSame(t, from, to)
			require.Equal(t, "value", to.Get(t.Context(), "new").Val())
		})
	}
}

func TestPausedSourceLosesNoWrite(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	w := startWriter(t, from)
	r := following(t, from, to, func(o *Options) { o.PauseSource = 20 * time.Second })
	r.says(t, "the target follows the source")
	r.move()
	require.NoError(t, r.wait(t), "although the clients have not been stopped")
	requireSame(t, from, to)
	require.Contains(t, r.log.String(), "the source holds writes back until")
	require.Contains(t, r.log.String(), "the cut-over took ")
	require.NotContains(t, r.log.String(), "accepts writes again", "clients must not write to the source any more")
	require.NoError(t, from.Do(t.Context(), "CLIENT", "UNPAUSE").Err())
	w.stop()
	require.Greater(t, w.longest, 50*time.Millisecond, "a write waited")
}

func TestSourceAcceptsWritesAgainAfterACutOverThatFails(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t, "--maxmemory-policy", "noeviction")
	fill(t, from)
	r := following(t, from, to, func(o *Options) { o.PauseSource = time.Minute })
	r.says(t, "the target follows the source")
	require.NoError(t, to.Set(t.Context(), "own", "value", 0).Err()) // somebody writes to the target
	r.move()
	require.ErrorContains(t, r.wait(t), `for instance ["own"]`)
	require.Contains(t, r.log.String(), "the source accepts writes again")
	began := time.Now()
	require.NoError(t, from.Set(t.Context(), "string", "changed", 0).Err())
	require.Less(t, time.Since(began), 30*time.Second)
	require.Equal(t, "", from.ConfigGet(t.Context(), setting).Val()[setting])
}

func TestCutOverWaitsForClientsToStop(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	w := startWriter(t, from)
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	r.move()
	r.says(t, "cut-over: ")
	select {
	case err := <-r.done:
		t.Fatalf("the copy has ended while the source was written to: %v", err)
	case <-time.After(2 * calm):
	}
	w.stop()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
}

func TestKeysThatExpireDoNotHoldUpTheCutOver(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Eval(t.Context(), `for i = 1, 2000 do redis.call('SET', 'key:' .. i, i, 'PX', 1000 + i * 10) end return 1`, nil).Err())
	r := following(t, from, to)
	r.move()
	require.NoError(t, r.wait(t))
	require.NotZero(t, from.DBSize(t.Context()).Val(), "keys expired all the time")
}

func TestSourceThatAllowsNoConfig(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t, without("CONFIG")...), startRedis(t)
	r := following(t, from, to)
	require.ErrorContains(t, r.wait(t), `set notify-keyspace-events to "EA" there`)
	require.Zero(t, from.DBSize(t.Context()).Val(), "the probe is gone")

	from = startRedis(t, append(without("CONFIG"), "--notify-keyspace-events", "AKE")...)
	fill(t, from)
	r = following(t, from, to)
	r.says(t, "the target follows the source")
	require.NoError(t, from.Set(t.Context(), "string", "changed", 0).Err())
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
}

func TestSettingThatWasThereIsKept(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t, "--notify-keyspace-events", "Kx"), startRedis(t)
	r := following(t, from, to)
	r.says(t, `and was "xK"`)
	r.says(t, "the target follows the source")
	r.stop()
	require.Error(t, r.wait(t))
	require.Equal(t, "xK", from.ConfigGet(t.Context(), setting).Val()[setting])
}

func TestSettingThatSomebodyChangesIsNoticed(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	require.NoError(t, from.ConfigSet(t.Context(), setting, "Ex").Err())
	require.NoError(t, from.Set(t.Context(), "string", "unheard", 0).Err())
	r.says(t, "every key is compared: somebody has changed notify-keyspace-events")
	require.NoError(t, from.ConfigSet(t.Context(), setting, "").Err())
	require.NoError(t, from.Set(t.Context(), "string", "unheard again", 0).Err())
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
	require.Equal(t, "unheard again", to.Get(t.Context(), "string").Val())
	require.Equal(t, "", from.ConfigGet(t.Context(), setting).Val()[setting])
}

func TestSourceThatWasAReplicaMeanwhileIsNoticed(t *testing.T) {
	t.Parallel()
	from, to, other := startRedis(t), startRedis(t), startRedis(t, "--repl-diskless-sync-delay", "0")
	fill(t, from)
	require.NoError(t, other.Set(t.Context(), "string", "from the other master", 0).Err())
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	host, port, _ := strings.Cut(other.address, ":")
	require.NoError(t, from.SlaveOf(t.Context(), host, port).Err())
	until(t, "the copy from the other master", func() bool { return from.Get(t.Context(), "string").Val() == "from the other master" })
	r.says(t, "the source has become a slave")
	require.NoError(t, from.SlaveOf(t.Context(), "NO", "ONE").Err())
	r.says(t, "every key is compared: the source has become a slave")
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)
}

func TestSourceThatHasLostItsDataLeavesTheTargetAlone(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t) // without a file
	fill(t, from)
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	keys := to.DBSize(t.Context()).Val()
	from.kill()
	from.start(t)
	require.ErrorContains(t, r.wait(t), "another process answers for the source, and has no keys")
	require.Equal(t, keys, to.DBSize(t.Context()).Val())
}
