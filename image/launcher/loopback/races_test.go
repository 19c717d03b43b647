package loopback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitPromotion waits until one of some slaves is master and returns it.
func (c *cluster) awaitPromotion(slaves []*pod) *pod {
	c.t.Helper()
	var promoted *pod
	eventually(c.t, settle, "a slave to be promoted", func() error {
		for _, p := range slaves {
			if n, err := c.info(p); err == nil && n.role == "master" {
				promoted = p
				return nil
			}
		}
		return errors.New("all are slaves")
	})
	return promoted
}

// requireOneFailover fails the test unless one server was promoted since the sentinels had an
// epoch. An election without a result takes an epoch as well, so the epoch itself may go on by more.
func (c *cluster) requireOneFailover(epoch int64) {
	c.t.Helper()
	promoted := 0
	for _, p := range c.all() {
		promoted += strings.Count(p.output.last(0), "MASTER MODE enabled")
	}
	if now := c.epoch(); promoted != 1 || now <= epoch {
		c.t.Errorf("%d servers were promoted, and the configuration epoch went from %d to %d, for one failover", promoted, epoch, now)
	}
	c.requireOneSwitchTold()
}

// requireOneSwitchTold fails the test unless one Event tells of a switch of the
// master: launchers find that another has told of it.
func (c *cluster) requireOneSwitchTold() {
	c.t.Helper()
	var told []string
	for _, e := range c.api.Events() {
		if strings.Contains(e.Message, "+switch-master") {
			told = append(told, e.Message)
		}
	}
	if len(told) != 1 {
		c.t.Errorf("%d Events for one switch of the master: %q", len(told), told)
	}
}

// replacementsBy counts the replacements of a master that the launcher of a pod has begun or ordered.
func replacementsBy(p *pod) (n int) {
	for _, said := range []string{"failover commanded", elected, "replacing the master without the votes"} {
		n += strings.Count(p.output.last(0), said)
	}
	return n
}

// Two reasons for a failover at the same time: a hand-over that has begun, and
// the death of the redis that is to be handed over.
func TestCrashInAHandOverIsOneFailover(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			c := start(t, options{})
			w := c.write()
			w.advance(200)
			old, epoch := c.converge(), c.epoch()
			redis, err := old.current().redis()
			if err != nil {
				t.Fatal(err)
			}
			if err := old.expectExit().signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay) // the claim is about this moment
			_ = syscall.Kill(redis, syscall.SIGKILL)
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			w.advance(200)
			if now := c.converge(); now == old {
				t.Errorf("%s is master again", old.name)
			}
			c.requireOneFailover(epoch)
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(15 * time.Second)
		})
	}
}

// The sentinels are about to replace a master that stands still when its redis
// dies for good, and its launcher would order a failover, too.
func TestMasterThatDiesWhileTheSentinelsReplaceItIsReplacedOnce(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"o_down", "failover_in_progress"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			c := start(t, options{})
			c.fill(t, 100)
			old, epoch := c.converge(), c.epoch()
			slaves := c.slavesOf(old)
			redis, err := old.current().redis()
			if err != nil {
				t.Fatal(err)
			}
			if moment == "failover_in_progress" {
				// Otherwise the launcher of a replica is elected, and no sentinel begins.
				c.api.Deny("", "update", "leases")
			}
			old.freezeRedis()
			for begin, seen := time.Now(), false; !seen; time.Sleep(2 * time.Millisecond) {
				if time.Since(begin) > settle {
					t.Fatalf("waited %v for a sentinel to say %s", settle, moment)
				}
				for _, p := range c.sentinels() {
					v, err := c.sentinelView(t.Context(), p)
					seen = seen || (err == nil && strings.Contains(v.flags, moment))
				}
			}
			c.api.Allow("", "update", "leases")
			_ = syscall.Kill(redis, syscall.SIGKILL)
			c.awaitPromotion(slaves)
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			c.converge()
			c.requireOneFailover(epoch)
			c.requireKeys(100)
			if n := replacementsBy(old); n > 0 {
				t.Errorf("its launcher began %d replacements although the sentinels were at it", n)
			}
		})
	}
}

