package loopback

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// withDebug is a release whose servers carry out DEBUG.
func withDebug(t *testing.T) *cluster { return start(t, options{extraConfig: debugConfig(t)}) }

// debugConfig is a file of directives that lets servers carry out DEBUG.
func debugConfig(t *testing.T) string { return config(t, "enable-debug-command yes") }

// config is a file of further redis.conf directives.
func config(t *testing.T, directives ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(directives, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
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
		w := c.writeAlone(master, dies.after)
		dies.kill()
		took := eventually(t, 20*time.Second, "writes after the end of "+dies.how, func() error {
			if err := c.client(master).Set(t.Context(), "after", dies.how, 0).Err(); err != nil {
				c.forgetClient(master)
				return err
			}
			return nil
		})
		t.Logf("%s: accepted writes %v later", dies.how, took)
		if now := c.converge(); now != master {
			t.Fatalf("%s: the master is %s, want %s with what it had alone", dies.how, now.name, master.name)
		}
		w.requireNothingLost()
	}
}

// writeAlone lets a master without replicas write for a while, until everything
// is in its file.
func (c *cluster) writeAlone(master *pod, length time.Duration) *writer {
	c.t.Helper()
	c.data.forget("the test flushes them")
	if err := c.client(master).FlushAll(c.t.Context()).Err(); err != nil {
		c.t.Fatal(err)
	}
	w := c.write()
	w.advance(200)
	c.starve(master)
	throughout(c.t, length, "the master writes alone", func() error { return c.alone(master) })
	w.advance(200)
	w.finish()
	c.awaitFiles()
	return w
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
	// Not in between: what has synchronised with a master that is back before the
	// sentinels have looked for its successor is a good one.
	for name, over := range map[string]func(c *cluster, down time.Duration) error{
		"before the sentinels miss it": func(_ *cluster, down time.Duration) error {
			if down < time.Second {
				return errors.New("it has not been away for a second")
			}
			return nil
		},
		"after they found no replica good enough": func(c *cluster, _ time.Duration) error {
			var errs []error
			for _, p := range c.sentinels() {
				err := says(p, "-failover-abort-no-good-slave")
				if err == nil {
					return nil
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := withDebug(t)
			master := c.converge()
			slaves := c.slavesOf(master)
			w := c.writeAlone(master, time.Second)
			for _, p := range slaves {
				p.killRedis() // it is not in sync in the life of the next process
			}
			throughout(t, 35*time.Second, "the master is alone", func() error { return c.alone(master) })
			master.hold()
			master.kill()
			begin := time.Now()
			eventually(t, settle, "the moment for the master to come back", func() error {
				if err := c.nobodyIsPromoted(slaves); err != nil {
					t.Fatal(err)
				}
				return over(c, time.Since(begin))
			})
			master.run()
			if now := c.converge(); now != master {
				t.Errorf("the master is %s, want %s", now.name, master.name)
			}
			w.requireNothingLost()
		})
	}
}
