package loopback

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// secretPassword is what the values of the chart say of the password.
type secretPassword struct {
	asked bool
	text  string
	grace time.Duration // 0: an hour
}

func (s secretPassword) files() map[string]string {
	if !s.asked {
		return nil // the Secret is not there
	}
	return map[string]string{"password": s.text}
}

// passwordDir is where a pod sees the Secret with the password.
func (p *pod) passwordDir() string { return filepath.Join(p.cluster.dir, p.name, "password") }

// mountPassword has the environment of a pod name the file of the Secret.
func (p *pod) mountPassword(variables map[string]string) {
	c := p.cluster
	variables["LAUNCHER_PASSWORD_FILE"] = filepath.Join(p.passwordDir(), "password")
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.mounted {
		p.mounted = true
		c.mounted = c.held.settings(c.options)
		p.project(p.passwordDir(), c.held.files())
	}
}

// settings are those of the release with this password.
func (s secretPassword) settings(o options) configMap {
	grace := time.Hour
	if s.grace > 0 {
		grace = s.grace
	}
	return settingsOf(o.servers, o.sentinels, "AUTH="+strconv.FormatBool(s.asked), fmt.Sprintf("PASSWORD_GRACE_SECONDS=%.0f", grace.Seconds()))
}

// change changes what pods get that start from now on. The pods that run get it by spreadPassword.
func (c *cluster) change(s secretPassword) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.mounted = s, s.settings(c.options)
}

// spreadPassword has the kubelets refresh the Secret, and the settings, in some pods.
func (c *cluster) spreadPassword(pods ...*pod) {
	c.t.Helper()
	c.mu.Lock()
	held, settings := c.held, c.mounted
	c.mu.Unlock()
	for _, p := range pods {
		p.refresh(settings)
		p.project(p.passwordDir(), held.files())
	}
}

func (c *cluster) everyone() []*pod { return append(c.servers(), c.sentinels()...) }

// clientPassword is the password of the tests' own connections.
func (c *cluster) clientPassword() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *cluster) useAsClient(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = password
}

// letsIn gives the error of a command on a new connection with a password.
func letsIn(ctx context.Context, p *pod, password string) error {
	client := redis.NewClient(clientOptions(p.address(), password))
	defer client.Close()
	return client.Ping(ctx).Err()
}

// awaitAccepted waits until all pods accept a password.
func (c *cluster) awaitAccepted(bound time.Duration, password string) {
	c.t.Helper()
	for _, p := range c.everyone() {
		eventually(c.t, bound, p.name+" to accept the password", func() error { return letsIn(c.t.Context(), p, password) })
	}
}

// awaitRefused waits until all pods refuse a password.
func (c *cluster) awaitRefused(bound time.Duration, password string) {
	c.t.Helper()
	for _, p := range c.everyone() {
		eventually(c.t, bound, p.name+" to refuse the old password", func() error {
			err := letsIn(c.t.Context(), p, password)
			if err != nil && (strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "NOAUTH")) {
				return nil
			}
			return fmt.Errorf("the answer is %v", err)
		})
	}
}

// passwordStatus is what a launcher tells of its passwords.
type passwordStatus struct {
	Asked, InUse bool
	Earlier      int
	Pending      []string
}

func toldPassword(p *pod) (passwordStatus, error) {
	_, text, err := get(p, "/status")
	var s struct{ Password *passwordStatus }
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err == nil && s.Password == nil {
		err = fmt.Errorf("%s tells nothing of passwords", p.name)
	}
	if err != nil {
		return passwordStatus{}, err
	}
	return *s.Password, nil
}

// awaitInUse waits until all pods use the password of the Secret.
func (c *cluster) awaitInUse(bound time.Duration) {
	c.t.Helper()
	for _, p := range c.everyone() {
		eventually(c.t, bound, p.name+" to use the new password", func() error {
			s, err := toldPassword(p)
			if err == nil && !s.InUse {
				err = fmt.Errorf("%v", s.Pending)
			}
			return err
		})
	}
}

// spreadButLast is spreadPassword in all pods but the last, which are waited for: they accept the new password, and must not use it yet.
func (c *cluster) spreadButLast() {
	c.t.Helper()
	pods := c.everyone()
	for _, p := range pods[:len(pods)-1] {
		c.spreadPassword(p)
		eventually(c.t, settle, p.name+" to accept an earlier password as well", func() error {
			s, err := toldPassword(p)
			if err == nil && s.Earlier == 0 {
				err = fmt.Errorf("it tells %+v", s)
			}
			return err
		})
	}
}

func startWithSecret(t *testing.T, o options) *cluster {
	t.Helper()
	o.secretPassword = true
	return start(t, o)
}

