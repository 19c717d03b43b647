package loopback

import (
	"context"
	"errors"
	"fmt"
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
			if err := client.Set(ctx, fmt.Sprintf("flood:%d", number%100), value, 0).Err(); err != nil && ctx.Err() == nil {
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
		if err := c.client(p).Do(c.t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Replicas take the stream and do not carry it out. Writes wait until they do, instead of being refused, so a crash of the master can
// lose no more than the lag that is allowed and what is written until the launcher looks.
func TestWritesWaitForReplicasThatAreTooFarBehind(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{environment: map[string]string{"LAUNCHER_MAX_REPLICATION_LAG": "4Mi"}})
	slaves := c.slavesOf(master)
	failed := c.flood(master)
	c.holdUp(slaves, settle)
	eventually(t, settle, "writes to wait", func() error { return says(master, "writes wait for the replicas") })
	before := c.offset(master)
	time.Sleep(time.Second) // the bound is of what is written in a time
	after := c.offset(master)
	if after-before > 2<<20 {
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
