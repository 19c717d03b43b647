package copydata

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestSampleOfAPausedSourceDoesNotStopIt(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Set(t.Context(), "goes", "value", 200*time.Millisecond).Err())
	require.NoError(t, from.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err())
	until(t, "the key to expire", func() bool { return from.Exists(t.Context(), "goes").Val() == 0 })
	c := newCopier(between(from, to), &log{})
	defer c.source.close()
	ctx, cancel := context.WithTimeout(t.Context(), waitTime/2)
	defer cancel()
	keys, err := c.randomKeys(ctx, 0, 1)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.NoError(t, from.Ping(ctx).Err())
}

func TestRandomKeysAreAsManyAsAskedFor(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Eval(t.Context(), `for i = 1, 5000 do redis.call('SET', 'key:' .. i, i) end return 1`, nil).Err())
	c := newCopier(between(from, to), &log{})
	defer c.source.close()
	first, err := c.randomKeys(t.Context(), 0, 400)
	require.NoError(t, err)
	require.Len(t, first, 400)
	second, err := c.randomKeys(t.Context(), 0, 400)
	require.NoError(t, err)
	require.NotSubset(t, first, second, "the keys are random")
}

func TestResumeFromAnEmptySourceIsRefused(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, to)
	keys := to.DBSize(t.Context()).Val()
	o := between(from, to)
	o.Resume = true
	_, err := runCopy(t, o)
	require.ErrorContains(t, err, "the source has no keys, so that --resume would delete all")
	require.Equal(t, keys, to.DBSize(t.Context()).Val())
}

func TestServerThatIsNotReadyIsNotTakenForAnOldOne(t *testing.T) {
	t.Parallel()
	// A replica that has lost its master answers MASTERDOWN to every command, as a server that loads answers LOADING.
	from := startRedis(t, "--replica-serve-stale-data", "no")
	require.NoError(t, from.SlaveOf(t.Context(), "127.0.0.1", "1").Err())
	s := newServer("source", Endpoint{Address: from.address})
	defer s.close()
	require.ErrorContains(t, s.learn(t.Context()), "MASTERDOWN")
}

func TestDatabasesOfAServerThatLoadsAreWaitedFor(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Eval(t.Context(), `for i = 1, 20000 do redis.call('SET', 'key:' .. i, i) end return 1`, nil).Err())
	require.NoError(t, from.in(t, 5).Set(t.Context(), "string", "value", 0).Err())
	require.NoError(t, from.Save(t.Context()).Err())
	from.kill()
	from.arguments = append(from.arguments, "--key-load-delay", "50", "--loading-process-events-interval-bytes", "1024")
	from.launch(t)
	c := newCopier(between(from, to), &log{})
	defer c.source.close()
	defer c.target.close()
	until(t, "redis-server to load", func() bool {
		info, err := c.source.info(t.Context())
		return err == nil && info["loading"] == "1"
	})
	theirs, _, err := c.databases(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[int]int64{0: 20000, 5: 1}, theirs)
}

func TestCountedEstimateIsNoDifference(t *testing.T) {
	t.Parallel()
	ctx, from, to := t.Context(), startRedis(t), startRedis(t)
	require.NoError(t, from.PFAdd(ctx, "estimate", "a", "b").Err())
	r := following(t, from, to)
	r.says(t, "the target follows the source")
	before := from.Get(ctx, "estimate").Val()
	require.NoError(t, from.PFCount(ctx, "estimate").Err())
	require.NotEqual(t, before, from.Get(ctx, "estimate").Val(), "PFCOUNT keeps the count in the value")
	r.move()
	require.NoError(t, r.wait(t))
	require.Equal(t, int64(2), to.PFCount(ctx, "estimate").Val())
}

func TestFieldThatHasGoneSinceItWasReadIsLeftOut(t *testing.T) {
	rows := []row{{"stays", "a"}, {"gone", "b"}, {"passing", "c"}}
	require.Equal(t, []row{{"stays", "a", "-1"}, {"passing", "c", "5000"}}, withTimes(rows, []int64{-1, noField, 5000}))
}

func TestTimeThatIsLeftCountsFromTheQuestion(t *testing.T) {
	old := newServer("source", Endpoint{})
	answer := redis.NewCmd(t.Context())
	answer.SetVal(int64(60_000))
	asked := time.Now().Add(-10 * time.Second)
	at, err := old.expiry(expiryQuestion{answer: answer, asked: asked})
	require.NoError(t, err)
	require.Equal(t, asked.UnixMilli()+60_000, at)
}

func TestKeyThatExpiresDuringTheComparisonIsNoDifference(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	c := newCopier(between(from, to), &log{})
	defer c.source.close()
	defer c.target.close()
	require.NoError(t, errors.Join(c.source.learn(t.Context()), c.target.learn(t.Context())))
	require.NoError(t, from.Set(t.Context(), "goes", "value", retryAfter*9/10).Err())
	problem, err := c.verifySample(t.Context(), map[int]int64{0: 1})
	require.NoError(t, err)
	require.NoError(t, problem)
}

func TestFunctionsThatTheUserMayNotReadAreTold(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	require.NoError(t, from.Do(t.Context(), "ACL", "SETUSER", "mover", "on", ">word", "~*", "&*", "+@all", "-function").Err())
	o := between(from, to)
	o.From.User, o.From.Password = "mover", "word\n"
	said, err := runCopy(t, o)
	require.NoError(t, err)
	require.Contains(t, said, "WARNING: functions are not copied")
}

func TestPatienceBeginsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	c := newCopier(Options{}, &log{})
	c.patience = 50 * time.Millisecond
	attempts := 0
	require.NoError(t, c.patiently(t.Context(), func() error {
		if attempts++; attempts > 1 {
			return nil
		}
		return errors.Join(pause(t.Context(), 2*c.patience), errors.New("the connection is lost"))
	}))
}

func TestSourceThatChangesWithoutBeingFollowedIsWarnedOf(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	said, err := runCopy(t, between(from, to))
	require.NoError(t, err)
	require.NotContains(t, said, "WARNING")

	var output log
	c := newCopier(between(from, to), &output)
	defer c.source.close()
	defer c.target.close()
	since, err := c.facts(t.Context())
	require.NoError(t, err)
	require.NoError(t, from.Set(t.Context(), "string", "changed", 0).Err())
	require.NoError(t, c.warnOfChanges(t.Context(), since))
	require.Contains(t, output.String(), "WARNING: the source has changed during the copy")

	require.NoError(t, from.Save(t.Context()).Err())
	now, err := c.facts(t.Context())
	require.NoError(t, err)
	require.False(t, facts{changes: "5", saved: "1"}.changedSince(facts{changes: "0", saved: "2"}), "nothing is known from before the file")
	require.False(t, now.changedSince(now))
}

func TestRightsOfTheDocumentationAreEnough(t *testing.T) {
	t.Parallel()
	from, to := startRedis(t), startRedis(t)
	fill(t, from)
	rights := "on >word ~* resetchannels &__keyevent@*__:* -@all +@read +@connection +info +time +function|list +eval_ro " +
		"+psubscribe +config|get +config|set +client|pause +client|unpause"
	require.NoError(t, from.Do(t.Context(), append([]any{"ACL", "SETUSER", "mover"}, anys(strings.Fields(rights))...)...).Err())
	r := following(t, from, to, func(o *Options) {
		o.From.User, o.From.Password, o.PauseSource = "mover", "word", 20*time.Second
	})
	r.says(t, "the target follows the source")
	r.move()
	require.NoError(t, r.wait(t))
	require.NotContains(t, r.log.String(), "WARNING")
	requireSame(t, from, to)
}
