package loopback

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// writer writes numbered keys through the master Service and remembers which
// of them Redis has acknowledged.
type writer struct {
	cluster *cluster
	cancel  context.CancelFunc
	ended   chan struct{}

	mu           sync.Mutex
	acknowledged []int
	unconfirmed  []string      // keys acknowledged on the present connection since the last confirmation
	toldAlone    int           // of these, those that the guard knows as taken without a replica
	aloneSince   time.Time     // the master of the connection has no replica in sync since then
	last         time.Time     // of an acknowledgement
	gap          time.Duration // the longest time between two acknowledgements
	gapAt        time.Time
	lastError    error
}

// writeEvery is the pause between two writes of a writer.
const writeEvery = time.Millisecond

// write starts a writer. It ends with the test or with finish.
func (c *cluster) write() *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{cluster: c, cancel: cancel, ended: make(chan struct{}), last: time.Now()}
	c.t.Cleanup(func() { cancel(); <-w.ended })
	go w.run(ctx)
	eventually(c.t, settle, "the first acknowledged write", func() error {
		if w.count() > 0 {
			return nil
		}
		return w.failure()
	})
	return w
}

// encrypted encrypts a connection to a server, which may stand still, within half a second.
func encrypted(ctx context.Context, connection net.Conn, encryption *tls.Config) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	secured := tls.Client(connection, encryption)
	if err := secured.HandshakeContext(limited); err != nil {
		_ = connection.Close()
		return nil, err
	}
	return secured, nil
}

func (w *writer) run(ctx context.Context) {
	defer close(w.ended)
	o := w.cluster.clientOptions("master-svc:6379")
	o.PoolSize = 1
	o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		address, err := w.cluster.backend("master", "6379")
		if err != nil {
			return nil, err
		}
		connection, err := (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext(ctx, network, address)
		if encryption := w.cluster.encryption(); err == nil && encryption != nil {
			return encrypted(ctx, connection, encryption)
		}
		return connection, err
	}
	// What another connection sent, a confirmation says nothing about.
	o.OnConnect = func(context.Context, *redis.Conn) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.unconfirmed, w.toldAlone, w.aloneSince = nil, 0, time.Time{}
		return nil
	}
	client, asked := redis.NewClient(o), time.Now()
	defer func() { _ = client.Close() }()
	for number := 0; ctx.Err() == nil; number++ {
		var confirmed *confirmation
		var err error
		if time.Since(asked) < confirmEvery {
			err = client.Set(ctx, key(number), number, 0).Err()
		} else {
			asked = time.Now()
			confirmed, err = setAndConfirm(ctx, client, number)
		}
		w.mu.Lock()
		if err == nil {
			w.acknowledged = append(w.acknowledged, number)
			w.unconfirmed = append(w.unconfirmed, key(number))
			if now := time.Now(); now.Sub(w.last) > w.gap {
				w.gap, w.gapAt, w.last = now.Sub(w.last), w.last, now
			} else {
				w.last = now
			}
		} else {
			w.lastError = err
		}
		if confirmed != nil {
			w.heard(confirmed)
		}
		w.mu.Unlock()
		pause := writeEvery
		if err != nil {
			// A new pool, since go-redis would answer the next calls from a
			// remembered error for a second.
			_ = client.Close()
			client, pause = redis.NewClient(o), 10*time.Millisecond
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// heard tells the guard of the data who has the writes of the present connection.
func (w *writer) heard(by *confirmation) {
	switch {
	case by.acknowledged > 0:
		w.cluster.data.confirm(w.unconfirmed, by)
		w.unconfirmed, w.toldAlone, w.aloneSince = nil, 0, time.Time{}
	case by.online > 0: // it is late
		w.aloneSince = time.Time{}
	default:
		if w.aloneSince.IsZero() {
			w.aloneSince = time.Now()
		}
		w.cluster.data.takenAlone(w.unconfirmed[w.toldAlone:], by.runID, w.aloneSince)
		w.toldAlone = len(w.unconfirmed)
	}
}

func key(number int) string { return fmt.Sprintf("key:%07d", number) }

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acknowledged)
}

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Errorf("%d writes acknowledged, last error: %w", len(w.acknowledged), w.lastError)
}

// advance waits until n more writes are acknowledged.
func (w *writer) advance(n int) {
	w.cluster.t.Helper()
	want := w.count() + n
	eventually(w.cluster.t, settle, fmt.Sprintf("%d more acknowledged writes", n), func() error {
		if w.count() >= want {
			return nil
		}
		return w.failure()
	})
}