func TestPasswordIsRotatedWithoutAFailedCommand(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{})
	before, old := c.runs(), c.password
	writer, reader := c.strictly("master", old), c.strictly("slave", old)
	const grace = 8 * time.Second
	c.change(secretPassword{asked: true, text: "the new one", grace: grace})
	c.spreadButLast()
	if s, err := toldPassword(c.servers()[0]); err != nil || s.Earlier != 1 || s.InUse {
		t.Errorf("while one pod has not read the new password, another tells %+v %v", s, err)
	}
	c.spreadPassword(c.everyone()...)
	c.awaitAccepted(settle, "the new one")
	newWriter, newReader := c.strictly("master", "the new one"), c.strictly("slave", "the new one")
	c.awaitInUse(settle)
	used := time.Now()
	master := c.converge()
	for _, p := range c.slavesOf(master) {
		if err := c.configured(p, "masterauth", "the new one"); err != nil {
			t.Error(err)
		}
	}
	writer.requireNoFailure(t, "the old password")
	reader.requireNoFailure(t, "the old password")
	if err := letsIn(t.Context(), master, old); err != nil && time.Since(used) < grace/2 {
		t.Errorf("the old password ended %v after the new one was in use: %v", time.Since(used), err)
	}
	c.useAsClient("the new one")
	c.awaitRefused(grace+settle, old)
	t.Logf("the old password was refused %v after the new one was in use, with a grace period of %v", time.Since(used), grace)
	newWriter.requireNoFailure(t, "the new password")
	newReader.requireNoFailure(t, "the new password")
	if after := c.runs(); after != before {
		t.Errorf("something was started again:\n%s\nbefore:\n%s", after, before)
	}
	w := c.write()
	c.replaceMaster(w)
	c.converge()
	w.requireLostAtMost(asyncTail)
}

// A failover while some pods know the new password, and others do not. All links are encrypted.
func TestFailoverInTheMiddleOfARotation(t *testing.T) {
	t.Parallel()
	c, _ := startEncrypted(t, options{secretPassword: true})
	w := c.write()
	w.advance(100)
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Hour})
	c.spreadButLast()
	c.replaceMaster(w)
	c.converge()
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	c.replaceMaster(w)
	c.converge()
	c.useAsClient("the new one")
	c.replaceMaster(w)
	c.converge()
	w.requireLostAtMost(3 * asyncTail)
}

// The container of every pod ends in every step, once each. The next launcher goes on.
func TestLauncherThatDiesInARotationIsFollowedByOneThatGoesOn(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{})
	w := c.write()
	w.advance(100)
	old := c.password
	restart := func() {
		for _, p := range []*pod{c.sentinels()[0], c.slavesOf(c.converge())[0], c.converge()} {
			count := p.restartCount()
			p.kill()
			eventually(t, settle, p.name+" to run again", func() error {
				if p.restartCount() == count {
					return fmt.Errorf("it does not")
				}
				return ready(p)
			})
		}
		c.converge()
	}
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Hour})
	c.spreadButLast()
	restart()
	for _, p := range c.everyone() {
		if err := letsIn(t.Context(), p, old); err != nil {
			t.Errorf("before all have the new password, the old one at %s: %v", p.name, err)
		}
	}
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	restart()
	for _, password := range []string{old, "the new one"} {
		for _, p := range c.everyone() {
			if err := letsIn(t.Context(), p, password); err != nil {
				t.Errorf("in the grace period %q at %s: %v", password, p.name, err)
			}
		}
	}
	c.useAsClient("the new one")
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitRefused(settle, old)
	restart()
	c.awaitRefused(settle, old)
	w.advance(100)
	w.requireLostAtMost(3 * asyncTail)
}

// A pod that starts in between has a Secret with the new password alone. It joins when the others have read it, and accepts the old one as well.
func TestPodThatStartsInTheMiddleOfARotationAcceptsTheOldPassword(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{})
	master := c.converge()
	old := c.password
	writer := c.strictly("master", old)
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Hour})
	c.slavesOf(master)[0].remove()
	c.sentinels()[0].remove()
	server, sentinel := c.addServer(), c.addSentinel()
	server.run()
	sentinel.run()
	reader := c.strictly("slave", old)
	verified := c.verifyWith("the new one", master)
	for _, p := range []*pod{server, sentinel} {
		eventually(t, settle, p.name+" to say that it waits", func() error {
			s, err := toldPassword(p)
			if err == nil && (len(s.Pending) == 0 || !strings.Contains(s.Pending[0], "a new pod waits")) {
				err = fmt.Errorf("it tells %+v", s)
			}
			return err
		})
		if ready(p) == nil {
			t.Errorf("%s is ready, and the others do not accept its password", p.name)
		}
	}
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	c.converge()
	for _, p := range c.everyone() {
		if err := letsIn(t.Context(), p, old); err != nil {
			t.Errorf("the old password at %s: %v", p.name, err)
		}
	}
	writer.requireNoFailure(t, "the old password")
	reader.requireNoFailure(t, "the old password, at slaves")
	if err := <-verified; err != nil {
		t.Errorf("the Helm test, which has begun with the new password: %v", err)
	}
	c.useAsClient("the new one")
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitRefused(settle, old)
	w := c.write()
	c.replaceMaster(w)
	c.converge()
}

// verifyWith runs the Helm test with a password, and gives its end.
func (c *cluster) verifyWith(password string, master *pod) <-chan error {
	ended := make(chan error, 1)
	command := exec.CommandContext(c.t.Context(), launcherBinary, "verify", "--master", master.address(), "--sentinel", c.sentinels()[0].address())
	command.Env = []string{"REDIS_PASS=" + password}
	go func() {
		said, err := command.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, said)
		}
		ended <- err
	}()
	return ended
}
