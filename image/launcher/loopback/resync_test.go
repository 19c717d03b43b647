package loopback

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// withDebug is a release whose servers carry out DEBUG.
func withDebug(t *testing.T) *cluster {
	file := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(file, []byte("enable-debug-command yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, options{extraConfig: file})
}

// starve lets no replica of the master synchronise any more: they need a whole
// copy of its data, and it waits before it begins to send one. So it is for
// minutes with large data on a slow disk, and as long as the master is short of
// the memory for a fork.
func (c *cluster) starve(master *pod) {
	c.t.Helper()
	for _, command := range [][]any{
		{"CONFIG", "SET", "repl-diskless-sync-delay", 3600},
		{"DEBUG", "CHANGE-REPL-ID"},
		{"CLIENT", "KILL", "TYPE", "replica"},
	} {
		if err := c.client(master).Do(c.t.Context(), command...).Err(); err != nil {
			c.t.Fatalf("%v: %v", command, err)
		}
	}
	for _, p := range c.slavesOf(master) {
		eventually(c.t, settle, p.name+" to have lost its master", func() error {
			state, err := c.info(p)
			if err == nil && state.linkUp {
				err = errors.New("it is connected")
			}
			return err
		})
	}
}

// Sentinel promotes no replica that was without its master for more than ten
// times down-after before that died. Nobody may wait for it to do so.
func TestMasterComesBackWhereSentinelPromotesNoReplica(t *testing.T) {
	t.Parallel()
	c := withDebug(t)
	w := c.write()
	w.advance(200)
	master := c.converge()
	for _, dies := range []struct {
		how   string
		after time.Duration
		kill  func()
	}{
		{"Redis, a moment after it had lost them, so that Sentinel would promote one", 7 * time.Second, master.killRedis},
		{"Redis", 10*c.options.downAfter + time.Second, master.killRedis},
		{"its container", 7 * time.Second, master.kill},
	} {
		c.starve(master)
		throughout(t, dies.after, "the master writes alone", func() error { return c.alone(master) })
		w.advance(200)
		dies.kill()
		w.advance(200)
		if now, err := c.masterPod(); err != nil || now != master {
			t.Fatalf("%s: the master is %v (%v), want %s with what it had alone", dies.how, now, err, master.name)
		}
		c.converge() // its replicas are in sync again: the delay has ended with its Redis
	}
	w.requireNothingLost()
	w.requireGapBelow(20 * time.Second)
}

// alone wants a master without a replica in sync.
func (c *cluster) alone(master *pod) error {
	for _, p := range c.slavesOf(master) {
		if state, err := c.info(p); err == nil && state.linkUp {
			return fmt.Errorf("%s is in sync with %s: nothing is tested", p.name, master.name)
		}
	}
	return nil
}

// A replica that waits for its first synchronisation has not been without a master
// for that long, and has no data that could replace those of one that restarts.
func TestReplicaThatHasNotSynchronisedLeavesTheMasterTimeToComeBack(t *testing.T) {
	t.Parallel()
	c := withDebug(t)
	w := c.write()
	w.advance(200)
	master := c.converge()
	slaves := c.slavesOf(master)
	c.starve(master)
	for _, p := range slaves {
		p.killRedis() // what it has on disk is of a moment ago, and it is not in sync in the life of this process
	}
	throughout(t, 35*time.Second, "the master writes alone", func() error { return c.alone(master) })
	w.advance(200)
	master.hold()
	master.kill()
	throughout(t, 3*time.Second, "nobody else is master", func() error {
		for _, p := range slaves {
			if state, err := c.info(p); err == nil && state.role == "master" {
				return fmt.Errorf("%s has become master", p.name)
			}
		}
		return nil
	})
	master.run()
	w.advance(200)
	if now := c.converge(); now != master {
		t.Errorf("the master is %s, want %s", now.name, master.name)
	}
	w.requireNothingLost()
}
