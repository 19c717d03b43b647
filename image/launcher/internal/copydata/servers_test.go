package copydata

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waitTime bounds what a test waits for.
const waitTime = 2 * time.Minute

// instance is a redis-server of its own.
type instance struct {
	*redis.Client
	address   string
	arguments []string
	process   *exec.Cmd
}

// startRedis starts a redis-server with further arguments.
func startRedis(t *testing.T, arguments ...string) *instance {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, _ := net.SplitHostPort(address)
	i := &instance{address: address, arguments: append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--loglevel", "warning",
	}, arguments...)}
	i.Client = redis.NewClient(&redis.Options{Addr: address, Protocol: 2, DisableIdentity: true, MaxRetries: 3, Password: after(arguments, "--requirepass")})
	t.Cleanup(func() { _ = i.Client.Close() })
	i.start(t)
	t.Cleanup(i.kill)
	return i
}

// after is the argument that follows a name.
func after(arguments []string, name string) string {
	if at := slices.Index(arguments, name); at >= 0 {
		return arguments[at+1]
	}
	return ""
}

func (i *instance) start(t *testing.T) {
	t.Helper()
	i.launch(t)
	until(t, "redis-server to answer", func() bool { return i.Ping(t.Context()).Err() == nil })
}

// launch starts the process, and does not wait for it.
func (i *instance) launch(t *testing.T) {
	t.Helper()
	i.process = exec.Command("redis-server", i.arguments...)
	var output log
	i.process.Stdout, i.process.Stderr = &output, &output
	require.NoError(t, i.process.Start(), "start redis-server (`make tools` installs it)")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("redis-server %s said:\n%s", i.address, &output)
		}
	})
}

func (i *instance) kill() {
	_ = i.process.Process.Kill()
	_ = i.process.Wait()
}

// in is a client of another database.
func (i *instance) in(t *testing.T, db int) *redis.Client {
	options := *i.Options()
	options.DB = db
	client := redis.NewClient(&options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTime); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", waitTime, what)
		}
	}
}

// log is what a copy writes.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is a copy that is going on.
type running struct {
	log
	move func()
	stop context.CancelFunc
	done chan error
}

// options are those of a copy between two instances.
func between(from, to *instance) Options {
	return Options{
		From: Endpoint{Address: from.address, Password: from.Options().Password}, To: Endpoint{Address: to.address, Password: to.Options().Password},
		Sample: 1000,
	}
}

// begin begins a copy.
func begin(t *testing.T, o Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	moving := make(chan struct{})
	r := &running{stop: cancel, done: make(chan error, 1), move: sync.OnceFunc(func() { close(moving) })}
	o.CutOver = moving
	go func() { r.done <- Run(ctx, o, &r.log) }()
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Logf("the copy said:\n%s", &r.log)
		}
	})
	return r
}

// wait gives the result of a copy.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(2 * waitTime):
		t.Fatalf("the copy has not ended after %v:\n%s", 2*waitTime, &r.log)
		return nil
	}
}

// says waits for a line of the copy.
func (r *running) says(t *testing.T, text string) {
	t.Helper()
	until(t, fmt.Sprintf("the copy to say %q", text), func() bool { return strings.Contains(r.log.String(), text) })
}

// runCopy copies once, and gives back what the copy said.
func runCopy(t *testing.T, o Options) (string, error) {
	t.Helper()
	r := begin(t, o)
	err := r.wait(t)
	return r.log.String(), err
}

// contents are all keys of a database with their values, read in another way than the product reads them.
func contents(t *testing.T, c *redis.Client) map[string]string {
	t.Helper()
	ctx, found := t.Context(), map[string]string{}
	names, err := c.Keys(ctx, "*").Result()
	require.NoError(t, err)
	for keys := range slices.Chunk(names, 1000) {
		pipe := c.Pipeline()
		kinds, texts, times := make([]*redis.StatusCmd, len(keys)), make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
		for n, key := range keys {
			kinds[n], texts[n], times[n] = pipe.Type(ctx, key), pipe.Get(ctx, key), pipe.PExpireTime(ctx, key)
		}
		_, _ = pipe.Exec(ctx) // GET fails where the key is no string
		for n, key := range keys {
			if kind := kinds[n].Val(); kind == "string" {
				found[key] = fmt.Sprintf("string %v, expires at %v", texts[n].Val(), times[n].Val())
			} else if kind != "none" { // it has expired
				found[key] = fmt.Sprintf("%s %v, expires at %v", kind, elements(t, c, key, kind), times[n].Val())
			}
		}
	}
	return found
}

// elements are those of a value that is no string.
func elements(t *testing.T, c *redis.Client, key, kind string) any {
	t.Helper()
	ctx := t.Context()
	switch kind {
	case "list":
		return c.LRange(ctx, key, 0, -1).Val()
	case "set":
		members := c.SMembers(ctx, key).Val()
		sort.Strings(members)
		return members
	case "zset":
		return c.ZRangeWithScores(ctx, key, 0, -1).Val()
	case "hash":
		return c.HGetAll(ctx, key).Val()
	case "stream":
		return streamContents(t, c, key)
	}
	t.Fatalf("the type %s of %q", kind, key)
	return nil
}

func streamContents(t *testing.T, c *redis.Client, key string) string {
	ctx := t.Context()
	stream, err := c.XInfoStream(ctx, key).Result()
	require.NoError(t, err)
	text := fmt.Sprintf("last %s added %d deleted %s entries %v", stream.LastGeneratedID, stream.EntriesAdded, stream.MaxDeletedEntryID, c.XRange(ctx, key, "-", "+").Val())
	for _, group := range c.XInfoGroups(ctx, key).Val() {
		text += fmt.Sprintf(" group %s at %s read %d", group.Name, group.LastDeliveredID, group.EntriesRead)
		for _, consumer := range c.XInfoConsumers(ctx, key, group.Name).Val() {
			text += " consumer " + consumer.Name
		}
		pending := c.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: key, Group: group.Name, Start: "-", End: "+", Count: 1000}).Val()
		for _, p := range pending {
			if len(c.XRange(ctx, key, p.ID, p.ID).Val()) == 0 {
				continue // commands cannot write that a deleted message is pending
			}
			text += fmt.Sprintf(" pending %s of %s, %d times", p.ID, p.Consumer, p.RetryCount)
		}
	}
	return text
}

// requireSame compares all databases. The two sides are read one after the other, so that a key may expire in between:
// then they are read again.
func requireSame(t *testing.T, from, to *instance) {
	t.Helper()
	for db := range 16 {
		theirs, ours := from.in(t, db), to.in(t, db)
		var want, got map[string]string
		for range 5 {
			if want, got = contents(t, theirs), contents(t, ours); assert.ObjectsAreEqual(want, got) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, want, got, "database %d", db)
	}
}

// helperArguments has this test program copy between two addresses instead of testing, so that a test can kill it.
const helperArguments = "COPYDATA_HELPER"

func TestMain(m *testing.M) {
	from, to, is := strings.Cut(os.Getenv(helperArguments), " ")
	if !is {
		os.Exit(m.Run())
	}
	err := Run(context.Background(), Options{From: Endpoint{Address: from}, To: Endpoint{Address: to}, Follow: true}, os.Stdout)
	fmt.Println(err)
	os.Exit(1)
}

// helper is a copy as a process of its own.
func helper(t *testing.T, from, to *instance) *exec.Cmd {
	t.Helper()
	program, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	command := exec.Command(program)
	command.Env = append(os.Environ(), helperArguments+"="+from.address+" "+to.address)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() })
	return command
}
