package loopback

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// configMap is what the ConfigMap of a release holds: variables of the settings file, and redis.conf.
type configMap struct {
	variables  map[string]string
	directives string
}

// settingsOf are the variables of a release with these numbers, as the chart writes them, and changes of them.
func settingsOf(servers, sentinels int, changes ...string) configMap {
	m := configMap{variables: map[string]string{
		"LAUNCHER_SERVERS": strconv.Itoa(servers), "LAUNCHER_SENTINELS": strconv.Itoa(sentinels), "LAUNCHER_QUORUM": strconv.Itoa(sentinels/2 + 1),
		"LAUNCHER_DOWN_AFTER_MILLISECONDS": "3000", "LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS": "8000", "LAUNCHER_MIN_REPLICAS_TO_WRITE": "1",
		"LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS": "3", "LAUNCHER_LOG_LEVEL": "debug",
		"LAUNCHER_AUTH": "true", "LAUNCHER_PASSWORD_GRACE_SECONDS": "3600",
	}}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		m.variables["LAUNCHER_"+name] = value
	}
	return m
}

func (m configMap) text() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.variables)) {
		fmt.Fprintf(&text, "%s=%s\n", name, m.variables[name])
	}
	return text.String()
}

// mountDir is where a pod sees the ConfigMap.
func (p *pod) mountDir() string { return filepath.Join(p.cluster.dir, p.name, "settings") }

// mountSettings has the environment of a pod name the files of the ConfigMap instead of what they hold.
func (p *pod) mountSettings(variables map[string]string) {
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mounted.variables == nil {
		c.mounted = settingsOf(c.options.servers, c.options.sentinels)
	}
	for name := range c.mounted.variables {
		delete(variables, name)
	}
	if _, err := os.Stat(p.mountDir()); err != nil {
		p.refresh(c.mounted)
	}
	variables["LAUNCHER_SETTINGS_FILE"] = filepath.Join(p.mountDir(), "settings")
	if !p.sentinel {
		variables["LAUNCHER_REDIS_CONFIG_FILE"] = filepath.Join(p.mountDir(), "redis.conf")
	}
}

// refresh is what the kubelet does when it sees that a ConfigMap has changed.
func (p *pod) refresh(m configMap) {
	p.cluster.t.Helper()
	p.project(p.mountDir(), map[string]string{"settings": m.text(), "redis.conf": m.directives})
}

// project writes the files of a ConfigMap or a Secret as the kubelet does: a new folder, and a link that is replaced.
func (p *pod) project(dir string, files map[string]string) {
	p.cluster.t.Helper()
	version := fmt.Sprintf("..%d", time.Now().UnixNano())
	steps := []func() error{func() error { return os.MkdirAll(filepath.Join(dir, version), 0o700) }}
	for name, content := range files {
		steps = append(steps, func() error { return os.WriteFile(filepath.Join(dir, version, name), []byte(content), 0o600) })
	}
	steps = append(steps,
		func() error { return os.Symlink(version, filepath.Join(dir, "..data_tmp")) },
		func() error { return os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")) },
	)
	for _, step := range steps {
		if err := step(); err != nil {
			p.cluster.t.Fatal(err)
		}
	}
	for name := range files {
		_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)) // the first time
	}
}

// set changes the ConfigMap. Pods that start later get it at once, and those that run one after the other.
func (c *cluster) set(m configMap) {
	c.t.Helper()
	c.mu.Lock()
	c.mounted = m
	c.mu.Unlock()
}

// spread has the kubelets refresh the ConfigMap in all pods that run, with a pause in between.
func (c *cluster) spread(pause time.Duration) {
	c.t.Helper()
	c.mu.Lock()
	m := c.mounted
	c.mu.Unlock()
	for _, p := range append(c.servers(), c.sentinels()...) {
		time.Sleep(pause)
		p.refresh(m)
	}
}

// masterAsSeen is a field of what a sentinel says of the master.
func (c *cluster) masterAsSeen(p *pod, field string) (string, error) {
	reply, err := c.client(p).Do(c.t.Context(), "SENTINEL", "MASTER", "mymaster").Result()
	return pairs(reply)[field], err
}

