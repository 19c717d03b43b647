package loopback

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// limitFiles sets how large a file the process may write; 0: as large as it
// likes. Beyond that a write fails as on a full disk, in the same places.
func limitFiles(pid int, size uint64) error {
	limit := [2]uint64{size, ^uint64(0)}
	if size == 0 {
		limit[0] = ^uint64(0)
	}
	_, _, code := syscall.Syscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if code != 0 {
		return fmt.Errorf("limit the files of process %d: %w", pid, code)
	}
	return nil
}

// onSmallDisks makes a redis-server that survives limitFiles.
func onSmallDisks(t *testing.T) map[string]string {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\ntrap '' XFSZ\nexec redis-server \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"LAUNCHER_REDIS_SERVER": wrapper}
}

// fillDisk leaves the redis of a pod no room for its append-only file and
// returns what ends that.
func (p *pod) fillDisk() (empty func()) {
	t := p.cluster.t
	t.Helper()
	pid, err := p.current().redis()
	if err != nil {
		t.Fatal(err)
	}
	p.output.note("the test fills the disk")
	if err := limitFiles(pid, 1); err != nil {
		t.Fatal(err)
	}
	return func() {
		p.output.note("the test empties the disk")
		if err := limitFiles(pid, 0); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err) // a replica that cannot write its file ends itself
		}
	}
}

func (w *writer) refusedWith(text string) error {
	if err := w.failure(); !strings.Contains(err.Error(), text) {
		return err
	}
	return nil
}

// Redis answers a PING with MISCONF, too, which Sentinel takes for silence.
func TestMasterWithAFullDiskIsReplacedWithoutLosingAWrite(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{environment: onSmallDisks(t)})
	history := len(c.api.RoleChanges())
	empty := old.fillDisk()
	eventually(t, settle, "MISCONF", func() error { return w.refusedWith("MISCONF") })
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	// It answers everybody but the sentinels, which take its label off.
	for _, change := range c.api.RoleChanges()[history:] {
		if change.Role == "master" && change.Pod == old.name {
			t.Errorf("it took its label back: %v", change)
		}
	}
	w.advance(100)
	throughout(t, 5*time.Second, "the one with the full disk is not master again", func() error { return c.checkMasterIsNot(old) })
	empty()
	c.converge()
	c.requireNoCrash()
	w.requireNothingLost()
	w.requireGapBelow(20 * time.Second)
}

func TestMasterWithAFullDiskCanBeReplaced(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"deleted", "crashed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c, w, old := startWritten(t, options{environment: onSmallDisks(t)})
			old.fillDisk()
			eventually(t, settle, "MISCONF", func() error { return w.refusedWith("MISCONF") })
			if how == "deleted" {
				if took := old.remove(); took > 15*time.Second {
					t.Errorf("the hand-over took %v", took)
				}
				c.addServer().run()
			} else {
				old.killRedis()
			}
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			w.advance(100)
			c.converge()
			w.requireNothingLost() // the replicas had everything long before
		})
	}
}

// forkOf returns the process that redis has forked to save.
func forkOf(pid int) (int, error) {
	children := descendants(pid)
	if len(children) != 1 {
		return 0, fmt.Errorf("redis has %d children", len(children))
	}
	return children[0], nil
}

// killFork ends the process that redis has forked to save.
func killFork(pid int) error {
	child, err := forkOf(pid)
	if err != nil {
		return err
	}
	return syscall.Kill(child, syscall.SIGKILL)
}

// The kernel kills what uses the most memory, and that may be the fork.
func TestKilledForkOfTheMasterIsNoFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	w.advance(300)
	master := c.converge()
	history := len(c.api.RoleChanges())
	pid, err := master.current().redis()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.client(master).ConfigSet(t.Context(), "rdb-key-save-delay", "100000").Err(); err != nil {
		t.Fatal(err)
	}
	for command, field := range map[string]string{"BGSAVE": "rdb_last_bgsave_status:err", "BGREWRITEAOF": "aof_last_bgrewrite_status:err"} {
		if err := c.client(master).Do(t.Context(), command).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, settle, "the fork for "+command+" to be killed", func() error { return killFork(pid) })
		eventually(t, settle, "redis to know that its fork has died", func() error {
			text, err := c.client(master).Info(t.Context(), "persistence").Result()
			if err == nil && !strings.Contains(text, field) {
				err = fmt.Errorf("no %s in %s", field, text)
			}
			return err
		})
	}
	throughout(t, 5*time.Second, "no label changes", func() error {
		if changes := c.api.RoleChanges()[history:]; len(changes) > 0 {
			return fmt.Errorf("%v", changes)
		}
		return nil
	})
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	c.requireNoCrash()
	w.requireNothingLost()
	w.requireGapBelow(2 * time.Second)
}
