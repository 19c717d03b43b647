package loopback

import (
	"errors"
	"testing"
	"time"
)

// The Redis of a leaving master dies before it has handed over. The launcher has the
// master replaced and passes late clients on, as in a pod that stays, and leaves then.
func TestLeavingMasterWhoseRedisDiesIsFailedOver(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	slaves := c.slavesOf(old)
	c.holdUp(slaves, settle) // they fall behind, and the first hand-over is given up
	left := old.removeBeside()
	eventually(t, settle, "the hand-over to be given up", func() error { return says(old, "the hand-over was aborted") })
	for _, p := range slaves {
		if err := c.client(p).Do(t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Second, "the slaves to catch up before the next hand-over", func() error { return c.caughtUp(old, slaves) })
	old.killRedis()
	died := time.Now()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled %v after the death", time.Since(died))
	if err := says(old, elected); err != nil {
		t.Error(err)
	}
	eventually(t, settle, "the old pod to have left", left)
	if err := says(old, "late connections passed on"); err != nil {
		t.Error(err)
	}
	c.addServer().run()
	w.advance(100)
	c.converge()
	w.requireLostAtMost(asyncTail)
}

// caughtUp wants the slaves to hold what their master held a moment ago.
func (c *cluster) caughtUp(master *pod, slaves []*pod) error {
	m, err := c.info(master)
	if err != nil {
		return err
	}
	for _, p := range slaves {
		n, err := c.info(p)
		if err != nil {
			return err
		}
		if n.offset < m.offset {
			return errors.New(p.name + " is behind")
		}
	}
	return nil
}
