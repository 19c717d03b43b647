package loopback

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// The length of a freeze that Sentinel must notice with down-after 3 s.
const freezeFor = 8 * time.Second

// The sentinels of this test never fail over by themselves: they would need more of them to agree than there are.
func TestSilentMasterIsReplacedByTheLauncherOfASlave(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	for _, p := range c.sentinels() {
		if err := c.client(p).Do(t.Context(), "SENTINEL", "SET", "mymaster", "quorum", 9).Err(); err != nil {
			t.Fatal(err)
		}
	}
	slaves := c.slavesOf(old)
	old.freeze()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	if !slices.ContainsFunc(slaves, func(p *pod) bool { return says(p, elected) == nil }) {
		t.Error("no launcher of a slave was elected to replace it")
	}
	w.advance(100)
	old.thaw()
	if master := c.converge(); master == old {
		t.Errorf("%s is master again after a freeze", old.name)
	}
	w.requireLostAtMost(asyncTail)
}

func TestFrozenMasterIsReplacedAndWakesUpAsSlave(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"redis", "the container"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			frozen, history := time.Now(), len(c.api.RoleChanges())
			if what == "redis" {
				old.freezeRedis()
			} else {
				old.freeze()
			}
			took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			byLauncher := slices.ContainsFunc(c.slavesOf(old), func(p *pod) bool { return says(p, elected) == nil })
			t.Logf("another pod was labelled after %v; by a replica's launcher: %v", took, byLauncher)
			w.advance(100)
			time.Sleep(time.Until(frozen.Add(freezeFor))) // the claim is about the length of the freeze
			if what == "redis" {
				old.thawRedis()
			} else {
				old.thaw()
			}
			woke := eventually(t, settle, "the old master to be a slave", func() error {
				n, err := c.info(old)
				if err == nil && n.role != "slave" {
					err = fmt.Errorf("%s is %s", old.name, n.role)
				}
				return err
			})
			t.Logf("the old master was a slave %v after it woke up", woke)
			if master := c.converge(); master == old {
				t.Errorf("%s is master again after a freeze", old.name)
			}
			requireTakenFirst(t, c.api.RoleChanges()[history:], old.name)
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(20 * time.Second)
		})
	}
}

// requireTakenFirst checks that the label master was taken off a lost pod before
// another had it, and that the pod never had it again.
func requireTakenFirst(t *testing.T, changes []fakeapi.RoleChange, lost string) {
	t.Helper()
	if len(changes) == 0 || changes[0].Pod != lost || changes[0].Role != "" || changes[0].By == lost {
		t.Errorf("the first change should be a sentinel's launcher that takes the label off %s: %v", lost, changes)
	}
	for _, change := range changes {
		if change.Pod == lost && change.Role == "master" {
			t.Errorf("%s was labelled master again: %v", lost, changes)
		}
	}
}

func TestFrozenLauncherOfTheMasterChangesNothing(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	history := len(c.api.RoleChanges())
	// 8 s are less than the kubelet's liveness probe tolerates.
	process := master.current()
	if err := process.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	throughout(t, freezeFor, "no label changes while only the launcher is frozen", func() error {
		if changes := c.api.RoleChanges()[history:]; len(changes) > 0 {
			return fmt.Errorf("%v", changes)
		}
		return nil
	})
	if err := process.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(2 * time.Second)
}

func TestBriefFreezeOfTheMasterIsNoFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	master.freezeRedis()
	time.Sleep(1200 * time.Millisecond) // shorter than down-after
	master.thawRedis()
	w.advance(100)
	throughout(t, 3*time.Second, "the master stays", func() error {
		now, err := c.masterPod()
		if err == nil && now != master {
			err = fmt.Errorf("%s is master", now.name)
		}
		return err
	})
	w.requireNothingLost()
}

// The label is off the pod before a successor could be there, and that is all that
// happens to a master that answers again in time.
func TestSilentMasterHasItsLabelTakenBeforeItIsFoundDown(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master, changes := c.silence()
	if len(changes) != 2 || changes[0].By == master.name || changes[1].Pod != master.name || changes[1].Role != "master" {
		t.Errorf("a sentinel's launcher should take the label off %s, and its own put it back: %v", master.name, changes)
	}
	w.advance(100)
	w.requireNothingLost()
}

// silence freezes the Redis of the master until its label is gone, and gives the
// changes of labels until all is well again. Where the machine is so slow that a
// sentinel has found the master down before, it is done again.
func (c *cluster) silence() (*pod, []fakeapi.RoleChange) {
	c.t.Helper()
	foundDown := func() (n int) {
		for _, p := range c.sentinels() {
			n += strings.Count(p.output.last(0), "channel=+sdown message=\"master ")
		}
		return n
	}
	const attempts = 15
	for range attempts {
		told := foundDown()
		master := c.converge()
		epoch, history := c.epoch(), len(c.api.RoleChanges())
		master.freezeRedis()
		took := eventually(c.t, settle, "the label to be taken off the silent master", func() error {
			if changes := c.api.RoleChanges()[history:]; len(changes) == 0 || changes[0].Pod != master.name || changes[0].Role != "" {
				return fmt.Errorf("the labels changed so: %v", changes)
			}
			return nil
		})
		master.thawRedis()
		c.t.Logf("the label was taken off after %v", took)
		if c.converge() == master && c.epoch() == epoch && foundDown() == told {
			return master, c.api.RoleChanges()[history:]
		}
	}
	c.t.Fatalf("%d times a sentinel has found the master down before it answered again, which it does as soon as its label is gone", attempts)
	return nil, nil
}