// configured says whether a Redis has a value of a directive.
func (c *cluster) configured(p *pod, name, want string) error {
	values, err := c.client(p).ConfigGet(c.t.Context(), name).Result()
	if err == nil && values[name] != want {
		err = fmt.Errorf("%s has %s %q, want %q", p.name, name, values[name], want)
	}
	return err
}

// awaitSentinels waits until every sentinel has a value in what it says of the master.
func (c *cluster) awaitSentinels(field, want string) {
	c.t.Helper()
	for _, p := range c.sentinels() {
		eventually(c.t, settle, field+" "+want+" at "+p.name, func() error {
			found, err := c.masterAsSeen(p, field)
			if err == nil && found != want {
				err = fmt.Errorf("it is %s", found)
			}
			return err
		})
	}
}

// awaitServers waits until every Redis has a value of a directive.
func (c *cluster) awaitServers(name, want string) {
	c.t.Helper()
	for _, p := range c.servers() {
		eventually(c.t, settle, name+" "+want, func() error { return c.configured(p, name, want) })
	}
}

// replaceMaster ends the Redis of the master, and waits for another master.
func (c *cluster) replaceMaster(w *writer) {
	c.t.Helper()
	old, err := c.masterPod()
	if err != nil {
		c.t.Fatal(err)
	}
	old.killRedis()
	eventually(c.t, settle, "another master than "+old.name, func() error { return c.checkMasterIsNot(old) })
	w.advance(100)
	eventually(c.t, settle, "slaves of the new master", func() error { return c.checkServers() })
}

// checkServers says which server is no slave in sync of the only master.
func (c *cluster) checkServers() error {
	master, err := c.masterPod()
	if err != nil {
		return err
	}
	for _, p := range c.slavesOf(master) {
		if n, err := c.info(p); err != nil || n.role != "slave" || n.master != master.ip || !n.linkUp {
			return fmt.Errorf("%s is %s of %q (link up: %t, %w)", p.name, n.role, n.master, n.linkUp, err)
		}
	}
	return nil
}

// The pods read other numbers one after the other, while a client writes and the master dies again and again.
func TestServersAndSentinelsGoFrom3To5To3WithoutARestart(t *testing.T) {
	t.Parallel()
	c := start(t, options{followed: true})
	w := c.write()
	first := append(c.servers(), c.sentinels()...)
	c.replaceMaster(w)

	c.set(settingsOf(5, 5))
	for range 2 {
		c.addSentinel().run()
		c.addServer().run()
	}
	c.spread(300 * time.Millisecond)
	c.awaitSentinels("num-other-sentinels", "4")
	c.awaitSentinels("quorum", "3")
	c.replaceMaster(w)

	// A Deployment chooses the pods that go: here those that hold the first identities.
	c.removeAll(c.sentinels()[:2])
	c.scaleDown(3)
	c.set(settingsOf(3, 3))
	c.replaceMaster(w) // before anybody has read it
	c.spread(300 * time.Millisecond)
	c.awaitSentinels("quorum", "2")
	took := eventually(t, 2*settle, "the sentinels that have gone to be forgotten", c.checkConverged)
	t.Logf("all have forgotten those that have gone after %v", took)
	c.replaceMaster(w)

	c.set(settingsOf(3, 5))
	for range 2 {
		c.addSentinel().run()
	}
	c.spread(0)
	c.awaitSentinels("num-other-sentinels", "4")
	c.replaceMaster(w)

	stayed := 0
	for _, p := range first {
		if p.isDeleted() {
			continue
		}
		stayed++
		if p.restartCount() > 0 {
			t.Errorf("the container of %s was restarted", p.name)
		}
	}
	if stayed < 3 {
		t.Errorf("%d of the first pods have stayed", stayed)
	}
	c.requireNoCrash()
	w.requireLostAtMost(5 * asyncTail)
}

