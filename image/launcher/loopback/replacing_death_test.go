package loopback

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKilledRestoreLeavesTheDataAlone(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{extraConfig: slowLoad(t)}, 300)
	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	j.process.kill()
	eventually(t, settle, "the slave to give up", func() error {
		if !c.said("launcher restore does not answer any more") {
			return errors.New("it has not")
		}
		return nil
	})
	c.requireOldData()
}

func TestServerWhoseRedisDiesWhileItLoadsABackupHasItsOldData(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{extraConfig: slowLoad(t)}, 300)
	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	c.slaveThatReplaces(t).killRedis()
	if said := j.end(t, 1); !strings.Contains(said, "could not load the backup") || !strings.Contains(said, "nothing was replaced") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.requireOldData()
}

// The launcher begins again with its old data, finds the order, and carries it out.
func TestServerWhoseLauncherDiesWhileItLoadsABackupBeginsAgain(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{extraConfig: slowLoad(t)}, 300)
	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	chosen := c.slaveThatReplaces(t)
	chosen.kill()
	said := j.end(t, 0)
	if !strings.Contains(chosen.output.last(0), "this pod has its old data again") {
		t.Error("the launcher did not bring the old data back")
	}
	if !strings.Contains(said, "all 3 servers have the data of the backup") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.converge()
	c.requireOnlyKeys(300)
}

func TestMasterThatDiesWhileABackupIsLoadedIsSucceededWithItsData(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{extraConfig: slowLoad(t)}, 300)
	old := c.converge()
	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	old.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	said := j.end(t, 1)
	if !strings.Contains(said, "nothing was replaced") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.requireOldData()
}

// The launcher dies in the moment in which the record names its pod, or in which the former master follows it. Old data or new ones may win, and
// all servers and the record agree on that.
func TestServerThatDiesAsItTakesOverLeavesTheDataWhole(t *testing.T) {
	t.Parallel()
	for name, reached := range map[string]func(c *cluster, old *pod) bool{
		"when it is recorded": func(c *cluster, _ *pod) bool {
			return strings.Contains(c.api.Lease(fullname + "-master").Annotations["redis-ha/record"], `"restoredIn"`)
		},
		"when it is followed": func(c *cluster, old *pod) bool {
			n, err := c.info(old)
			return err == nil && n.role == "slave"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, b, backup := backedUpRunning(t, options{}, 300)
			dieAs(t, c, b, backup, reached)
		})
	}
}

// dieAs kills the launcher of the server that takes over as soon as something has been reached.
func dieAs(t *testing.T, c *cluster, b *backups, backup string, reached func(*cluster, *pod) bool) {
	t.Helper()
	old := c.converge()
	j := b.restoreUntil(t, "has loaded the backup", backup, "--yes", "--without-backup")
	chosen := c.slaveThatReplaces(t)
	for deadline := time.Now().Add(backupTime); !reached(c, old); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for the takeover:\n%s", backupTime, j.output)
		}
	}
	chosen.kill()
	select {
	case <-j.process.exited:
	case <-time.After(4 * backupTime):
		t.Fatalf("launcher restore did not end:\n%s", j.output)
	}
	c.converge()
	said := j.output.String()
	t.Logf("launcher restore ended with %d:\n%s", j.process.code, said)
	if j.process.code == 0 {
		c.requireOnlyKeys(300)
		return
	}
	if !strings.Contains(said, "nothing was replaced") {
		t.Error("launcher restore does not say which data the release has")
	}
	c.requireOldData()
}

// The command is killed when the slave may take over. The slave carries it out, or gives up: all servers agree.
func TestRestoreThatIsKilledAtTheLastMomentLeavesTheDataWhole(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{}, 300)
	j := b.restoreUntil(t, "has loaded the backup", backup, "--yes", "--without-backup")
	j.process.kill()
	replaced := false
	eventually(t, 2*settle, "the slave to end it", func() error {
		replaced = c.said(`msg="the backup has replaced the data of the release"`)
		if !replaced && !c.said("the backup does not replace the data of the release") {
			return errors.New("it has not")
		}
		return nil
	})
	t.Logf("the backup has replaced the data: %t", replaced)
	c.converge()
	if replaced {
		c.requireOnlyKeys(300)
	} else {
		c.requireOldData()
	}
}
