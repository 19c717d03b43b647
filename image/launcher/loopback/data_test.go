package loopback

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// killAll ends every container at the same time and keeps it down.
func (c *cluster) killAll() {
	for _, p := range c.all() {
		p.hold()
	}
	done := make(chan struct{})
	pods := c.all()
	for _, p := range pods {
		go func() { p.kill(); done <- struct{}{} }()
	}
	for range pods {
		<-done
	}
}

func (c *cluster) runAll() {
	for _, p := range append(c.servers(), c.sentinels()...) {
		p.run()
	}
}

func TestAllPodsKilledAtOnceComeBackWithTheirData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	w.advance(500)
	safe := w.count()
	c.awaitFiles()
	c.killAll()
	w.finish()
	c.runAll()
	eventually(t, settle, "a master that answers", func() error {
		master, err := c.masterPod()
		if err == nil {
			_, err = c.info(master)
		}
		return err
	})
	if missing := c.missing(w.acknowledged[:safe]); len(missing) > 0 {
		t.Errorf("the first master misses %d of %d acknowledged writes", len(missing), safe)
	}
	c.converge()
	if missing := c.missing(w.acknowledged[:safe]); len(missing) > 0 {
		t.Errorf("the master misses %d of %d acknowledged writes", len(missing), safe)
	}
	for _, p := range c.servers() {
		if n, err := c.info(p); err != nil || n.keys < int64(safe) {
			t.Errorf("%s has %d keys (%v), not %d", p.name, n.keys, err, safe)
		}
	}
}

// The server with the least data, also the oldest, starts first; the one with
// all of it last. The sentinels run, but every one was killed.
func TestMostAdvancedDataWinsWhateverTheStartOrder(t *testing.T) {
	t.Parallel()
	c := start(t, options{environment: map[string]string{"LAUNCHER_MIN_REPLICAS_TO_WRITE": "0"}})
	c.fill(t, 100)
	c.converge().stop() // the oldest server hands over and comes back as slave
	master := c.converge()
	if oldest := c.servers()[0]; oldest == master {
		t.Fatalf("%s, the oldest server, is master again", oldest.name)
	}
	slaves := c.fallBehind(master)
	for _, p := range c.sentinels() {
		p.run()
	}
	slaves[0].run()
	time.Sleep(2 * time.Second) // a head start for the server with the oldest data
	slaves[1].run()
	time.Sleep(2 * time.Second)
	master.run()
	c.awaitMasterWith(300)
}

// A power loss ends all containers, and leaves files empty that were being replaced:
// of the master with all the data the present standing, of the slave with the least
// data both standings.
func TestMostAdvancedDataWinAfterAPowerLossThatDamagesStandings(t *testing.T) {
	t.Parallel()
	c := start(t, options{environment: map[string]string{"LAUNCHER_MIN_REPLICAS_TO_WRITE": "0"}})
	c.fill(t, 100)
	master := c.converge()
	before := filepath.Join(c.slavesOf(master)[0].dataDir, "redis-ha.json.before")
	eventually(t, settle, "the second standing of a slave, which leaves the first beside it", func() error {
		_, err := os.Stat(before)
		return err
	})
	slaves := c.fallBehind(master)
	truncate := func(p *pod, suffix string) {
		if err := os.Truncate(filepath.Join(p.dataDir, "redis-ha.json"+suffix), 0); err != nil {
			t.Fatal(err)
		}
	}
	truncate(master, "")
	truncate(slaves[0], "")
	truncate(slaves[0], ".before")
	c.runAll()
	c.awaitMasterWith(300)
	if err := says(slaves[0], "in an election every server that knows it comes first"); err != nil {
		t.Error(err)
	}
}

// fallBehind has all containers end, with 100 keys on the oldest slave, 200 on the
// other, and 300 on the master, and gives the slaves in this order.
func (c *cluster) fallBehind(master *pod) []*pod {
	t := c.t
	t.Helper()
	slaves := c.slavesOf(master)
	grow := func(n int) {
		ctx := t.Context()
		for number := range n {
			if err := c.client(master).Set(ctx, key(number), number, 0).Err(); err != nil {
				t.Fatalf("write to %s: %v", master.name, err)
			}
		}
		c.awaitFiles()
	}
	slaves[0].hold()
	slaves[0].kill()
	grow(200)
	eventually(t, settle, "the second slave to have 200 keys", func() error { return c.hasKeys(slaves[1], 200) })
	c.awaitFiles()
	slaves[1].hold()
	slaves[1].kill()
	grow(300)
	c.killAll()
	return slaves
}

// awaitMasterWith waits for a release that agrees on a master with so many keys.
func (c *cluster) awaitMasterWith(keys int64) {
	c.t.Helper()
	eventually(c.t, settle, fmt.Sprintf("a release with a master of %d keys", keys), func() error {
		if err := c.checkSettled(); err != nil {
			return err
		}
		now, err := c.masterPod()
		if err != nil {
			return err
		}
		return c.hasKeys(now, keys)
	})
}

func (c *cluster) hasKeys(p *pod, want int64) error {
	n, err := c.info(p)
	if err == nil && n.keys != want {
		err = fmt.Errorf("%s has %d keys, not %d", p.name, n.keys, want)
	}
	return err
}

func TestEmptyServerNeverBecomesMasterBesideOneWithData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	master := c.converge()
	// Two servers lose their volumes, the master and a slave; the other slave
	// has the data and is the last to come back.
	keeper := c.slavesOf(master)[1]
	c.killAll()
	for _, p := range c.servers() {
		if p != keeper {
			p.emptyVolume()
			p.run()
		}
	}
	for _, p := range c.sentinels() {
		p.run()
	}
	time.Sleep(3 * time.Second) // a head start for the empty ones
	keeper.run()
	c.converge()
	c.requireKeys(100)
}

func TestMasterWithoutPersistenceNeverComesBackEmpty(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"redis killed", "container killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := start(t, options{noPersistence: true})
			c.fill(t, 500)
			old := c.converge()
			before := c.slavesOf(old)
			if how == "redis killed" {
				old.killRedis()
			} else {
				// Restarted by the kubelet faster than Sentinel notices.
				old.kill()
			}
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			master := c.converge()
			if master == old {
				t.Errorf("%s, whose data died with its process, is master again", old.name)
			}
			for _, p := range append(before, old) {
				if err := c.hasKeys(p, 500); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// checkMasterIsNot says why there is no single master other than one pod yet.
func (c *cluster) checkMasterIsNot(old *pod) error {
	master, err := c.masterPod()
	if err == nil && master == old {
		err = fmt.Errorf("%s is still labelled master", old.name)
	}
	return err
}
