package loopback

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// What people and machines do to a release beside crashes.

func TestReplicaPromotedByHandIsNeverLabelledMaster(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	master := c.converge()
	slave := c.slavesOf(master)[0]
	if err := c.client(slave).SlaveOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, settle, "the promoted replica to be a slave of the master again", func() error {
		for _, p := range c.labelled("master") {
			if p == slave {
				t.Fatalf("%s was promoted by hand and is labelled master", slave.name)
			}
		}
		return c.checkSettled()
	})
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	c.requireKeys(100)
}

func TestSentinelThatWasResetDoesNotPreventAFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 100)
	old := c.converge()
	if err := c.client(c.sentinels()[0]).Do(t.Context(), "SENTINEL", "RESET", "mymaster").Err(); err != nil {
		t.Fatal(err)
	}
	old.hold()
	old.kill()
	took := eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	old.run()
	c.converge()
	c.requireKeys(100)
}

// A sentinel that stood still for 3 s is in TILT: it takes commands and obeys
// some seconds later, when there has been a failover.
func TestSentinelsInTILTDoNotDelayAFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	old, epoch := c.converge(), c.epoch()
	tilted := c.sentinels()[:2] // of three, so that one of them would most likely be told
	for _, p := range tilted {
		p.freezeRedis()
	}
	time.Sleep(3 * time.Second) // the length makes the TILT
	for _, p := range tilted {
		p.thawRedis()
	}
	woke := time.Now()
	inTILT := func(wanted string) func() error {
		return func() error {
			for _, p := range tilted {
				text, err := c.client(p).Info(t.Context(), "sentinel").Result()
				if err != nil || !strings.Contains(text, "sentinel_tilt:"+wanted) {
					return fmt.Errorf("%s: no sentinel_tilt:%s in %s (%v)", p.name, wanted, text, err)
				}
			}
			return nil
		}
	}
	eventually(t, settle, "TILT", inTILT("1"))
	eventually(t, settle, "the sentinels in TILT to know a replica that can be promoted", func() error {
		for _, p := range tilted {
			if err := c.knowsFreshReplica(p); err != nil {
				return err
			}
		}
		return nil
	})
	old.killRedis()
	took := eventually(t, 20*time.Second, "another master", func() error { return c.checkMasterIsNot(old) })
	t.Logf("another pod was labelled after %v", took)
	w.advance(100)
	eventually(t, time.Until(woke.Add(20*time.Second)), "the end of the TILT, which is 30 s after the waking by Sentinel's own measure", inTILT("0"))
	master := c.converge()
	throughout(t, 5*time.Second, "the sentinels that were in TILT replace nobody", func() error {
		now, err := c.masterPod()
		if err == nil && now != master {
			err = fmt.Errorf("%s is master", now.name)
		}
		return err
	})
	c.requireOneFailover(epoch)
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(15 * time.Second)
}

// knowsFreshReplica wants a sentinel that would not refuse a failover for want
// of a replica of which it has heard lately.
func (c *cluster) knowsFreshReplica(p *pod) error {
	client := redis.NewSentinelClient(clientOptions(p.address(), c.password))
	defer client.Close()
	replicas, err := client.Replicas(c.t.Context(), "mymaster").Result()
	if err != nil {
		return err
	}
	for _, r := range replicas {
		age, err := strconv.Atoi(r["info-refresh"])
		if r["flags"] == "slave" && err == nil && age < 1000 {
			return nil
		}
	}
	return fmt.Errorf("%s has heard of none of %v lately", p.name, replicas)
}

