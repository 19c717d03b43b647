package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// flood writes large values to a pod, one after the other, until the test ends. failed has the first error.
func (c *cluster) flood(p *pod) (failed func() error) {
	o := clientOptions(p.address(), c.password)
	o.ReadTimeout = settle // a write that waits is no error
	client, value := redis.NewClient(o), strings.Repeat("x", 64<<10)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var first atomic.Pointer[error]
	go func() {
		defer close(ended)
		for number := 0; ctx.Err() == nil; number++ {
			began := time.Now()
			if err := client.Set(ctx, fmt.Sprintf("flood:%d", number%100), value, 0).Err(); err != nil && ctx.Err() == nil {
				err = fmt.Errorf("after %v: %w", time.Since(began), err)
				first.CompareAndSwap(nil, &err)
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-ended; _ = client.Close() })
	return func() error {
		if err := first.Load(); err != nil {
			return *err
		}
		return nil
	}
}

// offset is how far a server has come in the replication stream.
func (c *cluster) offset(p *pod) int64 {
	c.t.Helper()
	n, err := c.info(p)
	if err != nil {
		c.t.Fatal(err)
	}
	return n.offset
}

// carryOn ends holdUp.
func (c *cluster) carryOn(replicas []*pod) {
	c.t.Helper()
	for _, p := range replicas {
		o := clientOptions(p.address(), c.password)
		o.ReadTimeout = settle // it carries out all that has waited before it answers
		client := redis.NewClient(o)
		err := client.Do(c.t.Context(), "CLIENT", "UNPAUSE").Err()
		_ = client.Close()
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// startBehind starts a release whose replicas take the stream of their master and do not carry it out, until carryOn, and waits until
// writes wait for them. failed has the first error of a client that writes all the time.
func startBehind(t *testing.T) (c *cluster, w *writer, master *pod, failed func() error) {
	t.Helper()
	c, w, master = startWritten(t, options{environment: map[string]string{"LAUNCHER_MAX_REPLICATION_LAG": "4Mi"}})
	failed = c.flood(master)
	c.holdUp(c.slavesOf(master), settle)
	eventually(t, settle, "writes to wait", func() error { return says(master, "writes wait for the replicas") })
	return c, w, master, failed
}

// Replicas take the stream and do not carry it out. Writes wait until they do, instead of being refused, so a crash of the master can
// lose no more than the lag that is allowed and what is written until the launcher looks.
func TestWritesWaitForReplicasThatAreTooFarBehind(t *testing.T) {
	t.Parallel()
	c, w, master, failed := startBehind(t)
	slaves := c.slavesOf(master)
	before := c.offset(master)
	time.Sleep(time.Second) // the bound is of what is written in a time
	after := c.offset(master)
	if after-before > 32<<20 {
		t.Errorf("%d bytes were written in a second in which writes should have waited", after-before)
	}
	t.Logf("the replicas are %d and %d bytes behind", after-c.offset(slaves[0]), after-c.offset(slaves[1]))
	c.carryOn(slaves)
	eventually(t, settle, "writes to go on", func() error {
		if c.offset(master) < after+8<<20 {
			return errors.New("few have been written")
		}
		return failed()
	})
	w.advance(100)
	w.requireNothingLost()
	w.requireGapBelow(10 * time.Second)
	if c.converge() != master {
		t.Error("the master was replaced")
	}
}

// The messages that sentinels publish on the master wait with the writes, and their pings behind them. After 5 s they would find the master
// down, and promote a replica that is behind.
func TestLongWaitForReplicasIsNoReasonForAFailover(t *testing.T) {
	t.Parallel()
	const long = 12 * time.Second
	c, w, master, failed := startBehind(t)
	slaves := c.slavesOf(master)
	before := c.offset(master)
	for began := time.Now(); time.Since(began) < long; time.Sleep(100 * time.Millisecond) {
		if err := c.nobodyIsPromoted(slaves); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes were written in %v", c.offset(master)-before, long)
	for _, sentinel := range c.sentinels() {
		if says(sentinel, "+sdown master") == nil {
			t.Errorf("%s found the master down", sentinel.name)
		}
	}
	c.carryOn(slaves)
	w.advance(100)
	if err := failed(); err != nil {
		t.Error(err)
	}
	w.requireNothingLost()
	if c.converge() != master {
		t.Error("the master was replaced")
	}
}

// A client that sends without waiting for answers is read while its writes wait. Redis must not fill its memory with what it sends.
func TestWritesOfAClientThatDoesNotWaitDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	c, _, master := startWritten(t, options{environment: map[string]string{"LAUNCHER_MAX_REPLICATION_LAG": "4Mi"}})
	slaves := c.slavesOf(master)
	memory := func() int64 {
		n, err := c.client(master).Info(t.Context(), "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		used := regexp.MustCompile(`used_memory:(\d+)`).FindStringSubmatch(n)
		bytes, _ := strconv.ParseInt(used[1], 10, 64)
		return bytes
	}
	before := memory()
	c.holdUp(slaves, settle)
	connection, reader, err := c.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	command := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$4\r\npipe\r\n$65536\r\n%s\r\n", strings.Repeat("x", 1<<16))
	_ = connection.SetDeadline(time.Now().Add(settle))
	most := int64(0)
	for sent := 0; sent < 128<<20; sent += len(command) {
		if _, err := io.WriteString(connection, command); err != nil {
			t.Fatal(err)
		}
		if sent%(1<<20) < len(command) {
			most = max(most, memory()-before)
		}
	}
	t.Logf("Redis used up to %d MiB more for 128 MiB that it was sent", most>>20)
	// The backlog has 16 MiB, and a look takes a moment.
	if most > 16<<20+limit+64<<20 {
		t.Errorf("Redis used %d MiB more", most>>20)
	}
}

// One replica that has everything is enough. If writes waited for every replica, this one could not get so far behind.
func TestWritesDoNotWaitForOneOfTwoReplicas(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{environment: map[string]string{"LAUNCHER_MAX_REPLICATION_LAG": "4Mi"}})
	slaves := c.slavesOf(master)
	failed := c.flood(master)
	c.holdUp(slaves[:1], settle)
	eventually(t, settle, "one replica to be far behind", func() error {
		if lag := c.offset(master) - c.offset(slaves[0]); lag < 64<<20 {
			return fmt.Errorf("it is %d bytes behind", lag)
		}
		return failed()
	})
	w.requireNothingLost()
}
