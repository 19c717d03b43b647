package loopback

import (
	"errors"
	"testing"
	"time"
)

// isolate stops the API and all sentinels, as a master sees it that reaches neither.
func (c *cluster) isolate() (end func()) {
	c.t.Helper()
	for _, p := range c.sentinels() {
		p.freezeRedis()
	}
	if err := c.api.Stop(); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if err := c.api.Start(); err != nil {
			c.t.Fatal(err)
		}
		for _, p := range c.sentinels() {
			p.thawRedis()
		}
	}
}

// heldBack says whether the writes of a master are held back.
func (c *cluster) heldBack(p *pod) func() error {
	return func() error {
		if !c.writesHeldBack(p) {
			return errors.New("a write is carried out")
		}
		return nil
	}
}

// goesOn says whether a master carries out writes.
func (c *cluster) goesOn(p *pod) func() error {
	return func() error { return c.client(p).Set(c.t.Context(), "goes-on", 1, 0).Err() }
}

// The sentinels may be about to replace a master that they do not reach, and nobody could tell it. They
// are in fact dead here, and nobody replaces it.
func TestMasterThatReachesNeitherSentinelsNorAPIHoldsWritesBackForAWhile(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{})
	end := c.isolate()
	eventually(t, settle, "writes to be held back", c.heldBack(master))
	eventually(t, settle, "writes to go on", c.goesOn(master))
	throughout(t, 4*time.Second, "writes go on", c.goesOn(master))
	end()
	if now := c.converge(); now != master {
		t.Errorf("%s is master in place of %s", now.name, master.name)
	}
	w.advance(100)
	w.requireNothingLost()
}

// The sentinels have promoted a replica; the other replica has not been told, and confirms what it still gets.
func TestIsolatedMasterWhoseReplicaWasPromotedHoldsWritesBackUntilItHearsOfIt(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{})
	end := c.isolate()
	eventually(t, settle, "writes to be held back", c.heldBack(master))
	if err := c.client(c.slavesOf(master)[0]).SlaveOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	throughout(t, 8*time.Second, "writes are held back", c.heldBack(master))
	end()
	c.converge()
	w.advance(100)
	w.requireNothingLost()
}
