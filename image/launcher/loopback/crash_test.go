package loopback

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// asyncTail is how many acknowledged writes may be lost when a master dies
// without warning: those that had not left its sockets yet. On loopback 0 or 1
// have been measured.
const asyncTail = 5

// elected is what a launcher says that the sentinels have elected to replace a dead master.
const elected = "elected to replace the master"

// The launcher of the dead Redis is elected by the sentinels and promotes a replica, without the record where the API does not write it, and
// without the votes where it does not get them.
func TestCrashOfTheMastersRedisIsFailedOver(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"by its launcher": {}, "the sentinels do not vote": {}, "the record cannot be written": {}, "there is one sentinel": {sentinels: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, o)
			epoch, said := c.epoch(), elected
			switch name {
			case "the sentinels do not vote":
				c.denyVotes()
				said = "replacing the master without the votes"
			case "the record cannot be written":
				c.api.Deny(old.name, "update", "leases")
			}
			old.killRedis()
			took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			w.advance(200)
			t.Logf("another pod was labelled after %v", took)
			if master := c.converge(); master == old {
				t.Errorf("%s is master again right after its redis died", old.name)
			}
			if err := says(old, said); err != nil {
				t.Error(err)
			}
			if led := c.ledFailovers(); led > 0 {
				t.Errorf("%d sentinels led a failover", led)
			}
			c.requireOneFailover(epoch)
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(10 * time.Second)
		})
	}
}

// ledFailovers counts the sentinels that have tried to replace a master.
func (c *cluster) ledFailovers() (led int) {
	for _, p := range c.sentinels() {
		if output := p.output.last(0); strings.Contains(output, "+try-failover") || strings.Contains(output, "+selected-slave") {
			led++
		}
	}
	return led
}

// allowPromotion lets replicas obey the order to become master, or refuse it.
func (c *cluster) allowPromotion(replicas []*pod, allowed bool) {
	c.t.Helper()
	rule := map[bool]string{true: "+replicaof", false: "-replicaof"}[allowed]
	for _, p := range replicas {
		if err := c.client(p).Do(c.t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// The launcher that replaces a dead master dies after the votes. The sentinels that have voted begin no failover of
// their own for a while, so that a replica has to go on.
func TestLauncherKilledWhileItReplacesADeadMasterIsSucceeded(t *testing.T) {
	t.Parallel()
	for _, carrier := range []string{"the launcher of the dead master", "the launcher of a replica"} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			slaves := c.slavesOf(old)
			c.allowPromotion(slaves, false)
			first := old
			if carrier == "the launcher of a replica" {
				old.hold()
				old.kill()
				eventually(t, settle, "a replica to be elected", func() error {
					for _, p := range slaves {
						if says(p, elected) == nil {
							first = p
							return nil
						}
					}
					return errors.New("none is")
				})
			} else {
				old.killRedis()
				awaitLine(t, old, elected)
			}
			first.hold()
			first.kill()
			slaves = slices.DeleteFunc(slaves, func(p *pod) bool { return p == first })
			c.allowPromotion(slaves, true)
			took := eventually(t, settle, "another master", func() error {
				for _, p := range c.labelled("master") {
					if slices.Contains(slaves, p) {
						return nil
					}
				}
				return errors.New("no other pod is labelled")
			})
			t.Logf("another pod was labelled after %v", took)
			old.run() // does nothing where the container runs
			first.run()
			w.advance(100)
			c.converge()
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(10 * time.Second)
		})
	}
}

func TestCrashOfTheMastersLauncherIsFailedOverOrResumedWithData(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	old.kill()
	w.advance(200)
	c.converge()
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(20 * time.Second)
}

// Nobody is left in the pod to say that it is dead. The replicas see that
// nothing listens there, and need not wait for the sentinels to find it down.
func TestMasterWhoseContainerStaysDownIsReplacedBeforeTheSentinelsNotice(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	epoch := c.epoch()
	old.hold()
	old.kill()
	took := eventually(t, settle, "another master", func() error {
		for _, p := range c.labelled("master") {
			if p != old {
				return nil
			}
		}
		return errors.New("no other pod is labelled")
	})
	t.Logf("another pod was labelled after %v", took)
	if limit := c.options.downAfter - time.Second/2; took > limit {
		t.Errorf("another pod was labelled after %v, want less than %v: the sentinels notice after %v", took, limit, c.options.downAfter)
	}
	w.advance(200)
	old.run()
	if master := c.converge(); master == old {
		t.Errorf("%s is master again", old.name)
	}
	c.requireOneFailover(epoch) // both replicas have seen it
	w.requireLostAtMost(asyncTail)
}

func TestCrashOfASlaveLeavesTheMasterAlone(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	slaves := c.slavesOf(master)
	slaves[0].killRedis()
	w.advance(200)
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because a slave's redis died", master.name, now.name)
	}
	slaves[1].kill()
	w.advance(200)
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s because a slave's launcher died", master.name, now.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(5 * time.Second)
}

func TestMasterThatDiesTwiceInARowIsFailedOverTwice(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	first := c.converge()
	first.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(first) })
	second, err := c.masterPod()
	if err != nil {
		t.Fatal(err)
	}
	second.killRedis()
	eventually(t, settle, "a third master or the first again", func() error { return c.checkMasterIsNot(second) })
	c.converge()
	c.requireKeys(100)
}
