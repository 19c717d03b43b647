package loopback

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// holdUp lets replicas take their master's stream without carrying it out, for a while.
func (c *cluster) holdUp(replicas []*pod, span time.Duration) {
	c.t.Helper()
	for _, p := range replicas {
		if err := c.client(p).Do(c.t.Context(), "CLIENT", "PAUSE", span.Milliseconds(), "WRITE").Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// removeBeside deletes the pod while the test goes on. Its result says why the pod has not left yet.
func (p *pod) removeBeside() (left func() error) {
	removed := make(chan struct{})
	go func() { p.remove(); close(removed) }()
	return func() error {
		select {
		case <-removed:
			return nil
		default:
			return errors.New(p.name + " is still there")
		}
	}
}

// The replicas are in sync and far behind: they take the stream and do not
// carry it out. A hand-over pauses writes no longer than it may, gives up, and
// the old master serves until they have caught up.
func TestHandOverThatSlavesCannotFollowIsGivenUpAndRepeated(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	slaves := c.slavesOf(old)
	const behind = 6 * time.Second
	c.holdUp(slaves, behind)
	paused := time.Now()
	value := strings.Repeat("x", 1<<20)
	for number := range 50 {
		if err := c.client(old).Set(t.Context(), fmt.Sprintf("large:%d", number), value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	left := old.removeBeside()
	eventually(t, behind, "the hand-over to be given up", func() error { return says(old, "the hand-over was aborted") })
	before := w.count()
	eventually(t, time.Second, "writes to go on at the old master", func() error {
		if w.count() < before+20 {
			return w.failure()
		}
		return nil
	})
	if time.Since(paused) > behind {
		t.Errorf("the slaves were behind for %v only: nothing was tested", behind)
	}
	if err := c.nobodyIsPromoted(slaves); err != nil {
		t.Error(err)
	}
	eventually(t, settle, "the old master to have left", left)
	c.addServer().run()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	w.advance(100)
	master := c.converge()
	if size, err := c.client(master).StrLen(t.Context(), "large:49").Result(); err != nil || size != 1<<20 {
		t.Errorf("the last large value has %d bytes (%v)", size, err)
	}
	w.requireNothingLost()
	w.requireGapBelow(5 * time.Second)
}

// One of the slaves has just lost the master, and the sentinels do not know: they go by
// what they have heard within the last second. What has been written since then it
// lacks, and a hand-over must not be to it, nor wait for the other one for ever.
func TestHandOverIsNotToASlaveThatHasJustLostTheMaster(t *testing.T) {
	t.Parallel()
	for try := range 4 { // which of them a sentinel would choose is chance
		t.Run(fmt.Sprint(try), func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			slave := c.slavesOf(old)[try%2]
			// Nobody listens there, and its launcher leaves it a moment.
			if err := c.client(slave).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
				t.Fatal(err)
			}
			w.advance(20)
			took := old.remove()
			t.Logf("the old master left after %v", took)
			if took > 10*time.Second {
				t.Error("it should not have waited for a promotion that it did not see")
			}
			c.addServer().run()
			c.converge()
			w.advance(100)
			w.requireNothingLost()
			w.requireGapBelow(5 * time.Second)
		})
	}
}
