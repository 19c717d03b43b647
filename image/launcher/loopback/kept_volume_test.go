package loopback

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// keptVolumes are the options of a release whose volumes outlive their pods.
var keptVolumes = options{environment: map[string]string{"LAUNCHER_VOLUMES_KEPT": "true"}}

// copies is how many replicas the Redis of a pod has sent a full copy, and how many have gone on from where they were.
func (c *cluster) copies(p *pod) (full, partial int) {
	c.t.Helper()
	return copiesOf(c.t, c.client(p))
}

// copiesOf is copies of any Redis.
func copiesOf(t *testing.T, client *redis.Client) (full, partial int) {
	t.Helper()
	text, err := client.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(text, "\r\n") {
		_, _ = fmt.Sscanf(line, "sync_full:%d", &full)
		_, _ = fmt.Sscanf(line, "sync_partial_ok:%d", &partial)
	}
	return full, partial
}

// appends waits until the Redis of a pod has written its data into its append-only file.
func (c *cluster) appends(p *pod) {
	c.t.Helper()
	eventually(c.t, settle, p.name+" to have its data in the append-only file", func() error {
		text, err := c.client(p).Info(c.t.Context(), "persistence").Result()
		if err == nil && !(strings.Contains(text, "aof_enabled:1") && strings.Contains(text, "aof_rewrite_in_progress:0") && strings.Contains(text, "aof_rewrite_scheduled:0")) {
			err = fmt.Errorf("it has not: %s", text)
		}
		return err
	})
}

// A slave that comes back on its volume goes on from where it was, and the next crash loses nothing of what it has got since.
func TestSlaveThatComesBackOnItsVolumeNeedsNoFullCopy(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, keptVolumes)
	slave := c.slavesOf(master)[0]
	full, partial := c.copies(master)
	slave.removeButVolume()
	w.advance(200)
	back := slave.comeBack()
	if now := c.converge(); now != master {
		t.Fatalf("%s is master, not %s", now.name, master.name)
	}
	c.appends(back)
	nowFull, nowPartial := c.copies(master)
	if nowFull != full || nowPartial != partial+1 {
		t.Errorf("the master has sent %d full copies and %d partial ones more, not 0 and 1", nowFull-full, nowPartial-partial)
	}
	w.advance(200)
	back.kill()
	c.converge()
	if nowFull, _ = c.copies(master); nowFull != full+1 {
		t.Errorf("after a crash the slave got %d full copies, not 1: an append-only file names no place in the stream", nowFull-full)
	}
	w.requireNothingLost()
}

// Servers that all come back elect a master by their append-only files. A saved copy from an earlier time is used for nothing.
func TestServersThatAllComeBackOnTheirVolumesHaveTheirData(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, keptVolumes)
	slave := c.slavesOf(master)[0]
	slave.removeButVolume()
	w.advance(200)
	back := slave.comeBack()
	c.converge()
	c.appends(back)
	w.finish()
	c.awaitFiles()
	c.killAll()
	c.runAll()
	c.converge()
	w.requireNothingLost()
}

// The master dies while a slave that has just come back holds data that are not in its append-only file.
func TestMasterThatDiesWhileASlaveComesBackIsReplaced(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, keptVolumes)
	slave := c.slavesOf(master)[0]
	slave.removeButVolume()
	w.advance(200)
	slave.comeBack()
	c.converge()
	master.kill()
	w.advance(200)
	c.converge()
	w.requireNothingLost()
	w.requireGapBelow(8 * time.Second)
}

