package loopback

import (
	"errors"
	"testing"
	"time"
)

// asyncTail is how many acknowledged writes may be lost when a master dies
// without warning: those that had not left its sockets yet. On loopback 0 or 1
// have been measured.
const asyncTail = 5

func TestCrashOfTheMastersRedisIsFailedOver(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	old.killRedis()
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	w.advance(200)
	t.Logf("another pod was labelled after %v", took)
	if master := c.converge(); master == old {
		t.Errorf("%s is master again right after its redis died", old.name)
	}
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(10 * time.Second)
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
