package loopback

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestDeletedMasterHandsOverWithoutLosingAWrite(t *testing.T) {
	t.Parallel()
	for _, persistence := range []string{"with", "without"} {
		t.Run(persistence+" persistence", func(t *testing.T) {
			t.Parallel()
			c := start(t, options{noPersistence: persistence == "without"})
			w := c.write()
			for range 2 {
				w.advance(300)
				old := c.converge()
				took := old.remove()
				t.Logf("%s was gone %v after TERM", old.name, took)
				c.addServer().run()
				if took > 15*time.Second {
					t.Errorf("the hand-over took %v", took)
				}
				eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
				w.advance(300)
				c.converge()
			}
			w.requireNothingLost()
			w.requireGapBelow(5 * time.Second)
		})
	}
}

// The launcher of the leaving master is elected by the sentinels, and tells them of the new master: none of
// them leads a failover, all name the new master at once, and it stays.
func TestSentinelsAreToldOfAHandOverAndLeadNone(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	epoch := c.epoch()
	if err := c.api.MarkDeleted(old.name, old.grace()); err != nil {
		t.Fatal(err)
	}
	old.hold()
	slaves := c.slavesOf(old)
	gone := make(chan struct{})
	go func() { defer close(gone); old.stop() }()
	successor := c.awaitPromotion(slaves)
	promoted := time.Now()
	took := eventually(t, settle, "all sentinels to name another master", func() error {
		for _, p := range c.sentinels() {
			v, err := c.sentinelView(t.Context(), p)
			if err == nil && v.master == old.ip {
				err = fmt.Errorf("%s names %s", p.name, v.master)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("all sentinels named %s %v after its promotion was seen, at %s", successor.name, took, promoted.Format("15:04:05.000"))
	<-gone
	if led := c.ledFailovers(); led > 0 {
		t.Errorf("%d sentinels led a failover", led)
	}
	if now := c.epoch(); now <= epoch {
		t.Errorf("the configuration epoch was %d and is %d", epoch, now)
	}
	old.remove()
	c.addServer().run()
	if now := c.converge(); now != successor {
		t.Errorf("%s was replaced by %s", successor.name, now.name)
	}
	w.requireNothingLost()
}

// denyVotes keeps the sentinels from voting, for launchers and for each other, until they start again.
func (c *cluster) denyVotes() {
	c.t.Helper()
	for _, p := range c.sentinels() {
		if err := c.client(p).Do(c.t.Context(), "ACL", "SETUSER", "default", "-sentinel|is-master-down-by-addr").Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// A launcher hands over by the votes of the sentinels, without the record where the API does not write it, and without the votes where it
// does not get them.
func TestHandOverGoesOnWithoutTheRecordAndWithoutTheVotes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"the record cannot be written": {}, "there is one sentinel": {sentinels: 1}, "the sentinels do not vote": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, o)
			said := "elected to hand over"
			switch name {
			case "the record cannot be written":
				c.api.Deny(old.name, "update", "leases")
			case "the sentinels do not vote":
				c.denyVotes()
				said = "handing over without the votes"
			}
			old.remove()
			c.addServer().run()
			w.advance(100)
			if now := c.converge(); now == old {
				t.Errorf("%s is still master", now.name)
			}
			if err := says(old, said); err != nil {
				t.Error(err)
			}
			w.requireNothingLost()
			w.requireGapBelow(5 * time.Second)
		})
	}
}

// A leaving master has neither the record nor the votes, and thus no lock. It serves on, and hands over when the API is back.
func TestMasterServesOnWithNeitherTheRecordNorTheVotes(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	c.denyVotes()
	c.api.Deny(old.name, "update", "leases")
	slaves, removed := c.slavesOf(old), make(chan struct{})
	go func() {
		defer close(removed)
		old.remove()
	}()
	awaitLine(t, old, "the hand-over was aborted")
	for _, p := range slaves {
		if says(p, "MASTER MODE enabled") == nil {
			t.Errorf("%s was promoted", p.name)
		}
	}
	w.advance(50)
	c.api.Allow(old.name, "update", "leases")
	<-removed
	c.addServer().run()
	w.advance(100)
	if now := c.converge(); now == old {
		t.Errorf("%s is still master", now.name)
	}
	w.requireNothingLost()
}

// Somebody has told a sentinel to fail over, and the master's pod is deleted in
// the quarter of a second in which that one works.
func TestHandOverWaitsForAFailoverThatIsGoingOn(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	w.advance(200)
	old, epoch := c.converge(), c.epoch()
	if err := c.client(c.sentinels()[1]).Do(t.Context(), "SENTINEL", "FAILOVER", "mymaster").Err(); err != nil {
		t.Fatal(err)
	}
	old.remove()
	c.data.forget(orderedBySomebody)
	c.addServer().run()
	w.advance(200)
	if now := c.converge(); now == old {
		t.Errorf("%s is master again", old.name)
	}
	c.requireOneFailover(epoch)
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(3 * time.Second)
}

func TestMasterContainerRestartedWithTERMLosesNothing(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	w.advance(300)
	old := c.converge()
	old.stop() // and the kubelet starts it again
	w.advance(300)
	c.converge()
	w.requireNothingLost()
	w.requireGapBelow(5 * time.Second)
	if old.restartCount() != 1 {
		t.Errorf("the container was restarted %d times", old.restartCount())
	}
}

func TestDeletedSlaveAndSentinelLeaveTheMasterAlone(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	slave := c.slavesOf(master)[0]
	if took := slave.remove(); took > 10*time.Second {
		t.Errorf("the slave was gone only %v after TERM", took)
	}
	c.addServer().run()
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because a slave was deleted", master.name, now.name)
	}
	if took := c.sentinels()[0].remove(); took > 10*time.Second {
		t.Errorf("the sentinel was gone only %v after TERM", took)
	}
	c.addSentinel().run()
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because a sentinel was deleted", master.name, now.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(3 * time.Second)
}