// A roll-out of kept volumes copies nothing: neither the slaves nor the master that has handed over get a full copy.
func TestRollOutOfKeptVolumesCopiesNothing(t *testing.T) {
	t.Parallel()
	c, w, first := startWritten(t, keptVolumes)
	for _, old := range append(c.slavesOf(first), first) {
		old.removeButVolume()
		back := old.comeBack()
		c.converge()
		c.appends(back)
		w.advance(100)
		now := c.converge()
		if full, _ := c.copies(now); now != first && full > 0 {
			t.Errorf("after %s came back the master %s has sent %d full copies", back.name, now.name, full)
		} else if full, partial := c.copies(now); now == first && (full != 2 || partial == 0) {
			t.Errorf("after %s came back the first master has sent %d full copies, and %d partial ones", back.name, full, partial)
		}
	}
	if c.converge() == first {
		t.Errorf("%s is still master", first.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(2 * time.Second)
}

// The pod has another UID and another address. Its volume tells that it has the data of the recorded master.
func TestRecordedMasterThatComesBackAsAnotherPodServesWithoutTheOthers(t *testing.T) {
	t.Parallel()
	c := start(t, keptVolumes)
	c.fill(t, 100)
	master := c.converge()
	slaves := c.slavesOf(master)
	c.killAll()
	master.loseObject()
	_ = master.api.Close()
	for _, p := range c.sentinels() {
		p.run()
	}
	next := master.comeBack()
	eventually(t, 10*time.Second, "the pod with the volume of the recorded master to be labelled master", func() error {
		_, err := c.masterPod()
		return err
	})
	for _, p := range slaves {
		p.run()
	}
	if now := c.converge(); now != next {
		t.Errorf("%s is master, and not %s", now.name, next.name)
	}
	c.requireKeys(100)
}

// tearFiles leaves half a command at the end of the append-only file of a pod that does not run, as a power loss does.
func (p *pod) tearFiles() {
	p.cluster.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dataDir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		p.cluster.t.Fatalf("%s has no append-only file: %v", p.name, err)
	}
	file, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("*3\r\n$3\r\nSET\r\n$7\r\nunfini")
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		p.cluster.t.Fatal(err)
	}
}

// The power fails: all containers end at once, the files of the slaves are torn at their ends, and those of the master cannot be read. All
// pods come back under other names, as after the loss of all nodes.
func TestServersThatComeBackAfterAPowerLossHaveTheirData(t *testing.T) {
	t.Parallel()
	c := start(t, keptVolumes)
	c.fill(t, 100)
	master := c.converge()
	slaves := c.slavesOf(master)
	c.awaitFiles()
	c.killAll()
	master.damageFiles()
	for _, p := range slaves {
		p.tearFiles()
	}
	for _, p := range c.sentinels() {
		p.run()
	}
	broken := (*pod)(nil)
	for _, p := range append(slaves, master) {
		p.loseObject()
		_ = p.api.Close()
		broken = p.comeBack()
	}
	eventually(t, settle, "another master than the one whose data cannot be read", func() error { return c.checkMasterIsNot(broken) })
	c.converge()
	c.requireKeys(100)
}

// Both servers are deleted by force. The slave has decided to leave as a replica, and waits for the API, when the leaving master promotes it. What it
// accepted from then on would be on its volume alone, and the next master has the volume of the other server.
func TestReplicaThatIsPromotedAsItLeavesLosesNoWrite(t *testing.T) {
	t.Parallel()
	alone := map[string]string{"LAUNCHER_VOLUMES_KEPT": "true", "LAUNCHER_MIN_REPLICAS_TO_WRITE": "0"}
	c, w, master := startWritten(t, options{servers: 2, environment: alone, unguarded: true})
	slave := c.slavesOf(master)[0]
	const latency = 400 * time.Millisecond
	c.api.SetLatency(latency)
	var left sync.WaitGroup
	master.loseObject()
	left.Go(func() { master.stop() })
	time.Sleep(latency * 3 / 2)
	left.Go(func() { slave.stop() }) // a look and a list of the pods take it twice the latency
	awaitLine(t, master, "can take over")
	slave.loseObject()
	accepted := 0
	for client := c.client(slave); slave.isRunning(); {
		if client.Set(t.Context(), fmt.Sprint("accepted:", accepted+1), "", 0).Err() == nil {
			accepted++
		}
	}
	left.Wait()
	c.api.SetLatency(0)
	for _, p := range []*pod{master, slave} {
		_ = p.api.Close()
		p.comeBack()
	}
	now := c.converge()
	if found := len(c.client(now).Keys(t.Context(), "accepted:*").Val()); found != accepted {
		t.Errorf("%s has %d of the %d keys that the slave accepted", now.name, found, accepted)
	}
	w.advance(100)
	w.requireNothingLost()
}
