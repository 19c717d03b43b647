package loopback

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// disown takes the label master off a pod, as a sentinel's launcher does.
func (c *cluster) disown(p *pod) {
	c.t.Helper()
	if err := c.api.UpdatePod(p.name, func(o *corev1.Pod) { delete(o.Labels, fakeapi.RoleLabel) }); err != nil {
		c.t.Fatal(err)
	}
}

// writesHeldBack says whether a master answers and does not carry out a write.
func (c *cluster) writesHeldBack(p *pod) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), 300*time.Millisecond)
	defer cancel()
	client := c.client(p)
	if client.Ping(ctx).Err() != nil {
		return false
	}
	var silence net.Error
	return errors.As(client.Set(ctx, "held-back", 1, 0).Err(), &silence) && silence.Timeout()
}

// Sentinels that the master does not reach may be about to replace it when its
// label is gone; what it acknowledged from then on would be lost.
func TestMasterWithoutSentinelsHoldsWritesBackWhenItsLabelIsTaken(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	told := func() int { return strings.Count(master.output.last(0), "the sentinels do not name another") }
	before := told() // when the release was new
	for _, p := range c.sentinels() {
		p.freezeRedis()
	}
	eventually(t, settle, "the master to miss the sentinels", func() error {
		if told() == before {
			return errors.New("its launcher has not said so")
		}
		return nil
	})
	w.advance(100)
	c.disown(master)
	eventually(t, settle, "writes to be held back", c.heldBack(master))
	// Nobody replaces it, and writes go on by themselves. New connections need the label.
	eventually(t, settle, "writes to go on", c.goesOn(master))
	for _, p := range c.sentinels() {
		p.thawRedis()
	}
	if now := c.converge(); now != master {
		t.Errorf("%s is master in place of %s", now.name, master.name)
	}
	w.advance(100)
	w.requireNothingLost()
}

// A pod that is deleted by force has no object any more, and so no label that could be taken.
// Its Redis lives until the kubelet kills it, and the sentinels, which do not reach it, may
// promote another before. TERM, which the kubelet sends first, changes nothing.
func TestMasterThatIsDeletedByForceOutOfReachOfTheSentinelsHoldsWritesBack(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	w.advance(100)
	for _, p := range c.sentinels() {
		p.freezeRedis()
	}
	master.loseObject()
	eventually(t, settle, "writes to be held back", c.heldBack(master))
	_ = master.expectExit().signal(syscall.SIGTERM)
	throughout(t, 4*time.Second, "writes are held back", c.heldBack(master))
	master.killRemoved()
	for _, p := range c.sentinels() {
		p.thawRedis()
	}
	c.addServer().run()
	c.converge()
	w.advance(100)
	w.requireNothingLost()
}

// The sentinels name it, so that its launcher takes the label back.
func TestMasterWithSentinelsGoesOnAtOnceWhenItsLabelIsTaken(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	for range 3 {
		w.advance(100)
		c.disown(master)
		if now := c.converge(); now != master {
			t.Errorf("%s is master in place of %s", now.name, master.name)
		}
	}
	w.advance(100)
	w.requireGapBelow(2 * time.Second)
	w.requireNothingLost()
}

// It stood still, was replaced, and dies with its writes held back. Its clients are
// passed on from then on: what is said at its address reaches its successor, which has
// no reason to hold back any.
func TestMasterThatDiesWithItsWritesHeldBackDoesNotHoldBackThoseOfItsSuccessor(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	old.freezeRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	successor := c.labelled("master")[0]
	old.killRedis()
	throughout(t, 4*time.Second, "the successor carries out writes", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.client(successor).Set(ctx, "carried-out", 1, 0).Err()
	})
	if !old.output.contains("held writes back") {
		t.Error("the old master did not hold writes back, and nothing was tried")
	}
	c.converge()
	w.advance(100)
	w.requireLostAtMost(asyncTail)
}