func TestSettingsAreAppliedWhileAReleaseRuns(t *testing.T) {
	t.Parallel()
	c := start(t, options{followed: true, sentinels: 5, downAfter: 3 * time.Second})
	w := c.write()
	master := c.converge()

	next := settingsOf(3, 5, "QUORUM=4", "DOWN_AFTER_MILLISECONDS=4000", "FAILOVER_TIMEOUT_MILLISECONDS=9000", "MIN_REPLICAS_TO_WRITE=2",
		"MIN_REPLICAS_MAX_LAG_SECONDS=5", "LOG_LEVEL=info")
	next.directives = "maxmemory-policy allkeys-lru\nhz 20\nclient-output-buffer-limit normal 64mb 0 0\n"
	c.set(next)
	c.spread(0)
	c.awaitSentinels("quorum", "4")
	c.awaitSentinels("down-after-milliseconds", "4000")
	c.awaitSentinels("failover-timeout", "9000")
	c.awaitServers("min-replicas-max-lag", "5")
	c.awaitServers("maxmemory-policy", "allkeys-lru")
	c.awaitServers("hz", "20")
	eventually(t, settle, "min-replicas-to-write 2", func() error { return c.configured(master, "min-replicas-to-write", "2") })
	if _, text := runOnce(t, master, 10*time.Second, master.environment(), "status"); !strings.Contains(text, "settings: 5 of 8 pods") {
		t.Errorf("servers wait with a longer down-after, and sentinels do not:\n%s", text)
	}

	next = settingsOf(3, 5, "DOWN_AFTER_MILLISECONDS=4000")
	next.directives = "io-threads 2\nhz 900\n"
	c.set(next)
	c.spread(0)
	c.awaitSentinels("quorum", "3")
	c.awaitServers("maxmemory-policy", "noeviction")
	c.awaitServers("hz", "500")
	eventually(t, settle, "min-replicas-to-write 1", func() error { return c.configured(master, "min-replicas-to-write", "1") })
	eventually(t, settle, "the status to tell what Redis does not take", func() error {
		_, text := runOnce(t, master, 10*time.Second, master.environment(), "status")
		if !strings.Contains(text, master.name+": settings: io-threads: Redis takes it only when it starts") {
			return fmt.Errorf("it says\n%s", text)
		}
		return nil
	})

	version := ""
	_, before, err := get(master, "/status")
	if err != nil {
		t.Fatal(err)
	}
	broken := settingsOf(4, 4, "SERVERS=many")
	c.set(broken)
	c.spread(0)
	for _, p := range append(c.servers(), c.sentinels()...) {
		eventually(t, settle, "the status of "+p.name+" to tell all that is wrong", func() error {
			_, text, err := get(p, "/status")
			if err == nil && (!strings.Contains(text, `LAUNCHER_SERVERS is \"many\"`) || !strings.Contains(text, "LAUNCHER_SENTINELS is 4")) {
				err = fmt.Errorf("it says %s", text)
			}
			return err
		})
	}
	if _, version, _ = strings.Cut(before, `"version":"`); len(version) < 8 {
		t.Fatalf("no version in %s", before)
	}
	if _, now, _ := get(master, "/status"); !strings.Contains(now, version[:8]) {
		t.Errorf("the settings that are followed have changed from %s to\n%s", version[:8], now)
	}

	c.set(settingsOf(3, 5))
	c.spread(0)
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	for _, p := range c.all() {
		if p.restartCount() > 0 {
			t.Errorf("the container of %s was restarted", p.name)
		}
	}
	w.requireNothingLost()
	w.requireGapBelow(3 * time.Second)
}

// A master counts on the time until the sentinels find it down. So sentinels wait with a shorter time until all launchers know it.
func TestShorterDownAfterComesLaterToTheSentinels(t *testing.T) {
	t.Parallel()
	c := start(t, options{followed: true, unguarded: true})
	c.set(settingsOf(3, 3, "DOWN_AFTER_MILLISECONDS=2000"))
	c.spread(0)
	eventually(t, settle, "the servers to have read it", func() error {
		for _, p := range c.servers() {
			if err := says(p, "down-after=2s"); err != nil {
				return err
			}
		}
		return nil
	})
	throughout(t, 90*time.Second, "the sentinels go by the longer time", func() error {
		for _, p := range c.sentinels() {
			if found, err := c.masterAsSeen(p, "down-after-milliseconds"); err != nil || found != "3000" {
				return fmt.Errorf("%s at %s, %w", found, p.name, err)
			}
		}
		return nil
	})
	c.awaitSentinels("down-after-milliseconds", "2000")
}
