package loopback

import (
	"bufio"
	"fmt"
	"net"
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
	stall, stallReader := c.session(old)
	sleep := func(seconds string) {
		_ = stall.SetDeadline(time.Now().Add(settle))
		if _, err := fmt.Fprintf(stall, "*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$%d\r\n%s\r\n", len(seconds), seconds); err != nil {
			t.Error(err)
		}
	}
	frozen := time.Now()
	old.freeze()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	time.Sleep(time.Until(frozen.Add(freezeFor))) // the claim is about a master that was replaced long ago
	sleep("0.9")
	old.thaw()
	for begin := time.Now(); says(old, `error="REPLICAOF at`) != nil; {
		if time.Since(begin) > settle {
			t.Fatalf("waited %v for an order to %s whose answer is late", settle, old.name)
		}
		if _, err := stallReader.ReadString('\n'); err != nil {
			t.Fatalf("the stalling connection ended too soon: %v", err)
		}
		time.Sleep(2 * time.Millisecond) // time for the order to come between two commands
		sleep("0.9")
	}
	_ = stall.Close()
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
