package loopback

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// sentinelIDs returns the ids of the running sentinels, sorted.
func (c *cluster) sentinelIDs() []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var ids []string
	for _, p := range c.sentinels() {
		v, err := c.sentinelView(ctx, p)
		if err != nil {
			c.t.Fatal(err)
		}
		ids = append(ids, v.id)
	}
	sort.Strings(ids)
	return ids
}

func TestKilledSentinelComesBackAsItself(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	master, ids := c.converge(), c.sentinelIDs()
	c.sentinels()[1].kill()
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because a sentinel died", master.name, now.name)
	}
	if now := c.sentinelIDs(); !slices.Equal(now, ids) {
		t.Errorf("the sentinels' ids are %v, they were %v", now, ids)
	}
}

func TestAllSentinelsKilledAtOnceRecover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master, ids := c.converge(), c.sentinelIDs()
	for _, p := range c.sentinels() {
		p.kill()
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because the sentinels died", master.name, now.name)
	}
	if now := c.sentinelIDs(); !slices.Equal(now, ids) {
		t.Errorf("the sentinels' ids are %v, they were %v", now, ids)
	}
	w.requireNothingLost()
	w.requireGapBelow(3 * time.Second)
}

// The sentinels forget everything: each comes back as a new pod without its
// state, while the master is dead. What they need they learn from the API.
func TestAllSentinelsReplacedWhileTheMasterIsDeadFailOver(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old := c.converge()
	old.hold()
	for _, p := range c.sentinels() {
		p.removeByForce()
	}
	old.kill()
	for range 3 {
		c.addSentinel().run()
	}
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	old.run()
	c.converge()
	c.requireKeys(100)
}

func TestAllSentinelsKilledTogetherWithTheMasterRecover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old := c.converge()
	old.hold()
	for _, p := range append(c.sentinels(), old) {
		p.kill()
	}
	// A sentinel that starts without its replicas never finds them, since it
	// would ask the dead master; the launchers' last resorts take half a minute.
	took := eventually(t, 25*time.Second, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	old.run()
	c.converge()
	c.requireKeys(100)
}

func TestReplacingEverySentinelLeavesNoGhosts(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	master, ids := c.converge(), c.sentinelIDs()
	// maxSurge 0, maxUnavailable 1: one goes, then its replacement comes.
	for _, p := range c.sentinels() {
		p.remove()
		c.addSentinel().run()
		if now := c.converge(); now != master {
			t.Errorf("the master moved from %s to %s because a sentinel was replaced", master.name, now.name)
		}
	}
	if now := c.sentinelIDs(); !slices.Equal(now, ids) {
		t.Errorf("the sentinels' ids are %v, they were %v", now, ids)
	}
	master.killRedis()
	eventually(t, settle, "the new sentinels to fail over", func() error { return c.checkMasterIsNot(master) })
	c.converge()
	c.requireKeys(100)
}

func TestOneSentinelDownDoesNotPreventAFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old, down := c.converge(), c.sentinels()[0]
	down.hold()
	down.kill()
	old.hold()
	old.kill()
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	down.run()
	old.run()
	c.converge()
	c.requireKeys(100)
}

func TestWithoutASentinelMajorityNobodyIsPromotedAfterAFreeze(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old := c.converge()
	down := c.sentinels()[:2]
	for _, p := range down {
		p.hold()
		p.kill()
	}
	old.freezeRedis()
	throughout(t, 6*time.Second, "no slave is promoted by one sentinel of three", func() error {
		for _, p := range c.slavesOf(old) {
			if n, err := c.info(p); err != nil || n.role != "slave" {
				return fmt.Errorf("%s is %s (%v)", p.name, n.role, err)
			}
		}
		return nil
	})
	old.thawRedis()
	for _, p := range down {
		p.run()
	}
	c.converge()
	c.requireKeys(100)
}

// Somebody tells a sentinel to fail over, and the master leaves or dies. The sentinel dies in the middle of the failover. All sentinels are
// prepared to die so; a sentinel that comes back is not any more.
func TestSentinelCrashInTheMiddleOfAFailoverIsSurvived(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"crash-after-election", "crash-after-promotion"} {
		for _, how := range []string{"hand-over", "crash"} {
			t.Run(moment+" of a "+how, func(t *testing.T) {
				t.Parallel()
				c, w, old := startWritten(t, options{})
				for _, p := range c.sentinels() {
					if err := c.client(p).Do(t.Context(), "SENTINEL", "SIMULATE-FAILURE", moment).Err(); err != nil {
						t.Fatal(err)
					}
				}
				longest := 40 * time.Second
				c.data.forget(orderedBySomebody)
				c.orderFailover()
				if how == "crash" {
					old.killRedis()
				} else {
					longest = 4500 * time.Millisecond // the launcher acts itself when no sentinel does any more
					old.remove()
					c.addServer().run()
				}
				eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
				w.advance(200)
				c.converge()
				w.requireLostAtMost(asyncTail)
				crashed := 0
				for _, p := range c.sentinels() {
					if strings.Contains(p.output.last(0), "simulate-failure") {
						crashed++
					}
				}
				switch crashed {
				case 0:
					t.Error("no sentinel has ended")
				case 1:
				default:
					longest = 75 * time.Second // each sentinel has promoted another replica, and the next one waits for twice the failover time-out
				}
				w.requireGapBelow(longest)
			})
		}
	}
}

