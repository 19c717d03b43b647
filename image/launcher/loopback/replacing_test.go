package loopback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
	"github.com/redis-ha/redis-ha/internal/s3server"
)

// backedUpRunning makes a release with a backup of some keys, and then other keys: "key:<n>" of the first ones are gone.
func backedUpRunning(t *testing.T, o options, keys int) (*cluster, *backups, string) {
	t.Helper()
	o.unguarded = true // the data are replaced
	c, b := startWithBackups(t, o, t.TempDir())
	c.fill(t, keys-1)
	if err := c.client(c.converge()).Set(t.Context(), newData, "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.start(t, "backup").end(t, 0)
	list := strings.Fields(b.start(t, "backup", "list").end(t, 0))
	name := list[5]
	master := c.client(c.converge())
	if err := master.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := master.Set(t.Context(), fmt.Sprint("present:", n), n, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return c, b, name
}

// requireOnlyKeys checks that each server has just the keys of fill.
func (c *cluster) requireOnlyKeys(keys int) {
	c.t.Helper()
	for _, p := range c.servers() {
		eventually(c.t, settle, "the keys of the backup on "+p.name, func() error {
			if count, err := c.client(p).DBSize(c.t.Context()).Result(); err != nil || count != int64(keys) {
				return fmt.Errorf("it has %d keys, and not %d: %v", count, keys, err)
			}
			return nil
		})
	}
}

func TestBackupReplacesTheDataOfARunningRelease(t *testing.T) {
	t.Parallel()
	secret := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	for name, o := range map[string]options{"on volumes": {}, "in memory, encrypted": {noPersistence: true, secret: secret}} {
		t.Run(name, func(t *testing.T) {
			memoryOnly := o.noPersistence
			c, b, backup := backedUpRunning(t, o, 300)
			old := c.converge()
			refused := b.start(t, "restore", "latest").end(t, 1)
			if !strings.Contains(refused, "give --yes") || !strings.Contains(refused, "300 keys") || !strings.Contains(refused, ": 20 keys, generation 1") {
				t.Errorf("launcher restore without an answer said:\n%s", refused)
			}
			said := b.start(t, "restore", backup, "--yes").end(t, 0)
			t.Logf("launcher restore:\n%s", said)
			if !strings.Contains(said, "all 3 servers have the data of the backup") {
				t.Error("it did not wait for the slaves")
			}
			master := c.converge()
			if master == old {
				t.Errorf("%s is still the master", old.name)
			}
			c.requireOnlyKeys(300)
			if record := c.api.Lease(fullname + "-master").Annotations["redis-ha/record"]; !strings.Contains(record, `"restored":"`+backup+`"`) || !strings.Contains(record, `"restoredIn":2`) {
				t.Errorf("the record does not tell of the backup: %s", record)
			}
			for _, p := range c.servers() {
				if stale := c.client(p).ConfigGet(t.Context(), "replica-serve-stale-data").Val()["replica-serve-stale-data"]; stale != "yes" {
					t.Errorf("%s refuses reads without a link: %q", p.name, stale)
				}
				if leftovers, _ := filepath.Glob(filepath.Join(p.dataDir, "appendonlydir.before")); len(leftovers) > 0 {
					t.Errorf("%s has %v", p.name, leftovers)
				}
				if _, err := os.Stat(filepath.Join(p.dataDir, "restore.new")); err == nil {
					t.Errorf("%s has what it has fetched", p.name)
				}
			}
			if _, err := os.Stat(filepath.Join(master.dataDir, "dump.rdb")); memoryOnly && err == nil {
				t.Errorf("%s has the backup beside its data", master.name)
			}
			w := c.write()
			w.advance(100)
			if !memoryOnly { // the restored data outlive all processes
				for _, p := range c.all() {
					p.hold()
				}
				for _, p := range c.all() {
					p.kill()
				}
				for _, p := range c.all() {
					p.run()
				}
				c.converge()
				c.requireKeys(300)
			}
			// The data from before come back in the same way.
			_, kept, _ := strings.Cut(said, "are kept as backup ")
			kept, _, _ = strings.Cut(kept, ",")
			b.start(t, "restore", kept, "--yes", "--without-backup").end(t, 0)
			c.converge()
			if value := c.client(c.converge()).Get(t.Context(), "present:7").Val(); value != "7" {
				t.Errorf("the data from before the restore did not come back: %q", value)
			}
		})
	}
}

const (
	oldData = "present:7"  // a key of the present data only
	newData = "restored:7" // a key of the backup only
)

// dataReader reads from the servers again and again, and notes which data it finds.
type dataReader struct {
	stop func() (reads int, mixed []string)
}

// watchData reads both keys of each server in one command. Once a server has given new data, no server may give old data to a question that was asked later.
func (c *cluster) watchData() *dataReader {
	var mu sync.Mutex
	var mixed []string
	var newSince time.Time
	reads := 0
	done := make(chan struct{})
	var finished sync.WaitGroup
	for _, p := range c.servers() {
		client := c.client(p)
		finished.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
				asked := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
				values, err := client.MGet(ctx, oldData, newData).Result()
				cancel()
				if err != nil {
					continue
				}
				mu.Lock()
				reads++
				old, restored := values[0] != nil, values[1] != nil
				switch {
				case restored && newSince.IsZero():
					newSince = time.Now()
				case old && restored, !old && !restored:
					mixed = append(mixed, fmt.Sprintf("%s had %v", p.name, values))
				case old && !newSince.IsZero() && asked.After(newSince):
					mixed = append(mixed, fmt.Sprintf("%s gave old data %v after new ones", p.name, asked.Sub(newSince)))
				}
				mu.Unlock()
			}
		})
	}
	once := sync.OnceValues(func() (int, []string) {
		close(done)
		finished.Wait()
		return reads, mixed
	})
	c.t.Cleanup(func() { once() })
	return &dataReader{once}
}