// The replica that a sentinel has chosen dies before it is promoted, and so does
// the other: the old master comes back with its data. Sentinel would promote the
// replica all the same when that is back, and what was written meanwhile would
// be lost.
func TestMasterThatComesBackEndsTheFailoverThatHasNoReplicaLeft(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, 30 * time.Millisecond, 60 * time.Millisecond, 90 * time.Millisecond, 120 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{})
			c.data.forget(orderedBySomebody)
			w.killAllSoonAfter(old, delay, func() {
				c.orderFailover()
				old.killRedis()
			})
			if c.ledFailovers() == 0 {
				t.Error("no sentinel has begun a failover: nothing is tested")
			}
			t.Logf("called off %d times", strings.Count(old.output.last(0), "failover called off"))
		})
	}
}

// The replica that the launcher of a dead master promotes dies with the other, before or after its promotion.
func TestDeathOfAllServersInTheMiddleOfAReplacementKeepsTheData(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			_, w, old := startWritten(t, options{})
			w.killAllSoonAfter(old, delay, func() {
				old.killRedis()
				awaitLine(t, old, elected)
			})
		})
	}
}

// orderedBySomebody is why confirmed writes may be lost in a failover that somebody orders.
const orderedBySomebody = "a sentinel that somebody has told to fail over promotes a replica by offsets that are a second old, while the master takes writes"

// orderFailover has the first sentinel that obeys replace the master.
func (c *cluster) orderFailover() {
	c.t.Helper()
	var err error
	for _, p := range c.sentinels() {
		if err = c.client(p).Do(c.t.Context(), "SENTINEL", "FAILOVER", "mymaster").Err(); err == nil {
			return
		}
	}
	c.t.Fatal(err)
}

// killAllSoonAfter kills the Redis of the slaves a moment after the death of the master, which die causes. The release must come back, and
// lose only what was not in a file yet.
func (w *writer) killAllSoonAfter(old *pod, delay time.Duration, die func()) {
	c := w.cluster
	c.t.Helper()
	slaves := c.slavesOf(old)
	die()
	time.Sleep(delay) // the claim is about this moment
	for _, p := range slaves {
		p.killRedis()
	}
	dead := w.count()
	w.advance(500)
	c.converge()
	w.advance(500)
	// What was written before may not have been in a file yet.
	missing := w.lost()
	if after := slices.DeleteFunc(missing, func(number int) bool { return number <= w.acknowledged[dead-1] }); len(after) > asyncTail {
		c.t.Errorf("%d writes are lost that were acknowledged after all servers had died: %v", len(after), after[:min(len(after), 20)])
	}
	w.requireGapBelow(15 * time.Second)
}

// The new master has served for half a second when it dies, too: its replica
// may not be known to anybody yet, and Sentinel waits between two failovers.
func TestSuccessorThatDiesAtOnceIsReplacedInItsTurn(t *testing.T) {
	t.Parallel()
	c, w, first := startWritten(t, options{})
	slaves := c.slavesOf(first)
	first.killRedis()
	second := c.awaitPromotion(slaves)
	time.Sleep(500 * time.Millisecond) // the claim is about this moment
	second.killRedis()
	took := eventually(t, settle, "a third master", func() error { return c.checkMasterIsNot(second) })
	t.Logf("another pod was labelled after %v", took)
	w.advance(100)
	if now := c.converge(); now == second {
		t.Errorf("%s is master again", second.name)
	}
	w.requireLostAtMost(2 * asyncTail)
	w.requireGapBelow(5 * time.Second) // Sentinel alone would go on with the dead one for the failover timeout, 8 s
}

