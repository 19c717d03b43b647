package loopback

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// idleClient opens a connection to a pod's redis, sends one command and then
// only listens. The channel is closed when redis ends the connection.
func idleClient(t *testing.T, c *cluster, p *pod) <-chan struct{} {
	t.Helper()
	connection, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if _, err := fmt.Fprintf(connection, "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(c.password), c.password); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, connection)
		close(closed)
	}()
	return closed
}

// Sentinel replaces a master that it cannot reach; here the frozen one wakes
// up as a slave, and its clients must not stay with it.
func TestClientsOfADemotedMasterAreDisconnected(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	old := c.converge()
	closed := idleClient(t, c, old)
	old.freezeRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	old.thawRedis()
	eventually(t, settle, "the end of a connection to the demoted master", func() error {
		select {
		case <-closed:
			return nil
		default:
			return fmt.Errorf("the connection is still open")
		}
	})
	c.converge()
}

func TestClientsOfASlaveStayConnectedThroughAFailover(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	old := c.converge()
	if err := c.client(old).ConfigSet(t.Context(), "repl-backlog-size", "10mb").Err(); err != nil {
		t.Fatal(err)
	}
	old.remove()
	c.addServer().run()
	master := c.converge()
	closed := idleClient(t, c, c.slavesOf(master)[0])
	throughout(t, 3*time.Second, "a client of a slave stays connected in a converged release", func() error {
		select {
		case <-closed:
			return fmt.Errorf("the connection was closed")
		default:
			return nil
		}
	})
}

func TestSentinelClientFollowsTheMaster(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	var addresses []string
	for _, p := range c.sentinels() {
		addresses = append(addresses, p.address())
	}
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "mymaster", SentinelAddrs: addresses, SentinelPassword: c.password, Password: c.password,
		DialTimeout: time.Second, ReadTimeout: time.Second, Protocol: 2,
	})
	defer client.Close()
	set := func(value string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return client.Set(ctx, "followed", value, 0).Err()
	}
	eventually(t, settle, "a write through the Sentinel client", func() error { return set("before") })
	old := c.converge()
	old.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	eventually(t, settle, "a write after the failover", func() error { return set("after") })
	master := c.converge()
	if value, err := c.client(master).Get(t.Context(), "followed").Result(); err != nil || value != "after" {
		t.Errorf("the master has %q, %v", value, err)
	}
}

// hook is a webhook receiver.
type hook struct {
	mu     sync.Mutex
	bodies []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, r.Method+" "+r.Header.Get("Content-Type")+" "+string(body))
}

func (h *hook) received(text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.bodies {
		if strings.Contains(body, text) {
			return nil
		}
	}
	return fmt.Errorf("%d calls without %q: %v", len(h.bodies), text, h.bodies)
}

func TestFailoverIsToldToEventsAndTheWebhook(t *testing.T) {
	t.Parallel()
	receiver := &hook{}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	c := start(t, options{webhook: server.URL + "/notify"})
	old := c.converge()
	old.freezeRedis() // a dead one would be replaced before the sentinels find it down
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	for _, event := range []string{"+sdown", "+odown", "+switch-master"} {
		eventually(t, settle, "a webhook call and an Event for "+event, func() error {
			if err := receiver.received(event); err != nil {
				return err
			}
			for _, e := range c.api.Events() {
				if strings.Contains(e.Message, event) || strings.Contains(e.Reason, event) {
					return nil
				}
			}
			return fmt.Errorf("no Event among %d", len(c.api.Events()))
		})
	}
	old.thawRedis()
	c.converge()
	c.requireOneSwitchTold()
	for _, body := range receiver.bodies {
		if strings.Contains(body, c.password) {
			t.Error("a webhook call contains the password")
		}
	}
}
