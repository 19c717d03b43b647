package loopback

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// runOnce runs the launcher in a pod that is not part of a release until it
// ends or the bound has passed, and returns its exit code and output.
func runOnce(t *testing.T, p *pod, bound time.Duration, environment []string, arguments ...string) (int, string) {
	t.Helper()
	collected := &output{}
	process, err := startProcess(environment, collected, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-process.exited:
	case <-time.After(bound):
		process.kill()
	}
	return process.code, collected.last(0)
}

func requireAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("missing %q in:\n%s", part, text)
		}
	}
}

func TestEveryProblemOfTheEnvironmentIsListedAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	p := c.addServer()
	environment := append(p.environment(), "LAUNCHER_SENTINELS=4", "LAUNCHER_QUORUM=9", "POD_IP=nonsense", "LAUNCHER_TYPO=1",
		"LAUNCHER_DOWN_AFTER_MILLISECONDS=soon", "REDIS_CHART_PREFIX=")
	code, text := runOnce(t, p, 10*time.Second, environment)
	if code != 2 {
		t.Errorf("exit code %d, not 2", code)
	}
	requireAll(t, text, "LAUNCHER_SENTINELS", "LAUNCHER_QUORUM", "POD_IP", "LAUNCHER_TYPO", "LAUNCHER_DOWN_AFTER_MILLISECONDS", "REDIS_CHART_PREFIX", "3 or 5")
	if strings.Contains(text, "goroutine ") {
		t.Errorf("a stack trace is no message:\n%s", text)
	}
	if requests := c.api.Requests(time.Time{}); len(requests) > 0 {
		t.Errorf("the API was asked before the environment was checked: %v", requests)
	}
}

func TestUnwritableDirectoryIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	p := c.addServer()
	// A file in the place of the directory: not writable, not even for root.
	blocked := p.dataDir + "/file"
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, text := runOnce(t, p, 10*time.Second, append(p.environment(), "LAUNCHER_DATA_DIR="+blocked))
	if code == 0 || code == -1 {
		t.Errorf("exit code %d", code)
	}
	requireAll(t, text, blocked)
}

func TestUnreachableAPIIsNamedWhileTheLauncherWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	p := c.addServer()
	if err := c.api.Stop(); err != nil {
		t.Fatal(err)
	}
	p.run()
	eventually(t, settle, "a message with the API's address", func() error { return says(p, p.ip+":6443") })
	if err := c.api.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.addServer().run()
	}
	for range 3 {
		c.addSentinel().run()
	}
	c.converge()
}

func TestMissingRightIsNamedWithItsVerb(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	for _, verb := range []string{"list", "watch"} {
		c.api.Deny("", verb, "pods")
	}
	p := c.addServer()
	p.run()
	eventually(t, settle, "a message with verb, resource and remedy", func() error {
		for _, part := range []string{"list", "pods", "rbac.create"} {
			if err := says(p, part); err != nil {
				return err
			}
		}
		return nil
	})
	for _, verb := range []string{"list", "watch"} {
		c.api.Allow("", verb, "pods")
	}
	c.api.Deny("", "patch", "pods")
	for range 2 {
		c.addServer().run()
	}
	for range 3 {
		c.addSentinel().run()
	}
	eventually(t, settle, "a message about the verb patch", func() error { return says(p, "patch") })
	c.api.Allow("", "patch", "pods")
	c.converge()
}

func TestWrongPasswordSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 50)
	master := c.converge()
	stranger := c.addServer()
	stranger.password = "another password"
	stranger.run()
	eventually(t, settle, "a message about the password", func() error {
		if err := says(stranger, "REDIS_PASS"); err != nil {
			return err
		}
		return nil
	})
	if stranger.output.contains(c.password) || stranger.output.contains(stranger.password) {
		t.Error("the output contains a password")
	}
	throughout(t, 3*time.Second, "the master stays and the stranger is no master", func() error {
		_, err := c.masterPod()
		return err
	})
	stranger.hold()
	stranger.stop()
	if now, err := c.masterPod(); err != nil || now != master {
		t.Errorf("the master moved from %s (%v)", master.name, err)
	}
	c.requireKeys(50)
}

func TestStatusPrintsATableOfAllPods(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 50)
	master := c.converge()
	for _, p := range []*pod{master, c.sentinels()[0]} {
		code, text := runOnce(t, p, 10*time.Second, p.environment(), "status")
		if code != 0 {
			t.Errorf("launcher status in %s ended with %d:\n%s", p.name, code, text)
		}
		t.Logf("launcher status in %s:\n%s", p.name, text)
		for _, other := range c.all() {
			requireAll(t, text, other.name)
		}
		requireAll(t, text, "master", "slave", "sentinel", "quorum 2", master.ip)
		n, err := c.info(master)
		if err != nil || n.offset == 0 {
			t.Fatalf("offset %d, %v", n.offset, err)
		}
		// 50 keys are some kilobytes: four digits of offset, the same on all three servers.
		if offsets := regexp.MustCompile(`\s[1-9]\d{3}\s`).FindAllString(text, -1); len(offsets) != 3 {
			t.Errorf("%d replication offsets in:\n%s", len(offsets), text)
		}
	}
	if code, text, err := get(master, "/status"); err != nil || code != 200 || strings.Contains(text, c.password) {
		t.Errorf("/status: %d %v, or it contains the password", code, err)
	}
	if code, text, err := get(master, "/metrics"); err != nil || code != 200 || !strings.Contains(text, "# TYPE ") {
		t.Errorf("/metrics: %d %v", code, err)
	}
}

func TestVerifyWritesThroughTheMasterAndReadsFromASlave(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	master := c.converge()
	slave := c.slavesOf(master)[0]
	environment := []string{"REDIS_PASS=" + c.password}
	arguments := []string{"verify", "--master", master.address(), "--slave", slave.address(), "--sentinel", c.sentinels()[0].address()}
	if code, text := runOnce(t, master, 20*time.Second, environment, arguments...); code != 0 {
		t.Errorf("launcher verify ended with %d:\n%s", code, text)
	}
	arguments[2] = slave.address()
	if code, text := runOnce(t, master, 20*time.Second, environment, arguments...); code != 1 {
		t.Errorf("launcher verify with a slave as master ended with %d:\n%s", code, text)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	if text, err := exec.Command(launcherBinary, "version").CombinedOutput(); err != nil || len(text) == 0 {
		t.Errorf("launcher version: %v %s", err, text)
	}
}