// The launcher promotes a replica and cannot tell the sentinels, as where it dies in that moment. They still
// name the former master. Their launchers tell them before they replace the new one.
func TestReplacementThatTheSentinelsAreNotToldOfIsSurvived(t *testing.T) {
	t.Parallel()
	for how, tail := range map[string]int{"hand-over": 0, "crash": asyncTail} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			for _, p := range c.sentinels() {
				if err := c.client(p).Do(t.Context(), "ACL", "SETUSER", "default", "-publish").Err(); err != nil {
					t.Fatal(err)
				}
			}
			slaves := c.slavesOf(old)
			gone := make(chan struct{})
			if how == "crash" {
				old.killRedis()
				close(gone)
			} else {
				// A pod may be terminating long after its container has ended.
				if err := c.api.MarkDeleted(old.name, old.grace()); err != nil {
					t.Fatal(err)
				}
				old.hold()
				go func() { defer close(gone); old.stop() }()
			}
			successor := c.awaitPromotion(slaves)
			<-gone
			awaitLine(t, old, "sentinels=0 of=3")
			labelled := func() error {
				now, err := c.masterPod()
				if err == nil && now != successor {
					err = fmt.Errorf("the label is at %s", now.name)
				}
				return err
			}
			eventually(t, settle, "the successor to have the label", labelled)
			throughout(t, 5*time.Second, "the successor stays master", labelled)
			if how == "hand-over" {
				old.remove()
				c.addServer().run()
			}
			if now := c.converge(); now != successor {
				t.Errorf("%s was replaced by %s", successor.name, now.name)
			}
			w.requireLostAtMost(tail)
			w.requireGapBelow(4500 * time.Millisecond)
		})
	}
}

// The pod of a sentinel on a lost node stays terminating until somebody deletes the
// Node. Its replacement must not wait for that: after the loss of a second one nobody
// would fail over.
func TestSentinelsOnLostNodesAreReplacedAndFailOver(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{})
	ids := c.sentinelIDs()
	var slaves, lost []*pod
	var slaveIPs []string
	for _, p := range c.slavesOf(master) {
		slaves, slaveIPs = append(slaves, p), append(slaveIPs, p.ip)
	}
	complete := func() error { return c.checkSentinels(master, slaveIPs, false) }
	for range 2 {
		away := c.sentinels()[0]
		lost = append(lost, away)
		away.loseNode()
		replacement := c.addSentinel()
		replacement.run()
		took := eventually(t, 40*time.Second, "the replacement of a lost sentinel to be active", func() error { return ready(replacement) })
		t.Logf("the replacement was active after %v", took)
		eventually(t, settle, "the sentinels to know each other", complete)
	}
	if now := c.sentinelIDs(); !slices.Equal(now, ids) {
		t.Errorf("the sentinels' ids are %v, they were %v", now, ids)
	}
	if now, err := c.masterPod(); err != nil || now != master {
		t.Fatalf("the master moved from %s (%v)", master.name, err)
	}
	old := master
	old.hold()
	old.kill()
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	master = c.awaitPromotion(slaves)
	c.returnFromLostNodes(lost)
	old.run()
	slaveIPs = nil
	for _, p := range c.slavesOf(master) {
		slaveIPs = append(slaveIPs, p.ip)
	}
	eventually(t, settle, "the sentinels to know each other", complete)
	if now, err := c.masterPod(); err != nil || now != master {
		t.Errorf("the master moved from %s (%v)", master.name, err)
	}
	w.advance(100)
	w.requireLostAtMost(asyncTail)
}

// returnFromLostNodes lets pods of sentinels go on whose identities others have by now,
// and waits until they have ended their sentinels.
func (c *cluster) returnFromLostNodes(lost []*pod) {
	c.t.Helper()
	for _, p := range lost {
		p.thaw()
	}
	for _, p := range lost {
		eventually(c.t, settle, "the sentinel that has come back to end", func() error {
			if _, err := p.current().redis(); err == nil {
				return fmt.Errorf("%s still runs its sentinel", p.name)
			}
			return nil
		})
	}
}
