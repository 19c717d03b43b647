package loopback

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// network is 127.a.b.0/24. Its first address is bound as a claim, so that
// tests of other processes on the same machine choose another one.
type network struct {
	prefix string
	next   atomic.Int32
}

// claimNetwork takes a free network until the end of the test.
func claimNetwork(t testing.TB) *network {
	t.Helper()
	for range 200 {
		prefix := fmt.Sprintf("127.%d.%d.", 16+rand.IntN(200), rand.IntN(256))
		claim, err := net.Listen("tcp", prefix+"1:6440")
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = claim.Close() })
		n := &network{prefix: prefix}
		n.next.Store(9)
		return n
	}
	t.Fatal("no free network 127.a.b.0/24 in 200 tries")
	return nil
}

// address returns an address that no pod of the network has had before.
func (n *network) address() string { return fmt.Sprintf("%s%d", n.prefix, n.next.Add(1)) }

// service forwards connections to an address of the network to whatever
// backend picks at that moment, as a Kubernetes Service does.
func (n *network) service(t testing.TB, address string, backend func() (string, error)) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listen as a Service: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go forward(client, backend)
			}
		}
	}()
}

func forward(client net.Conn, backend func() (string, error)) {
	defer client.Close()
	address, err := backend()
	if err != nil {
		return
	}
	server, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}