// finish stops the writer.
func (w *writer) finish() {
	w.cancel()
	<-w.ended
}

// lost stops the writer, reads every acknowledged key back from the master and
// returns the numbers of those that are not there.
func (w *writer) lost() []int {
	t := w.cluster.t
	t.Helper()
	w.finish()
	missing := w.cluster.missing(w.acknowledged)
	t.Logf("writer: %d acknowledged, %d lost %v, longest gap %v at %s", len(w.acknowledged), len(missing), missing[:min(len(missing), 10)],
		w.gap.Round(time.Millisecond), w.gapAt.Format("15:04:05.000"))
	return missing
}

// missing returns those of the numbers whose keys the master does not have.
func (c *cluster) missing(numbers []int) []int {
	c.t.Helper()
	master, err := c.masterPod()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.missingAt(master, numbers)
}

// missingAt returns those of the numbers whose keys a server does not have.
func (c *cluster) missingAt(master *pod, numbers []int) []int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var missing []int
	for begin := 0; begin < len(numbers); begin += 1000 {
		batch := numbers[begin:min(begin+1000, len(numbers))]
		keys := make([]string, len(batch))
		for i, number := range batch {
			keys[i] = key(number)
		}
		var values []any
		eventually(c.t, settle, "an answer of "+master.name, func() (err error) {
			if values, err = c.client(master).MGet(ctx, keys...).Result(); err != nil {
				c.forgetClient(master)
			}
			return err
		})
		for i, value := range values {
			if value != fmt.Sprint(batch[i]) {
				missing = append(missing, batch[i])
			}
		}
	}
	return missing
}

// requireNothingLost stops the writer and fails the test for every
// acknowledged write that the master does not have.
func (w *writer) requireNothingLost() {
	w.cluster.t.Helper()
	w.requireLostAtMost(0)
}

func (w *writer) requireLostAtMost(n int) {
	w.cluster.t.Helper()
	if missing := w.lost(); len(missing) > n {
		w.cluster.t.Errorf("%d acknowledged writes are lost, %d may be; the first: %v", len(missing), n, missing[:min(len(missing), 20)])
	}
}

// requireGapBelow fails the test when writes stood still for longer.
func (w *writer) requireGapBelow(bound time.Duration) {
	w.cluster.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if gap := max(w.gap, time.Since(w.last)); gap > bound && w.gap > bound {
		w.cluster.t.Errorf("no write was acknowledged for %v (from %s), more than %v", w.gap, w.gapAt.Format("15:04:05.000"), bound)
	}
}

// fill writes keys 0 to n-1 to the master and waits until its replicas have
// them, all in their append-only files.
func (c *cluster) fill(t testing.TB, n int) {
	t.Helper()
	master, err := c.masterPod()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var keys []string
	var acknowledged *redis.Cmd
	_, err = c.client(master).Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for number := range n {
			keys = append(keys, key(number))
			pipe.Set(ctx, key(number), number, 0)
		}
		acknowledged = pipe.Do(ctx, "WAIT", len(c.servers())-1, 5000)
		return nil
	})
	if err != nil {
		t.Fatalf("fill %s: %v", master.name, err)
	}
	if replicas, err := acknowledged.Int(); err == nil && replicas > 0 {
		c.data.confirm(keys, &confirmation{}) // the guard looks who has them
	}
	c.awaitFiles()
}

// awaitFiles waits until what the servers hold is in their append-only files.
// With appendfsync everysec Redis acknowledges writes that it keeps back from
// the file while an fsync runs; they die with the process.
func (c *cluster) awaitFiles() {
	c.t.Helper()
	for _, p := range c.servers() {
		if !p.isRunning() {
			continue
		}
		eventually(c.t, settle, "the append-only file of "+p.name, func() error {
			text, err := c.client(p).Info(c.t.Context(), "persistence").Result()
			if err == nil && strings.Contains(text, "aof_enabled:1") && !strings.Contains(text, "aof_buffer_length:0\r\n") {
				err = errors.New("some writes are still in memory only")
			}
			return err
		})
	}
}

// requireKeys fails the test unless the master has n keys.
func (c *cluster) requireKeys(n int) {
	c.t.Helper()
	master, err := c.masterPod()
	if err != nil {
		c.t.Fatal(err)
	}
	got, err := c.info(master)
	if err != nil {
		c.t.Fatal(err)
	}
	if got.keys < int64(n) {
		c.t.Errorf("master %s has %d keys, not %d", master.name, got.keys, n)
	}
}
