package loopback

import (
	"fmt"
	"slices"
	"testing"
)

// While a replica stands still, its master and the other replica restart. The master begins a
// new history, and the pod of the master is lost when the other replica has a copy. The replica
// that stood still has the higher offset, of the old history. It is not promoted.
func TestReplicaThatStoodStillDuringARestartIsNotPromoted(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"redis", "the container"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, w, master := startWritten(t, options{})
			c.queue(master, 100)() // the old history gets far ahead of what is written to the new one
			w.advance(200)
			slaves := c.slavesOf(master)
			asleep, other := slaves[0], slaves[1]
			eventually(t, settle, "the slaves to have what was queued", func() error { return c.caughtUp(master, slaves) })
			old, err := c.info(asleep)
			if err != nil {
				t.Fatal(err)
			}
			freeze, thaw := asleep.freezeRedis, asleep.thawRedis
			if what == "the container" {
				freeze, thaw = asleep.freeze, asleep.thaw
			}
			freeze()
			before, generation := c.runID(master), c.status(other).Standing.Generation
			other.kill()
			master.kill()
			took := eventually(t, settle, master.name+" to be the master in another process", func() error {
				now, err := c.masterPod()
				if err == nil && (now != master || slices.Contains([]string{"", before}, accepts(c, now))) {
					err = fmt.Errorf("%s is master", now.name)
				}
				return err
			})
			t.Logf("%s is master again after %v", master.name, took)
			eventually(t, settle, other.name+" to tell that it has the data of the new history", func() error {
				if s := c.status(other); !s.Synced || s.Standing.Generation <= generation {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
			w.advance(300)
			// A replica tells that it is linked up to a second before its master sends it the stream.
			eventually(t, settle, other.name+" to have what was written", func() error { return c.caughtUp(master, []*pod{other}) })
			if n, err := c.info(other); err != nil || n.offset >= old.offset {
				t.Fatalf("the new history should be shorter than %d: %+v, %v", old.offset, n, err)
			}
			master.removeByForce()
			thaw()
			c.addServer().run()
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(master) })
			w.advance(100)
			if successor := c.converge(); successor != other {
				t.Errorf("%s was promoted, and %s had everything", successor.name, other.name)
			}
			w.requireLostAtMost(asyncTail)
		})
	}
}
