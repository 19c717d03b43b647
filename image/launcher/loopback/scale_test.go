package loopback

import (
	"sort"
	"sync"
	"testing"
	"time"
)

// scaleDown deletes servers as a ReplicaSet does: those with the lowest
// deletion cost first, the youngest of equals first, all at once.
func (c *cluster) scaleDown(to int) []*pod {
	c.t.Helper()
	servers := c.servers()
	sort.SliceStable(servers, func(i, j int) bool {
		if a, b := c.deletionCost(servers[i]), c.deletionCost(servers[j]); a != b {
			return a < b
		}
		return servers[i].created.After(servers[j].created)
	})
	doomed := servers[:len(servers)-to]
	c.removeAll(doomed)
	return doomed
}

// removeAll deletes pods at the same time and waits until they are gone.
func (c *cluster) removeAll(pods []*pod) {
	var group sync.WaitGroup
	for _, p := range pods {
		group.Go(func() { p.remove() })
	}
	group.Wait()
}

func TestScalingFrom3To5To3KeepsTheMasterAndForgetsTheGone(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	for range 2 {
		c.addServer().run()
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s when servers were added", master.name, now.name)
	}
	for _, p := range c.scaleDown(3) {
		if p == master {
			t.Error("the master was chosen for deletion: its deletion cost does not protect it")
		}
	}
	// The sentinels must forget the replicas that are gone.
	if now := c.convergeWithin(60*time.Second, c.checkConverged); now != master {
		t.Errorf("the master moved from %s to %s when servers were removed", master.name, now.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(3 * time.Second)
}

// With a Deployment the volumes go with their pods: the release is empty after
// it was scaled to nothing, and must work all the same.
func TestScalingFrom3To0To3GivesAWorkingRelease(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	c.scaleDown(0)
	c.data.forget("the volumes went with their pods, and a new client writes the same keys")
	if masters := c.labelled("master"); len(masters) > 0 {
		t.Errorf("%s is labelled master without a server", masters[0].name)
	}
	for range 3 {
		c.addServer().run()
	}
	c.convergeWithin(120*time.Second, c.checkConverged)
	w := c.write()
	w.advance(100)
	w.requireNothingLost()
}

func TestReplacingEveryServerKeepsTheData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	w.advance(200)
	// maxSurge 1, maxUnavailable 0: a replacement comes and is ready, then one goes.
	for _, p := range c.servers() {
		replacement := c.addServer()
		replacement.run()
		eventually(t, settle, "the replacement to be ready", func() error { return ready(replacement) })
		p.remove()
	}
	c.converge()
	w.advance(100)
	w.requireNothingLost()
	w.requireGapBelow(5 * time.Second)
}

// kubectl delete pods --selector: the replacements are created at once.
func TestDeletingAllServersAtOnceKeepsTheData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 500)
	doomed := c.servers()
	for range doomed {
		c.addServer().run()
	}
	c.removeAll(doomed)
	c.converge()
	c.requireKeys(500)
}

// A master that has nobody to hand over to keeps all data there are. That its
// Redis is too busy to answer for a moment must not make it leave.
func TestMasterThatDoesNotAnswerForAMomentWhileItLeavesWaitsForASuccessor(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 500)
	doomed := c.servers()
	master := c.converge()
	var coming []*pod
	for range doomed {
		coming = append(coming, c.addServer())
	}
	gone := make(chan struct{})
	go func() { defer close(gone); c.removeAll(doomed) }()
	for range 3 {
		time.Sleep(3 * time.Second)
		master.freezeRedis()
		time.Sleep(1500 * time.Millisecond)
		master.thawRedis()
	}
	for _, p := range coming {
		p.run()
	}
	<-gone
	c.converge()
	c.requireKeys(500)
}
