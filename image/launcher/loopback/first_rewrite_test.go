package loopback

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// slowRewrite starts a new server that needs minutes for the first rewrite of its
// append-only file, as a server with much data or a slow disk does, and waits until it is
// in sync and the rewrite runs.
func (c *cluster) slowRewrite(master, p *pod) {
	c.t.Helper()
	set := func(p *pod, parameter string, value any) error {
		err := c.client(p).ConfigSet(c.t.Context(), parameter, fmt.Sprint(value)).Err()
		if err != nil {
			c.forgetClient(p)
		}
		return err
	}
	if err := set(master, "repl-diskless-sync-delay", 4); err != nil { // time to slow it down before the copy comes
		c.t.Fatal(err)
	}
	p.run()
	eventually(c.t, settle, p.name+" to answer before its first copy", func() error { return set(p, "rdb-key-save-delay", 1_000_000) })
	if n, err := c.info(p); err != nil || n.linkUp {
		c.t.Fatalf("it is in sync already (%v): nothing is tested", err)
	}
	eventually(c.t, settle, p.name+" to be in sync and to write its first file", func() error {
		n, err := c.info(p)
		if err == nil && !n.linkUp {
			err = errors.New("it is not in sync")
		}
		if err == nil && !c.rewrites(p) {
			err = errors.New("no rewrite runs")
		}
		return err
	})
	for server, parameter := range map[*pod]string{p: "rdb-key-save-delay", master: "repl-diskless-sync-delay"} { // the fork keeps its delay
		if err := set(server, parameter, 0); err != nil {
			c.t.Fatal(err)
		}
	}
}

// rewrites says whether the Redis of a pod rewrites its append-only file.
func (c *cluster) rewrites(p *pod) bool {
	c.t.Helper()
	var text string
	eventually(c.t, settle, "an answer of "+p.name, func() (err error) {
		if text, err = c.client(p).Info(c.t.Context(), "persistence").Result(); err != nil {
			c.forgetClient(p)
		}
		return err
	})
	return strings.Contains(text, "aof_rewrite_in_progress:1")
}

// restartAll ends all containers at once, starts them again and waits for a master
// that answers, with everything that was acknowledged two seconds before.
func (c *cluster) restartAll(w *writer, owed int) *pod {
	t := c.t
	t.Helper()
	w.finish()
	c.killAll()
	c.runAll()
	var first *pod
	eventually(t, settle, "a master that accepts writes", func() error {
		for _, first = range c.labelled("master") {
			if accepts(c, first) != "" {
				return nil
			}
		}
		return errors.New("none does")
	})
	if lost := c.missingAt(first, w.acknowledged[:owed]); len(lost) > 0 {
		t.Errorf("the first master %s misses %d of %d writes", first.name, len(lost), owed)
	}
	c.converge()
	if lost := c.missing(w.acknowledged[:owed]); len(lost) > 0 {
		t.Errorf("%d of %d writes are lost", len(lost), owed)
	}
	return first
}

// settleFiles lets the writer go on until what it has written so far is on disk: Redis
// writes its files once a second. It gives the number of those writes.
func (w *writer) settleFiles() int {
	owed := w.count()
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		w.advance(100)
	}
	return owed
}

// A new server becomes master while it writes its first append-only file. All containers
// end before the file is complete. Its file is empty, and it must not be elected: the
// others have what was written before the hand-over, and all the rest once they have a copy.
func TestMasterWithoutItsFirstFileGivesWayToServersWithFiles(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			t.Parallel()
			c, w, master := startWritten(t, options{servers: servers, environment: map[string]string{"LAUNCHER_SHUTDOWN_BUDGET_SECONDS": "15"}})
			w.advance(300)
			leaving := c.slavesOf(master)[servers-2]
			fresh := c.addServer()
			leaving.remove()
			c.slowRewrite(master, fresh)
			eventually(t, settle, fresh.name+" to tell that its data are not in its file", func() error {
				if err := ready(fresh); err == nil || !strings.Contains(err.Error(), "append-only file") {
					return fmt.Errorf("it says %w", err)
				}
				return nil
			})
			owed := w.settleFiles()
			if servers == 2 {
				master.stop() // the kubelet starts it again; it cannot have a copy while the new master writes its file
				eventually(t, settle, fresh.name+" to be master", func() error { return c.checkMasterIsNot(master) })
				w.advance(100)
			} else {
				c.failOverTo(fresh)
				owed = w.settleFiles()
			}
			if !c.rewrites(fresh) {
				t.Fatal("the rewrite has ended: nothing is tested")
			}
			if first := c.restartAll(w, owed); first == fresh {
				t.Errorf("%s, which has no file, was elected", fresh.name)
			}
		})
	}
}

// failOverTo kills the Redis of the master while the other replica stands still, so that this replica is promoted. A hand-over would not
// choose a replica whose data are not in its file.
func (c *cluster) failOverTo(p *pod) {
	t := c.t
	t.Helper()
	master := c.converge()
	for _, other := range c.slavesOf(master) {
		if other != p {
			other.freezeRedis()
			defer other.thawRedis()
		}
	}
	master.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(master) })
	if now, err := c.masterPod(); err != nil || now != p {
		t.Fatalf("%s was not made master (error: %v)", p.name, err)
	}
}

// A rolling update goes on when the new pod is ready. At its end all servers are new, all
// containers end at once, and the files hold everything.
func TestRolledServersHaveTheirFiles(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{})
	w.advance(300)
	for _, old := range append(c.slavesOf(master), master) {
		replacement := c.addServer()
		replacement.run()
		eventually(t, settle, replacement.name+" to be ready", func() error { return ready(replacement) })
		if c.rewrites(replacement) {
			t.Errorf("%s is ready before its first rewrite has ended", replacement.name)
		}
		old.remove()
	}
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(master) })
	owed := w.settleFiles()
	c.restartAll(w, owed)
}

// The rewrite after the first copy fails, as where memory for the fork is short. The pod
// says so and becomes ready when Redis has tried again.
func TestServerWhoseFirstRewriteFailsIsReadyAfterTheNext(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{})
	fresh := c.addServer()
	c.slavesOf(master)[0].remove()
	c.slowRewrite(master, fresh)
	pid, err := fresh.current().redis()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, settle, "the fork that rewrites the file to be killed", func() error { return killFork(pid) })
	took := eventually(t, settle, fresh.name+" to be ready", func() error { return ready(fresh) })
	t.Logf("ready %v after the rewrite had failed", took)
	if c.rewrites(fresh) || c.status(fresh).Standing.Empty {
		t.Errorf("%s is ready without its data in its file", fresh.name)
	}
	w.requireNothingLost()
}
