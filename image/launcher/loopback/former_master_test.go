package loopback

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// lostPatience is how long a master that cannot be reached, and that no replica
// can replace, is waited for; see package role.
const lostPatience = 30 * time.Second

// former is a release whose master was replaced while it stood still. It has woken
// up, follows the present master and waits for a full copy that does not come.
type former struct {
	*cluster
	writer  *writer
	pod     *pod   // the former master
	present *pod   // the present master
	inSync  []*pod // the other servers
	woken   int    // how many writes had been acknowledged when it woke up
}

// startFormer makes such a release. The former master needs the copy for its own
// history: large writes wait in its sockets while it stands still, and with two servers
// the present master continues no history.
func startFormer(t *testing.T, servers int) *former {
	t.Helper()
	c := start(t, options{servers: servers, extraConfig: debugConfig(t), environment: map[string]string{"LAUNCHER_SHUTDOWN_BUDGET_SECONDS": "10"}})
	f := &former{cluster: c, writer: c.write()}
	f.writer.advance(200)
	f.pod = c.converge()
	send := c.queue(f.pod, 100)
	frozen := time.Now()
	f.pod.freeze()
	if servers > 2 {
		send() // its offset is the highest once it has carried them out
	}
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(f.pod) })
	f.findRoles()
	f.debug(f.present, "CONFIG", "SET", "repl-diskless-sync-delay", 3600)
	if servers == 2 {
		f.debug(f.present, "DEBUG", "CHANGE-REPL-ID")
	}
	f.writer.advance(300)
	time.Sleep(time.Until(frozen.Add(freezeFor))) // the sentinels find it down
	f.woken = f.writer.count()
	f.pod.thaw()
	eventually(t, settle, "the sentinels to know the former master as a replica without a link", f.known)
	f.writer.advance(300)
	return f
}

// beginCopy has the present master send the copy, so slowly that it does not end, and waits
// until the former master receives it.
func (f *former) beginCopy() {
	f.t.Helper()
	f.debug(f.present, "CONFIG", "SET", "rdb-key-save-delay", 1_000_000)
	f.debug(f.present, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
	eventually(f.t, settle, "the former master to receive a copy", func() error {
		text, err := f.client(f.pod).Info(f.t.Context(), "replication").Result()
		if err != nil {
			f.forgetClient(f.pod)
		} else if !strings.Contains(text, "master_sync_in_progress:1") {
			err = errors.New("it does not")
		}
		return err
	})
}

// findRoles finds the present master and the replicas that follow it.
func (f *former) findRoles() {
	t := f.t
	t.Helper()
	var err error
	if f.present, err = f.masterPod(); err != nil {
		t.Fatal(err)
	}
	f.inSync = slices.DeleteFunc(f.servers(), func(p *pod) bool { return p == f.pod || p == f.present })
	for _, p := range f.inSync {
		eventually(t, settle, p.name+" to be in sync with the new master", func() error {
			n, err := f.info(p)
			if err == nil && (!n.linkUp || n.master != f.present.ip) {
				err = fmt.Errorf("%+v", n)
			}
			return err
		})
	}
}

func (f *former) debug(p *pod, command ...any) {
	f.t.Helper()
	if err := f.client(p).Do(f.t.Context(), command...).Err(); err != nil {
		f.t.Fatalf("%v: %v", command, err)
	}
}

// known wants each sentinel to have asked the former master since it follows the present one.
func (f *former) known() error {
	for _, p := range f.sentinels() {
		reply, err := f.client(p).Do(f.t.Context(), "SENTINEL", "REPLICAS", "mymaster").Result()
		if err != nil {
			f.forgetClient(p)
			return err
		}
		found := slices.ContainsFunc(list(reply), func(entry any) bool {
			fields := pairs(entry)
			return fields["ip"] == f.pod.ip && fields["role-reported"] == "slave" && fields["master-host"] == f.present.ip && fields["master-link-status"] == "err"
		})
		if !found {
			return fmt.Errorf("sentinel %s knows %v", p.name, reply)
		}
	}
	return nil
}

// queue opens connections to a pod. Called, its result sends on each a write of 15 kB,
// what Redis reads at once, and waits for no answer.
func (c *cluster) queue(p *pod, connections int) (send func()) {
	c.t.Helper()
	var all []net.Conn
	for range connections {
		connection, err := net.DialTimeout("tcp", p.address(), time.Second)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = connection.Close() })
		if reply, err := ask(connection, bufio.NewReader(connection), "AUTH", c.password); err != nil || reply != "+OK" {
			c.t.Fatal(reply, err)
		}
		all = append(all, connection)
	}
	return func() {
		value := strings.Repeat("x", 15_000)
		for _, connection := range all {
			_ = connection.SetDeadline(time.Now().Add(time.Second))
			if _, err := fmt.Fprintf(connection, "*3\r\n$3\r\nSET\r\n$6\r\nqueued\r\n$%d\r\n%s\r\n", len(value), value); err != nil {
				c.t.Error(err)
			}
		}
	}
}