// The first one stands still, and so does its launcher's part in this. The sentinel that
// has promoted the second asks it for its role once a second, and may not have heard yet.
func TestSuccessorOfAFrozenMasterThatDiesAtOnceIsReplacedInItsTurn(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			c, w, first := startWritten(t, options{})
			slaves := c.slavesOf(first)
			first.freeze()
			second := c.awaitPromotion(slaves)
			eventually(t, settle, "the second to be labelled", func() error { return c.checkMasterIsNot(first) })
			time.Sleep(after) // the claim is about this moment
			second.killRedis()
			took := eventually(t, settle, "a third master", func() error { return c.checkMasterIsNot(second) })
			t.Logf("another pod was labelled after %v", took)
			if took > 5*time.Second {
				t.Error("Sentinel alone would go on with the dead one for the failover timeout, 8 s")
			}
			first.thaw()
			w.advance(100)
			c.converge()
			w.requireGapBelow(20 * time.Second)
		})
	}
}

// There is nobody to promote: the one with the data must resume with them.
func TestMasterWithoutALiveSlaveResumesWithItsData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	master := c.converge()
	slaves := c.slavesOf(master)
	for _, p := range slaves {
		p.hold()
		p.kill()
	}
	master.killRedis()
	took := eventually(t, settle, "the only server to accept writes again", func() error {
		if err := c.hasKeys(master, 100); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.client(master).Set(ctx, "resumed", 1, 0).Err()
	})
	t.Logf("it accepted writes after %v", took)
	for _, p := range slaves {
		p.run()
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	for _, p := range c.servers() {
		if err := c.hasKeys(p, 101); err != nil {
			t.Error(err)
		}
	}
	if n, err := c.info(master); err != nil || n.role != "master" {
		t.Error(fmt.Errorf("%s is %s (%w)", master.name, n.role, err))
	}
}

// killRedisOf kills the Redis of some pods within less time than a launcher needs to replace one of them.
func killRedisOf(pods []*pod) {
	var processes []int
	for _, p := range pods {
		redis, err := p.expectExit().redis()
		if err != nil {
			p.cluster.t.Fatalf("find the redis of %s: %v", p.name, err)
		}
		processes = append(processes, redis)
	}
	for i, redis := range processes {
		pods[i].output.note("the test kills redis")
		_ = syscall.Kill(redis, syscall.SIGKILL)
	}
}

// All servers die, and not the master but another comes back as master, since
// nobody has data. The sentinels go on naming the old master, which follows it:
// they must learn of that before they take it for a master that must be replaced,
// and until then the new one keeps its label.
func TestServerElectedWhileTheSentinelsNameTheDeadMasterStaysMaster(t *testing.T) {
	t.Parallel()
	c := start(t, options{noPersistence: true})
	c.converge().killRedis()
	w := c.write()
	w.advance(100)
	old, epoch := c.converge(), c.epoch()
	oldest := c.servers()[0]
	if oldest == old {
		t.Fatalf("the oldest server, %s, is master again", old.name)
	}
	killRedisOf(append([]*pod{old}, c.slavesOf(old)...))
	dead := w.count()
	eventually(t, settle, "the oldest server to be master", func() error { return c.checkMasterIsNot(old) })
	w.advance(500)
	if now := c.converge(); now != oldest {
		t.Errorf("%s is master, not %s", now.name, oldest.name)
	}
	w.advance(500)
	t.Logf("the configuration epoch went from %d to %d", epoch, c.epoch())
	log := oldest.output.last(0)
	if claimed := log[strings.LastIndex(log, "this pod starts as the master"):]; strings.Contains(claimed, `redis-role=""`) {
		t.Errorf("%s has given its label away:\n%s", oldest.name, claimed)
	}
	missing := w.lost()
	last := w.acknowledged[dead-1] + 1 // the answer to one more write may have been on its way
	after := slices.DeleteFunc(slices.Clone(missing), func(number int) bool { return number <= last })
	if len(after) > 0 {
		t.Errorf("%d writes are lost that were acknowledged after all servers had died: %v", len(after), after[:min(len(after), 20)])
	}
	if back := dead - (len(missing) - len(after)); back > 0 {
		t.Errorf("%d writes have come back that nobody kept: data of some time ago", back)
	}
	w.requireGapBelow(15 * time.Second)
}
