package loopback

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// session opens a connection to one pod and proves the password.
func (c *cluster) session(p *pod) (net.Conn, *bufio.Reader) {
	c.t.Helper()
	connection, err := net.DialTimeout("tcp", p.address(), time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	if encryption := c.encryption(); encryption != nil {
		connection = tls.Client(connection, encryption)
	}
	c.t.Cleanup(func() { _ = connection.Close() })
	reader := bufio.NewReader(connection)
	if reply, err := ask(connection, reader, "AUTH", c.password); err != nil || reply != "+OK" {
		c.t.Fatal(reply, err)
	}
	return connection, reader
}

// A master that wakes up replaced is busy, and the answer to the order to follow the
// present master comes late. The order is carried out all the same, and so is what
// follows it: clients that kept their connections must come to the present master.
func TestClientsOfAMasterAreDroppedHoweverLateItsDemotionIs(t *testing.T) {
	t.Parallel()
	c := withDebug(t)
	const attempts = 5
	for range attempts {
		_, old := c.write(), c.converge()
		idle, idleReader := c.session(old)
		stall := c.stallAfterInfo(old)
		frozen := time.Now()
		old.freeze()
		eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
		time.Sleep(time.Until(frozen.Add(freezeFor))) // the claim is about a master that was replaced long ago
		old.thaw()
		if !stall(`error="REPLICAOF at`) {
			continue
		}
		took := eventually(t, settle, "the connection of a client that does nothing to end", func() error {
			_ = idle.SetDeadline(time.Now().Add(2 * time.Second))
			if reply, err := ask(idle, idleReader, "PING"); err == nil {
				return fmt.Errorf("the former master answers it with %q", reply)
			}
			return nil
		})
		t.Logf("its connection ended %v later", took)
		c.converge()
		return
	}
	t.Fatalf("the answer to the order was in time in %d attempts", attempts)
}

// stallAfterInfo gives a function that stalls the Redis of a pod each time that it has
// answered INFO, until the launcher logs a text. The launcher looks before it acts, so what
// the stall delays is the order that follows a look. The function returns false when the
// order came between two stalls, and the connections ended.
func (c *cluster) stallAfterInfo(p *pod) (until func(text string) bool) {
	c.t.Helper()
	watch, watched := c.session(p)
	stall, stalled := c.session(p)
	send := func(connection net.Conn, command string) {
		_ = connection.SetDeadline(time.Now().Add(settle))
		_, _ = fmt.Fprintf(connection, "%s\r\n", command) // reading tells whether the connection has ended
	}
	return func(text string) bool {
		c.t.Helper()
		defer func() { _, _ = watch.Close(), stall.Close() }()
		begin := time.Now()
		send(watch, "MONITOR")
		for says(p, text) != nil {
			if time.Since(begin) > settle {
				c.t.Fatalf("waited %v for %s to log %s", time.Since(begin), p.name, text)
			}
			line, err := watched.ReadString('\n')
			if err != nil {
				return says(p, text) == nil
			}
			if !strings.Contains(strings.ToLower(line), `"info"`) {
				continue
			}
			send(stall, "DEBUG SLEEP 1.5")
			if _, err := stalled.ReadString('\n'); err != nil {
				return says(p, text) == nil
			}
			for watched.Buffered() > 0 {
				_, _ = watched.ReadString('\n') // Redis has answered what came during the stall
			}
		}
		return true
	}
}
