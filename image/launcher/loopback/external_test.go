package loopback

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// externalPassword is another one than the release's.
const externalPassword = `external "pass word"`

// external is a Redis outside of the release.
type external struct {
	*redis.Client
	address string
}

// runExternal starts a Redis outside of the release, with further arguments.
func (c *cluster) runExternal(arguments ...string) *external {
	c.t.Helper()
	return c.runExternalAt(c.network.address(), nil, arguments...)
}

// runEncryptedExternal starts a Redis outside of the release that encrypts all its connections. It gives the file of the authority as well.
func (c *cluster) runEncryptedExternal() (x *external, ca string) {
	c.t.Helper()
	ip, dir := c.network.address(), c.t.TempDir()
	s := fakeauthority.New(c.t, fakeauthority.Long).SignAddress(c.t, ip)
	s.Write(c.t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	client := s.Client(c.t)
	client.ServerName = ip
	return c.runExternalAt(ip, client, "--port", "0", "--tls-port", "6379", "--tls-cert-file", file("tls.crt"), "--tls-key-file", file("tls.key"),
		"--tls-ca-cert-file", file("ca.crt"), "--tls-auth-clients", "no"), file("ca.crt")
}

func (c *cluster) runExternalAt(ip string, encryption *tls.Config, arguments ...string) *external {
	c.t.Helper()
	command := exec.Command("redis-server", append([]string{
		"--bind", ip, "--port", "6379", "--dir", c.t.TempDir(), "--save", "", "--requirepass", externalPassword, "--repl-diskless-sync-delay", "0",
	}, arguments...)...)
	out := &output{}
	command.SysProcAttr, command.Stdout, command.Stderr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, out, out
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	options := clientOptions(ip+":6379", externalPassword)
	options.ReadTimeout, options.TLSConfig = 20*time.Second, encryption
	x := &external{Client: redis.NewClient(options), address: ip + ":6379"}
	c.t.Cleanup(func() {
		_ = x.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(c.t, settle, "the external master", func() error { return x.Ping(context.Background()).Err() })
	return x
}

// startFollowing starts a release that follows an external master.
func startFollowing(t *testing.T, o options) (*cluster, *external) {
	t.Helper()
	c := newCluster(t, o)
	x := c.runExternal()
	c.follow(x)
	return c, x
}

// follow starts a release that follows an external master, with further variables, each with its value.
func (c *cluster) follow(x *external, variables ...string) {
	t := c.t
	t.Helper()
	c.options.serverEnvironment = map[string]string{"LAUNCHER_EXTERNAL_MASTER": x.address, "LAUNCHER_EXTERNAL_MASTER_PASS": externalPassword}
	for i := 0; i < len(variables); i += 2 {
		c.options.serverEnvironment[variables[i]] = variables[i+1]
	}
	if err := x.Set(t.Context(), "before", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range c.options.servers {
		c.addServer().run()
	}
	for range c.options.sentinels {
		c.addSentinel().run()
	}
	eventually(t, settle, "slaves of the external master", func() error { return c.followsExternal(x) })
}

// followsExternal says with nil that all servers are slaves of the external master and labelled so.
func (c *cluster) followsExternal(x *external) error {
	var problems []error
	for _, p := range c.servers() {
		n, err := c.info(p)
		switch {
		case err != nil:
			problems = append(problems, err)
		case n.role != "slave" || n.master+":6379" != x.address:
			problems = append(problems, fmt.Errorf("%s is %s of %q", p.name, n.role, n.master))
		}
	}
	if n := len(c.labelled("master")); n > 0 {
		problems = append(problems, fmt.Errorf("%d pods are labelled master", n))
	}
	if n := len(c.labelled("slave")); n != len(c.servers()) {
		problems = append(problems, fmt.Errorf("%d pods are labelled slave", n))
	}
	return errors.Join(problems...)
}

// externalWriter writes numbered keys to the external master until it is stopped.
type externalWriter struct {
	stop func() (acknowledged int)
}

func (x *external) write(t *testing.T) *externalWriter {
	t.Helper()
	done, number := make(chan struct{}), 0
	var finished sync.WaitGroup
	finished.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			if x.Set(ctx, fmt.Sprint("number:", number), number, 0).Err() == nil {
				number++
			}
			cancel()
		}
	})
	once := sync.OnceValue(func() int {
		close(done)
		finished.Wait()
		return number
	})
	t.Cleanup(func() { once() })
	return &externalWriter{stop: once}
}

// promote runs launcher promote in the first server.
func (c *cluster) promote(arguments ...string) (code int, said string) {
	c.t.Helper()
	p := c.servers()[0]
	return runOnce(c.t, p, 90*time.Second, p.environment(), append([]string{"promote"}, arguments...)...)
}

func TestReleaseFollowsAnExternalMasterUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{})
	c.movesIn(x)
}