func TestNobodyReadsOldDataAfterThoseOfABackup(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{}, 300)
	w := c.write()
	w.advance(50)
	readers := c.watchData()
	said := b.start(t, "restore", backup, "--yes").end(t, 0)
	t.Logf("launcher restore:\n%s", said)
	w.advance(50)
	reads, mixed := readers.stop()
	w.mu.Lock()
	t.Logf("%d reads; no write was acknowledged for %v", reads, w.gap)
	w.mu.Unlock()
	w.requireGapBelow(5 * time.Second)
	if reads < 100 || len(mixed) > 0 {
		t.Errorf("%d reads, of which were wrong: %v", reads, mixed[:min(len(mixed), 5)])
	}
	c.converge()
	c.requireKeys(300)
}

// restoreUntil starts launcher restore, and waits until it has said something.
func (b *backups) restoreUntil(t *testing.T, text string, arguments ...string) *job {
	t.Helper()
	j := b.start(t, append([]string{"restore"}, arguments...)...)
	eventually(t, backupTime, "launcher restore to say "+text, func() error {
		if said := j.output.String(); !strings.Contains(said, text) {
			return errors.New(said)
		}
		return nil
	})
	return j
}

// requireOldData checks that the release serves the data that it had, and that a backup can still be restored.
func (c *cluster) requireOldData() {
	c.t.Helper()
	c.converge()
	for _, p := range c.servers() {
		eventually(c.t, settle, "the present data on "+p.name, func() error {
			if values, err := c.client(p).MGet(c.t.Context(), oldData, newData).Result(); err != nil || values[0] == nil || values[1] != nil {
				return fmt.Errorf("it has %v: %v", values, err)
			}
			return nil
		})
	}
	if record := c.api.Lease(fullname + "-master").Annotations["redis-ha/record"]; strings.Contains(record, `"restored"`) {
		c.t.Errorf("the record tells of a backup: %s", record)
	}
}

// slowLoad gives a file of directives with which a Redis needs 20 ms for each key that it loads.
func slowLoad(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(path, []byte("key-load-delay 20000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// slaveThatReplaces gives the server that loads a backup.
func (c *cluster) slaveThatReplaces(t *testing.T) *pod {
	t.Helper()
	for _, p := range c.servers() {
		if strings.Contains(p.output.last(0), "redis-server loads the backup, and nobody sees it") {
			return p
		}
	}
	t.Fatal("no server loads a backup")
	return nil
}

func TestRestoreSaysAllThatIsInTheWayAndChangesNothing(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{servers: 2, sentinels: 1}, 30)
	slave := c.slavesOf(c.converge())[0]
	slave.hold()
	slave.kill()
	said := b.start(t, "restore", "20200101T000000Z-01234567", "--yes").end(t, 1)
	for _, want := range []string{"2 thing(s) in the way", "20200101T000000Z-01234567", "no slave is in sync", "nothing was replaced"} {
		if !strings.Contains(said, want) {
			t.Errorf("launcher restore does not say %q:\n%s", want, said)
		}
	}
	slave.run()
	c.converge()
	// The present data cannot be kept: the bucket takes nothing any more.
	b.endpoint = s3server.Start(t, b.dir, "-room", "0")
	said = b.start(t, "restore", backup, "--yes").end(t, 1)
	for _, want := range []string{"the present data could not be backed up (--without-backup", "nothing was replaced"} {
		if !strings.Contains(said, want) {
			t.Errorf("launcher restore does not say %q:\n%s", want, said)
		}
	}
	if c.said("fetching a backup that is to replace the data") {
		t.Error("a server has begun to load it")
	}
	c.requireOldData()
}

// A master that leaves needs the slave that loads a backup to hand over to.
func TestMasterThatLeavesWhileABackupIsLoadedHandsOver(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{servers: 2, sentinels: 1, extraConfig: slowLoad(t)}, 500)
	old := c.converge()
	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	c.addServer().run()
	old.remove()
	if said := j.end(t, 1); !strings.Contains(said, "nothing was replaced") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.requireOldData()
}

// A volume that was away during the restore has the old data, and a saved copy of them. It comes back first.
func TestKeptVolumeWithOldDataDoesNotWinAfterARestore(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, keptVolumes, 300)
	away := c.slavesOf(c.converge())[1]
	away.removeButVolume()
	said := b.start(t, "restore", backup, "--yes", "--without-backup").end(t, 0)
	if !strings.Contains(said, "all 2 servers have the data of the backup") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	for _, p := range c.servers() {
		c.appends(p)
		p.hold()
	}
	for _, p := range c.servers() {
		p.kill()
	}
	others := c.servers()
	away.comeBack()
	throughout(t, 5*time.Second, "no master with old data", func() error {
		if masters := c.labelled("master"); len(masters) > 0 && masters[0] != others[0] && masters[0] != others[1] {
			return fmt.Errorf("%s is master", masters[0].name)
		}
		return nil
	})
	for _, p := range others {
		p.run()
	}
	c.converge()
	c.requireOnlyKeys(300)
}
