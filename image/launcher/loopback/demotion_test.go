package loopback

import (
	"bufio"
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
	_, old := c.write(), c.converge()
	idle, idleReader := c.session(old)
	stallUntil := c.stallAfterInfo(old)
	frozen := time.Now()
	old.freeze()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	time.Sleep(time.Until(frozen.Add(freezeFor))) // the claim is about a master that was replaced long ago
	old.thaw()
	stallUntil(`error="REPLICAOF at`)
	took := eventually(t, settle, "the connection of a client that does nothing to end", func() error {
		_ = idle.SetDeadline(time.Now().Add(2 * time.Second))
		if reply, err := ask(idle, idleReader, "PING"); err == nil {
			return fmt.Errorf("the former master answers it with %q", reply)
		}
		return nil
	})
	t.Logf("its connection ended %v later", took)
	c.converge()
}

// stallAfterInfo gives a function that stalls the Redis of a pod each time that it has
// answered INFO, until the launcher logs a text. The launcher looks before it acts, so what
// the stall delays is the order that follows a look.
func (c *cluster) stallAfterInfo(p *pod) (until func(text string)) {
	c.t.Helper()
	watch, watched := c.session(p)
	stall, stalled := c.session(p)
	send := func(connection net.Conn, command string) {
		_ = connection.SetDeadline(time.Now().Add(settle))
		if _, err := fmt.Fprintf(connection, "%s\r\n", command); err != nil {
			c.t.Fatal(err)
		}
	}
	return func(text string) {
		c.t.Helper()
		begin := time.Now()
		read := func(reader *bufio.Reader) string {
			line, err := reader.ReadString('\n')
			if err != nil {
				c.t.Fatalf("waited %v for %s to log %s: a connection to its Redis ended: %v", time.Since(begin), p.name, text, err)
			}
			return strings.ToLower(line)
		}
		send(watch, "MONITOR")
		for says(p, text) != nil {
			if !strings.Contains(read(watched), `"info"`) {
				continue
			}
			send(stall, "DEBUG SLEEP 1.5")
			read(stalled)
			for watched.Buffered() > 0 {
				read(watched) // Redis has answered what came during the stall
			}
		}
		_, _ = watch.Close(), stall.Close()
	}
}