// A release becomes encrypted by its data moving into an encrypted one.
func TestEncryptedReleaseFollowsAPlainExternalMasterUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{secret: fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)})
	c.movesIn(x)
	c.requireNothingPlain()
}

// movesIn has a release that follows an external master promoted, under a writer.
func (c *cluster) movesIn(x *external) {
	t, ctx := c.t, c.t.Context()
	t.Helper()
	slave := c.client(c.servers()[1])
	eventually(t, settle, "the data on a slave", func() error { return slave.Get(ctx, "before").Err() })

	code, said := c.promote("--dry-run")
	if code != 0 || !strings.Contains(said, "nothing is in the way") {
		t.Fatalf("launcher promote --dry-run ended with %d:\n%s", code, said)
	}
	w := x.write(t)
	throughout(t, 3*time.Second, "the release follows the external master", func() error { return c.followsExternal(x) })

	code, said = c.promote()
	t.Logf("launcher promote:\n%s", said)
	if code != 0 || !strings.Contains(said, "nothing was lost") || !strings.Contains(said, "all servers follow it") {
		t.Fatalf("launcher promote ended with %d", code)
	}
	acknowledged := w.stop() // while writes still wait
	master := c.converge()
	missing := 0
	for number := range acknowledged {
		if c.client(master).Get(ctx, fmt.Sprint("number:", number)).Err() != nil {
			missing++
		}
	}
	if acknowledged < 100 || missing > 0 {
		t.Errorf("the new master lacks %d of %d acknowledged writes", missing, acknowledged)
	}
	if text := x.Info(ctx, "replication").Val(); !strings.Contains(text, "connected_slaves:0") {
		t.Errorf("servers of the release follow the external master:\n%s", text)
	}
	for _, p := range c.servers() {
		info, err := c.client(p).Info(ctx, "stats", "replication").Result()
		if err != nil {
			t.Error(err)
		}
		if p == master && !strings.Contains(info, "sync_full:0") {
			t.Errorf("a slave took a full copy of the new master:\n%s", info)
		}
	}
	writer := c.write()
	writer.advance(100)
	c.requireNoCrash()

	code, said = c.promote()
	if code == 0 || !strings.Contains(said, "has a master of its own already, "+master.name) {
		t.Errorf("a second launcher promote ended with %d:\n%s", code, said)
	}
}

func TestReleaseComesBackAsSlavesOfAnExternalMaster(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{servers: 2, sentinels: 1})
	c.servers()[0].killRedis()
	c.servers()[1].kill()
	eventually(t, settle, "slaves of the external master after a crash", func() error { return c.followsExternal(x) })
	for _, p := range c.servers() { // what is new comes as well
		if err := x.Set(t.Context(), "after", p.name, 0).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, settle, "the last write on "+p.name, func() error {
			if got := c.client(p).Get(t.Context(), "after").Val(); got != p.name {
				return fmt.Errorf("it has %q", got)
			}
			return nil
		})
	}
	if text := c.status(c.servers()[0]).Reason; !strings.Contains(text, "replica of the external master") {
		t.Errorf("the reason is %q", text)
	}
}