// A server of somebody else has the address of a pod that is gone. Sentinel would
// make it a replica after eight seconds, which empties it; a password that
// differs keeps it from that, and without one the launchers do.
func TestForeignRedisOnAFormerAddressIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, passwords := range map[string]struct {
		none bool
		its  string
	}{"with another password": {its: "of another release"}, "without passwords": {none: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, options{noPassword: passwords.none})
			master := c.converge()
			gone := c.slavesOf(master)[0]
			gone.remove()
			foreign := exec.Command("redis-server", "--bind", gone.ip, "--port", "6379", "--protected-mode", "no", "--requirepass", passwords.its, "--save", "", "--dir", t.TempDir())
			if err := foreign.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = foreign.Process.Kill(); _ = foreign.Wait() })
			client := redis.NewClient(clientOptions(gone.ip+":6379", passwords.its))
			defer client.Close()
			eventually(t, settle, "the foreign redis", func() error { return client.Set(t.Context(), "foreign", "data", 0).Err() })
			c.addServer().run()
			throughout(t, 15*time.Second, "the foreign redis stays a master with its data", func() error {
				value, err := client.Get(t.Context(), "foreign").Result()
				if err != nil || value != "data" {
					return fmt.Errorf("its key is %q, %v", value, err)
				}
				role, err := client.Do(t.Context(), "ROLE").Slice()
				if err == nil && role[0] != "master" {
					err = fmt.Errorf("it is %v", role)
				}
				return err
			})
			if now := c.converge(); now != master {
				t.Errorf("the master moved from %s to %s", master.name, now.name)
			}
		})
	}
}

func TestMasterThatLoadsSlowlyIsWaitedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "redis.conf")
	// 20000 keys take 6 s, twice Sentinel's down-after. Redis answers LOADING
	// after every 1024 commands of an append-only file, here every 0.3 s.
	if err := os.WriteFile(file, []byte("key-load-delay 300\nmaxmemory 64mb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, options{servers: 1, extraConfig: file})
	c.fill(t, 20000)
	only := c.servers()[0]
	only.kill()
	eventually(t, settle, "the restarted launcher", func() error {
		if only.restartCount() != 1 {
			return fmt.Errorf("%d restarts", only.restartCount())
		}
		return answers(only, "/livez")
	})
	loading := false
	eventually(t, settle, "redis to have loaded its data", func() error {
		if err := answers(only, "/livez"); err != nil {
			t.Errorf("it would be killed while it loads: %v", err)
		}
		_, err := c.info(only)
		loading = loading || err != nil
		return err
	})
	if !loading {
		t.Error("redis loaded too quickly for this test")
	}
	c.converge()
	c.requireKeys(20000)
	if only.restartCount() != 1 {
		t.Errorf("the container was restarted %d times", only.restartCount())
	}
	if value, err := c.client(only).ConfigGet(t.Context(), "maxmemory").Result(); err != nil || value["maxmemory"] != "67108864" {
		t.Errorf("maxmemory is %v (%v), not the user's", value, err)
	}
}

func TestReleaseOfTwoServersWritesAfterLosingOne(t *testing.T) {
	t.Parallel()
	c := start(t, options{servers: 2})
	w := c.write()
	w.advance(100)
	old := c.converge()
	old.hold()
	old.kill()
	eventually(t, settle, "the other server to be master", func() error { return c.checkMasterIsNot(old) })
	w.advance(100) // although the new master has no replica
	old.run()
	c.converge()
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(20 * time.Second)
}

func TestMasterThatLostBothSlavesWritesAgain(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	w := c.write()
	master := c.converge()
	slaves := c.slavesOf(master)
	for _, p := range slaves {
		p.hold()
		p.kill()
	}
	w.advance(300)
	for _, p := range slaves {
		p.run()
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	w.requireNothingLost()
	w.requireGapBelow(10 * time.Second)
}

// The slave that was just restarted without data must not win against the one
// that has them.
func TestEmptySlaveIsNotPromoted(t *testing.T) {
	t.Parallel()
	c := start(t, options{noPersistence: true})
	c.fill(t, 500)
	master := c.converge()
	emptied := c.slavesOf(master)[0]
	if err := c.client(master).ConfigSet(t.Context(), "repl-diskless-sync-delay", "3600").Err(); err != nil {
		t.Fatal(err)
	}
	emptied.kill()
	eventually(t, settle, "the slave to run again, without data", func() error {
		state, err := c.info(emptied)
		if err == nil && (state.keys != 0 || state.linkUp || state.master != master.ip) {
			err = fmt.Errorf("%+v", state)
		}
		return err
	})
	master.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(master) })
	c.converge()
	c.requireKeys(500)
}