// The slaves do not take what the master writes, and it is told to leave. It
// must wait for them: within the pause of its clients' writes, or, where that
// is too short, by serving on until they are back. A pause of its own keeps a
// slave from carrying out the stream while it answers everything else.
func TestHandOverWaitsForSlavesThatAreBehind(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]time.Duration{
		"paused for a second": time.Second, "frozen for a second": time.Second, "frozen for 5 s": 5 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			slaves := c.slavesOf(old)
			pause := strings.HasPrefix(name, "paused")
			for _, p := range slaves {
				if !pause {
					p.freezeRedis()
				} else if err := c.client(p).Do(t.Context(), "CLIENT", "PAUSE", length.Milliseconds(), "WRITE").Err(); err != nil {
					t.Fatal(err)
				}
			}
			w.advance(100)
			removed := make(chan struct{})
			go func() { old.remove(); close(removed) }()
			time.Sleep(length) // the claim is about this length
			for _, p := range slaves {
				p.thawRedis()
			}
			<-removed
			c.addServer().run()
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			w.advance(200)
			c.converge()
			w.requireNothingLost()
			w.requireGapBelow(20 * time.Second)
		})
	}
}

func TestMasterDeletedByForceIsFailedOver(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	old.removeByForce()
	c.addServer().run()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	w.advance(200)
	c.converge()
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(20 * time.Second)
}

func TestMasterWithoutAnySlaveLeavesAfterSavingItsData(t *testing.T) {
	t.Parallel()
	c := start(t, options{servers: 1, sentinels: 3})
	c.fill(t, 100)
	only := c.servers()[0]
	only.hold()
	if took := only.stop(); took > 30*time.Second {
		t.Errorf("the launcher needed %v to give up the hand-over", took)
	}
	only.run()
	eventually(t, settle, "the only server to be back with its data", func() error {
		if err := c.checkSettled(); err != nil {
			return err
		}
		return c.hasKeys(only, 100)
	})
}
