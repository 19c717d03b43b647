package loopback

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// hungAfter is how long redis-server may not answer before the kubelet restarts the
// container; see package agent.
const hungAfter = 60 * time.Second

// crowd are clients that take every connection that a Redis gives.
type crowd struct {
	address, password string
	encryption        *tls.Config // nil: the connections are plain

	mu   sync.Mutex
	open map[net.Conn]bool
}

// crowd sends many clients to a pod, until ctx ends.
func (c *cluster) crowd(ctx context.Context, p *pod, clients int) {
	all := &crowd{address: p.address(), password: c.password, encryption: c.encryption(), open: map[net.Conn]bool{}}
	for range clients {
		go func() {
			for ctx.Err() == nil {
				all.stay(ctx)
				time.Sleep(time.Millisecond) // between two attempts to connect
			}
		}()
	}
}

// stay holds one connection until it ends.
func (a *crowd) stay(ctx context.Context) {
	connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return
	}
	if a.encryption != nil {
		connection = tls.Client(connection, a.encryption)
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	reader := bufio.NewReader(connection)
	if _, err := ask(connection, reader, "AUTH", a.password); err != nil {
		return
	}
	_ = connection.SetDeadline(time.Time{})
	_, _ = reader.ReadString('\n')
}

// endLaunchersConnections ends the connections that launchers have to a Redis.
func (c *cluster) endLaunchersConnections(own net.Conn, reader *bufio.Reader) error {
	_ = own.SetDeadline(time.Now().Add(time.Second))
	header, err := ask(own, reader, "CLIENT", "LIST", "TYPE", "normal")
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(strings.TrimPrefix(header, "$"))
	if err != nil {
		return fmt.Errorf("CLIENT LIST: %q %w", header, err)
	}
	text := make([]byte, size+2)
	if _, err := io.ReadFull(reader, text); err != nil {
		return err
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if !slices.Contains(fields, "name=") || !slices.Contains(fields, "cmd=info") {
			continue
		}
		if _, err := ask(own, reader, "CLIENT", "KILL", "ID", strings.TrimPrefix(fields[0], "id=")); err != nil {
			return err
		}
	}
	return nil
}

// A Redis that has as many clients as it takes refuses its launcher as well, once that
// has lost its connection. It is alive: the kubelet must not restart it, nor may another
// server be promoted for it.
func TestMasterThatTakesNoMoreClientsLives(t *testing.T) {
	t.Parallel()
	masterThatTakesNoMoreClientsLives(t, options{extraConfig: config(t, "maxclients 60")})
}

// An encrypted Redis refuses connections before they are encrypted, so it cannot say why.
func TestEncryptedMasterThatTakesNoMoreClientsLives(t *testing.T) {
	t.Parallel()
	masterThatTakesNoMoreClientsLives(t, options{
		extraConfig: config(t, "maxclients 60"), secret: fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long),
	})
}

func masterThatTakesNoMoreClientsLives(t *testing.T, o options) {
	t.Helper()
	c := start(t, o)
	master := c.converge()
	own, reader := c.session(master)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.crowd(ctx, master, 120)
	history := len(c.api.RoleChanges())
	eventually(t, settle, "the launcher to be refused", func() error {
		// A failover ends the launcher's connections, too. Sentinels and replicas keep theirs here.
		if err := c.endLaunchersConnections(own, reader); err != nil {
			return err
		}
		return says(master, "maxclients")
	})
	refused := time.Now()
	throughout(t, hungAfter+5*time.Second, "the master is alive and ready", func() error {
		if err := answers(master, "/livez"); err != nil {
			return err
		}
		return ready(master)
	})
	t.Logf("refused for %v", time.Since(refused))
	for _, change := range c.api.RoleChanges()[history:] {
		if change.Role == "master" && change.Pod != master.name {
			t.Errorf("another server was promoted: %v", change)
		}
	}
	cancel()
	c.converge()
}
