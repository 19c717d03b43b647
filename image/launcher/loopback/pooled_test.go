package loopback

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// pooled is one of the connections that a client keeps open: idle until redis
// ends it, then opened again through the Service of the master and used.
type pooled struct {
	closed   time.Time
	attempts []string      // what was answered to each write after that
	took     time.Duration // from the end of the connection to an acknowledged write
}

// dial opens a connection through the Service of the master and says who it is.
func (c *cluster) dial() (net.Conn, *bufio.Reader, error) {
	address, err := c.backend("master", "6379")
	if err != nil {
		return nil, nil, err
	}
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, nil, err
	}
	if encryption := c.encryption(); encryption != nil {
		connection = tls.Client(connection, encryption)
	}
	reader := bufio.NewReader(connection)
	if reply, err := ask(connection, reader, "AUTH", c.password); err != nil || reply != "+OK" {
		_ = connection.Close()
		return nil, nil, fmt.Errorf("authenticate: %q, %w", reply, err)
	}
	return connection, reader, nil
}

// ask sends a command and returns the first line of the answer.
func ask(connection net.Conn, reader *bufio.Reader, words ...string) (string, error) {
	command := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		command += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	_ = connection.SetDeadline(time.Now().Add(time.Second))
	if _, err := connection.Write([]byte(command)); err != nil {
		return "", err
	}
	reply, err := reader.ReadString('\n')
	return strings.TrimSuffix(reply, "\r\n"), err
}

// keepIdle opens a connection to the master. What becomes of it is delivered
// once a write is acknowledged again.
func (c *cluster) keepIdle(number int) <-chan pooled {
	c.t.Helper()
	connection, reader, err := c.dial()
	if err != nil {
		c.t.Fatal(err)
	}
	result := make(chan pooled, 1)
	c.t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(settle))
	go func() {
		_, _ = reader.ReadByte()
		_ = connection.Close()
		p := pooled{closed: time.Now()}
		for time.Since(p.closed) < settle {
			reply, err := "", error(nil)
			if connection, reader, err = c.dial(); err == nil {
				reply, err = ask(connection, reader, "SET", fmt.Sprintf("pooled:%d", number), "again")
				_ = connection.Close()
			}
			if err == nil {
				p.attempts = append(p.attempts, reply)
			}
			if reply == "+OK" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		p.took = time.Since(p.closed)
		result <- p
	}()
	return result
}

// A client with a pool does not notice that its master is none any more as long
// as it does not use its connections: they must be ended, and what it opens
// instead must lead to the new master.
func TestIdleConnectionsToAFormerMasterEndAndReachTheNewOne(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hand-over", "crash", "freeze"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := start(t, options{})
			c.fill(t, 100)
			old := c.converge()
			var pool []<-chan pooled
			for number := range 10 {
				pool = append(pool, c.keepIdle(number))
			}
			switch how {
			case "hand-over":
				old.remove()
				c.addServer().run()
			case "crash":
				old.killRedis()
			case "freeze":
				old.freezeRedis()
			}
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			if how == "freeze" {
				old.thawRedis()
			}
			there := time.Now()
			for number, result := range pool {
				select {
				case p := <-result:
					if number == 0 {
						t.Logf("the first ended %v after the new master was the only one, was acknowledged %v later: %v", p.closed.Sub(there), p.took, p.attempts)
					}
					if late := p.closed.Sub(there); late > 2*time.Second {
						t.Errorf("connection %d ended %v after there was another master", number, late)
					}
					// The new master may refuse with NOREPLICAS while its first replica changes sides.
					if slices.ContainsFunc(p.attempts, func(reply string) bool { return strings.HasPrefix(reply, "-READONLY") }) {
						t.Errorf("connection %d was opened again and reached a replica: %v", number, p.attempts)
					}
					if how != "crash" && p.took > 3*time.Second {
						t.Errorf("connection %d was of use again only after %v", number, p.took)
					}
				case <-time.After(settle):
					t.Fatalf("waited %v for connection %d to end and be opened again", settle, number)
				}
			}
			master := c.converge()
			if err := c.hasKeys(master, 110); err != nil {
				t.Errorf("a write went elsewhere: %v", err)
			}
		})
	}
}