// The sentinels know a slave for up to a second for what it was. One whose Redis has
// died since, and has lost its data with that, is the best choice of all to them.
func TestSlaveThatHasJustDiedIsNotPromotedForWhatItHad(t *testing.T) {
	for _, before := range []time.Duration{60 * time.Millisecond, 120 * time.Millisecond, 180 * time.Millisecond, 240 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(before.String(), func(t *testing.T) {
			t.Parallel()
			c := start(t, options{noPersistence: true})
			c.fill(t, 500)
			master := c.converge()
			if err := c.client(master).ConfigSet(t.Context(), "repl-diskless-sync-delay", "3600").Err(); err != nil {
				t.Fatal(err)
			}
			preferred := slices.MinFunc(c.slavesOf(master), func(a, b *pod) int { return strings.Compare(c.runID(a), c.runID(b)) })
			preferred.killRedis()
			time.Sleep(before) // neither it nor the sentinels show whom they would promote by then
			master.killRedis()
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(master) })
			c.converge()
			c.requireKeys(500)
		})
	}
}

// runID tells the run ID by which Sentinel chooses among slaves that hold as much.
func (c *cluster) runID(p *pod) string {
	c.t.Helper()
	state, err := c.info(p)
	if err != nil {
		c.t.Fatal(err)
	}
	return state.runID
}

// awaitLine waits until the output of a pod has a text, and looks so often that the test can act
// within a few milliseconds.
func awaitLine(t *testing.T, p *pod, text string) {
	t.Helper()
	for began := time.Now(); says(p, text) != nil; time.Sleep(time.Millisecond) {
		if time.Since(began) > settle {
			t.Fatalf("waited %v for %s to say %q", settle, p.name, text)
		}
	}
}

// The launcher dies before the sentinels have voted for it, and after that. Sentinels that have voted
// begin no failover of their own for a while, so a replica has the master replaced.
func TestLauncherKilledInTheMiddleOfAHandOverLeavesOneMaster(t *testing.T) {
	t.Parallel()
	for moment, c := range map[string]struct{ elected, comesBack bool }{
		"before the votes":                   {false, true},
		"after the votes":                    {true, true},
		"after the votes, and it stays away": {true, false},
	} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			elected, comesBack := c.elected, c.comesBack
			c, w, old := startWritten(t, options{})
			c.api.SetLatency(500 * time.Millisecond) // between the decision to hand over and the votes
			process := old.expectExit()
			if err := process.signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			awaitLine(t, old, "can take over")
			slaves := c.slavesOf(old)
			if elected {
				// A replica that stands still does not catch up, so nobody is promoted yet.
				for _, p := range slaves {
					p.freezeRedis()
				}
				awaitLine(t, old, "elected to hand over")
			}
			if !comesBack {
				old.hold()
			}
			old.kill()
			c.api.SetLatency(0)
			if elected {
				for _, p := range slaves {
					p.thawRedis()
				}
			}
			for _, p := range slaves {
				if says(p, "MASTER MODE enabled") == nil {
					t.Errorf("%s was promoted before the launcher was killed", p.name)
				}
			}
			w.advance(200)
			if !comesBack {
				acts := func(p *pod) bool { return says(p, "nothing listens in the pod of the master") == nil }
				if !slices.ContainsFunc(slaves, acts) {
					t.Error("no replica has had the master replaced")
				}
				old.run()
			}
			c.converge()
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(10 * time.Second)
		})
	}
}

func TestTERMBeforeThereIsAMasterEndsAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	server, sentinel := c.addServer(), c.addSentinel()
	for _, p := range []*pod{server, sentinel} {
		p.run()
		eventually(t, settle, "the launcher to look for its role", func() error { return says(p, "decided") })
		p.hold()
		if took := p.stop(); took > 5*time.Second {
			t.Errorf("%s ended %v after TERM", p.name, took)
		}
	}
	if written := c.api.Writes(c.born); len(c.labelled("master")) > 0 {
		t.Errorf("a pod is labelled master: %v", written)
	}
}

func TestHTTPServerAnswersWhatTheProbesAsk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	server := c.addServer()
	server.run()
	eventually(t, settle, "liveness before there is a role", func() error { return answers(server, "/livez") })
	if err := ready(server); err == nil {
		t.Error("a server without a role is ready")
	}
	for range 2 {
		c.addServer().run()
	}
	for range 3 {
		c.addSentinel().run()
	}
	c.converge()
	for _, p := range c.all() {
		eventually(t, settle, "readiness", func() error { return ready(p) })
	}
	if _, err := net.DialTimeout("tcp", c.network.prefix+"250:8080", time.Second); err == nil {
		t.Error("a launcher listens on more than its own address")
	}
}