func TestWhatIsInTheWayOfAPromotionIsTold(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{servers: 2, sentinels: 1})
	listening := x.Subscribe(t.Context(), "__sentinel__:hello") // as a Sentinel does
	if _, err := listening.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.Del(t.Context(), "before").Err(); err != nil {
		t.Fatal(err)
	}
	code, said := c.promote()
	if code != 1 || !strings.Contains(said, "1 Sentinel(s) watch "+x.address) || !strings.Contains(said, "has no keys") {
		t.Errorf("launcher promote ended with %d:\n%s", code, said)
	}
	_ = listening.Close()
	if err := x.ConfigSet(t.Context(), "requirepass", "another").Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.Do(t.Context(), "CLIENT", "KILL", "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, settle, "servers without a link", func() error {
		for _, p := range c.servers() {
			if !strings.Contains(c.status(p).Reason, "not connected to it") {
				return errors.New(c.status(p).Reason)
			}
		}
		return nil
	})
	code, said = c.promote("--dry-run")
	if code != 1 {
		t.Errorf("launcher promote --dry-run ended with %d", code)
	}
	for _, want := range []string{"3 thing(s) in the way", "WRONGPASS", c.servers()[0].name + " has no link to the external master", c.servers()[1].name + " has no link"} {
		if !strings.Contains(said, want) {
			t.Errorf("launcher promote --dry-run does not say %q:\n%s", want, said)
		}
	}
	if n := len(c.labelled("master")); n > 0 {
		t.Errorf("%d pods are labelled master", n)
	}
}

// The launcher of the chosen server stands still, and its Redis does not.
func TestPromotionThatDoesNotHappenIsTakenBack(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{servers: 2, sentinels: 1})
	chosen, other := c.servers()[0], c.servers()[1]
	launcher := chosen.current().command.Process
	if err := launcher.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = launcher.Signal(syscall.SIGCONT) })
	code, said := runOnce(t, other, 90*time.Second, other.environment(), "promote")
	t.Logf("launcher promote:\n%s", said)
	if code != 1 || !strings.Contains(said, "wait for "+chosen.name+" to become master") || !strings.Contains(said, "accepts writes again") {
		t.Errorf("launcher promote ended with %d", code)
	}
	if err := x.Set(t.Context(), "goes on", "value", 0).Err(); err != nil {
		t.Errorf("write to the external master: %v", err)
	}
	if err := launcher.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	throughout(t, 5*time.Second, "the release follows the external master", func() error { return c.followsExternal(x) })
}

// The successor is recorded and master, and its label cannot be written. What clients wrote to the external master from now on would be lost.
func TestPromotionThatIsNotSeenToHappenGoesOnHoldingWritesBack(t *testing.T) {
	t.Parallel()
	c, x := startFollowing(t, options{servers: 2, sentinels: 1})
	for _, p := range c.servers() {
		c.api.Deny(p.name, "patch", "pods")
	}
	code, said := c.promote()
	t.Logf("launcher promote:\n%s", said)
	if code != 1 || !strings.Contains(said, "the cut-over has happened") || strings.Contains(said, "accepts writes again") {
		t.Errorf("launcher promote ended with %d", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := x.Set(ctx, "late", "value", 0).Err(); err == nil {
		t.Error("the external master accepts writes")
	}
	for _, p := range c.servers() {
		c.api.Allow(p.name, "patch", "pods")
	}
	c.converge()
}

func TestReleaseFollowsAnEncryptedExternalMasterUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	x, ca := c.runEncryptedExternal()
	c.follow(x, "LAUNCHER_EXTERNAL_MASTER_TLS", "true", "LAUNCHER_EXTERNAL_MASTER_CA_FILE", ca)
	c.movesIn(x)
}

func TestEncryptedLinksToAnExternalMasterAreChecked(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{servers: 1, sentinels: 1})
	x := c.runExternal()
	c.options.serverEnvironment = map[string]string{
		"LAUNCHER_EXTERNAL_MASTER": x.address, "LAUNCHER_EXTERNAL_MASTER_PASS": externalPassword, "LAUNCHER_EXTERNAL_MASTER_TLS": "true",
	}
	p := c.addServer()
	p.run()
	// The external master speaks no TLS: the server does not follow it in the clear, and sends no password.
	eventually(t, settle, "a server that has no link", func() error {
		if reason := c.status(p).Reason; !strings.Contains(reason, "not connected to it") {
			return errors.New(reason)
		}
		return nil
	})
	throughout(t, 3*time.Second, "no link without encryption", func() error {
		if text := x.Info(t.Context(), "replication").Val(); !strings.Contains(text, "connected_slaves:0") {
			return errors.New(text)
		}
		return nil
	})
}