// serves wants one labelled master that accepts writes, and has not been there before.
func (f *former) serves(before string) (*pod, error) {
	p, err := f.masterPod()
	if err != nil {
		return nil, err
	}
	id := accepts(f.cluster, p)
	if id == "" || id == before {
		return nil, fmt.Errorf("%s does not accept writes in another process than before", p.name)
	}
	return p, f.checkLabels(p, "master", id) // a pod that passes connections on has another process at its address
}

// end ends the present master in one of the ways in which a master ends.
func (f *former) end(how string) {
	switch how {
	case "its Redis dies":
		f.present.killRedis()
	case "its container restarts":
		f.present.kill()
	case "its container dies for good":
		f.present.hold()
		f.present.kill()
	case "its pod is deleted":
		f.present.remove()
	}
}

// A former master keeps its own offset until its copy has come. It is not promoted
// for that: the replica in sync is, or the present master comes back.
func TestFormerMasterThatWaitsForItsCopyIsNotPromoted(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{2, 3} {
		for _, how := range []string{"its Redis dies", "its container restarts", "its container dies for good", "its pod is deleted"} {
			gone := how == "its container dies for good" || how == "its pod is deleted"
			if servers == 2 && gone {
				continue // see below
			}
			t.Run(fmt.Sprintf("%d servers, %s", servers, how), func(t *testing.T) {
				t.Parallel()
				f := startFormer(t, servers)
				before := f.runID(f.present)
				f.end(how)
				var successor *pod
				took := eventually(t, settle, "a master that accepts writes", func() (err error) {
					successor, err = f.serves(before)
					return err
				})
				t.Logf("%s accepts writes after %v", successor.name, took)
				if successor == f.pod {
					t.Errorf("the former master %s was promoted without the data", f.pod.name)
				}
				if servers == 3 && !slices.Contains(f.inSync, successor) {
					t.Errorf("%s is master, not the replica in sync", successor.name)
				}
				if how == "its pod is deleted" {
					f.addServer().run()
				} else {
					f.present.run()
				}
				f.debug(successor, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
				f.writer.advance(100)
				f.converge()
				f.requireNothingLostSinceItWoke()
			})
		}
	}
}

// The present master dies while it sends the copy. Redis drops what has come, and the former
// master tells its own offset again. It leaves the present master time to come back.
func TestFormerMasterWhoseCopyIsCutShortIsNotPromoted(t *testing.T) {
	t.Parallel()
	f := startFormer(t, 2)
	f.beginCopy()
	f.writer.advance(300)
	f.present.hold()
	f.present.kill()
	throughout(t, 10*time.Second, "the former master is a replica", func() error {
		n, err := f.info(f.pod)
		if err == nil && n.role != "slave" {
			err = fmt.Errorf("%s is %s", f.pod.name, n.role)
		}
		return err
	})
	f.present.run()
	f.writer.advance(100)
	f.converge()
	f.requireNothingLostSinceItWoke()
}

// requireNothingLostSinceItWoke wants all writes that were acknowledged after the former
// master had woken up, but for those on their way to the replicas when the present master ended.
func (f *former) requireNothingLostSinceItWoke() {
	f.t.Helper()
	f.writer.finish()
	if lost := f.missing(f.writer.acknowledged[f.woken:]); len(lost) > asyncTail {
		f.t.Errorf("%d of the writes acknowledged since the former master woke up are lost", len(lost))
	}
}

// With two servers nobody else is left when the present master is gone for good. The
// former master serves after the documented time, and says what it does not have.
func TestFormerMasterThatIsLeftAloneServesLateAndSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"its container dies for good", "its pod is deleted"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := startFormer(t, 2)
			begin := time.Now()
			go f.end(how)
			eventually(t, settle, "the end of the present master", func() error {
				if f.present.isRunning() {
					return errors.New("it runs")
				}
				return nil
			})
			ended := time.Now()
			t.Logf("the present master ended %v after it was told to", ended.Sub(begin))
			eventually(t, settle, "the former master to serve", func() error {
				p, err := f.serves("")
				if err == nil && p != f.pod {
					err = fmt.Errorf("%s serves", p.name)
				}
				return err
			})
			if took := time.Since(ended); how == "its container dies for good" && took < lostPatience-time.Second {
				t.Errorf("the former master served after %v, %v before its time", took, lostPatience-took)
			}
			for _, text := range []string{"acknowledged writes may be lost", "lacks what " + f.present.name} {
				if err := says(f.pod, text); err != nil {
					t.Error(err)
				}
			}
			if got := f.status(f.pod).Lacks; !strings.Contains(got, f.present.name) {
				t.Errorf("its status does not tell what it lacks: %q", got)
			}
			if code, text := runOnce(t, f.pod, 10*time.Second, f.pod.environment(), "status"); code != 0 || !strings.Contains(text, "lacks what "+f.present.name) {
				t.Errorf("launcher status (exit code %d) does not tell what it lacks:\n%s", code, text)
			}
		})
	}
}
