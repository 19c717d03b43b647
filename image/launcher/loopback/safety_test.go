package loopback

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// damageFiles makes the append-only files of a pod that does not run unreadable
// for Redis, in the middle of each.
func (p *pod) damageFiles() {
	files, err := filepath.Glob(filepath.Join(p.dataDir, "appendonlydir", "*.aof"))
	if err != nil || len(files) == 0 {
		p.cluster.t.Fatalf("%s has no append-only file: %v", p.name, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil {
			copy(content[len(content)/2:], bytes.Repeat([]byte("x"), 64))
			err = os.WriteFile(file, content, 0o600)
		}
		if err != nil {
			p.cluster.t.Fatal(err)
		}
	}
	p.cluster.data.wiped(p)
}

// The master's data are the best and the sentinels name it, but Redis cannot
// load them.
func TestElectedServerThatCannotLoadItsDataGivesWayToAnother(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	broken := c.converge()
	c.awaitFiles()
	c.killAll()
	broken.damageFiles()
	c.runAll()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(broken) })
	c.converge()
	c.requireKeys(100)
}

// Data that Redis loads are good, however often it ends soon afterwards: a
// server that took them for broken would give way to one with less.
func TestDataAreNotBrokenBecauseRedisIsKilledOften(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	slave := c.slavesOf(c.converge())[0]
	for range 6 {
		slave.killRedis()
		c.converge()
	}
	if slave.output.contains("put aside") {
		t.Errorf("%s has put data aside that it had loaded", slave.name)
	}
	c.requireKeys(100)
}
