package loopback

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// epoch returns the configuration epoch that all running sentinels have for the
// master: each failover adds one to it.
func (c *cluster) epoch() int64 {
	c.t.Helper()
	var epoch int64
	eventually(c.t, settle, "the sentinels to have the same configuration epoch", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		for i, p := range c.sentinels() {
			v, err := c.sentinelView(ctx, p)
			if err != nil {
				return err
			}
			if i > 0 && v.epoch != epoch {
				return fmt.Errorf("one has %d, another %d", epoch, v.epoch)
			}
			epoch = v.epoch
		}
		return nil
	})
	return epoch
}

// nobodyIsPromoted says which of some servers is no replica.
func (c *cluster) nobodyIsPromoted(slaves []*pod) error {
	for _, p := range slaves {
		if n, err := c.info(p); err != nil || n.role != "slave" {
			return fmt.Errorf("%s is %q (%v)", p.name, n.role, err)
		}
	}
	return nil
}

// The launcher knows for certain that its redis is dead, but one sentinel of
// three cannot say that no other master has been agreed on.
func TestWithoutASentinelMajorityACrashedMasterIsNotReplaced(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old := c.converge()
	slaves, down, epoch := c.slavesOf(old), c.sentinels()[:2], c.epoch()
	for _, p := range down {
		p.hold()
		p.kill()
	}
	old.killRedis()
	// Longer than any patience after which a launcher helps the sentinels.
	throughout(t, 35*time.Second, "nobody is promoted, and the old master does not serve", func() error {
		if n, err := c.info(old); err == nil && n.role == "master" {
			return fmt.Errorf("%s is master again", old.name)
		}
		return c.nobodyIsPromoted(slaves)
	})
	if masters := c.labelled("master"); len(masters) > 0 {
		t.Errorf("%s is labelled master, and nobody serves", masters[0].name)
	}
	for _, p := range down {
		p.run()
	}
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled %v after the sentinels were back", took)
	c.converge()
	c.requireKeys(100)
	if now := c.epoch(); now != epoch+1 {
		t.Errorf("the configuration epoch went from %d to %d for one failover", epoch, now)
	}
}

// A node that lost its way to the API server, and only that.
func TestMasterCutOffFromTheAPIServesAndIsReplacedWhenItDies(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	history := len(c.api.RoleChanges())
	if err := old.api.Cut(); err != nil {
		t.Fatal(err)
	}
	throughout(t, 10*time.Second, "the master serves, is ready and keeps its label", func() error {
		if changes := c.api.RoleChanges()[history:]; len(changes) > 0 {
			return fmt.Errorf("labels changed: %v", changes)
		}
		return ready(old)
	})
	w.requireGapBelow(2 * time.Second)
	old.killRedis()
	// Nobody but a sentinel's launcher can take the old label away.
	took := eventually(t, 20*time.Second, "another pod to be the only one labelled master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("only another pod was labelled after %v", took)
	w.advance(100)
	if err := old.api.Mend(); err != nil {
		t.Fatal(err)
	}
	if now := c.converge(); now == old {
		t.Errorf("%s is master again", old.name)
	}
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(20 * time.Second)
}
