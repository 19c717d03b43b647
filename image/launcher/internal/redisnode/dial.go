package redisnode

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// greeting is the connection to a node. A node that takes no more clients says so before
// it has been asked anything, and closes the connection; the client library would tell
// only of the closed connection.
type greeting struct {
	*net.TCPConn
	heard bool // the node has said something
}

// Read gives ErrFull in the place of the node's refusal.
func (g *greeting) Read(b []byte) (int, error) {
	n, err := g.TCPConn.Read(b)
	if !g.heard && n > 0 {
		g.heard = true
		if bytes.HasPrefix(b[:n], []byte("-ERR max number of clients")) {
			return 0, ErrFull
		}
	}
	return n, err
}

// errClosed says that a connection had ended before a command was sent, so that any command can be sent again.
var errClosed = errors.New("the node has closed the connection")

// encrypted is the encrypted connection to a node. The client library notices that a plain connection has ended before it sends a command,
// and does not look at encrypted ones.
type encrypted struct {
	*tls.Conn
	raw *net.TCPConn
}

// Write gives errClosed in the place of sending anything if the node has closed the connection.
func (e *encrypted) Write(b []byte) (int, error) {
	if hungUp(e.raw) {
		return 0, errClosed
	}
	return e.Conn.Write(b)
}

// hungUp says whether the other side has closed a connection, whatever it has sent before.
func hungUp(connection *net.TCPConn) (closed bool) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		_, _ = unix.Poll(asked, 0) // after an error nothing is known, as if nothing had happened
		closed = asked[0].Revents != 0
	})
	return closed || err != nil
}

// dialLimit is how long a connection may take until commands can be sent. The kernel makes a plain connection, and the node itself encrypts one:
// that is as slow as an answer.
func dialLimit(encryption *tls.Config) time.Duration {
	if encryption == nil {
		return dialTimeout
	}
	return callTimeout
}

// dial connects to a node within the time that ctx leaves, and encrypts the connection unless encryption is nil.
func dial(ctx context.Context, network, address string, encryption *tls.Config) (net.Conn, error) {
	connection, err := connect(ctx, network, address, encryption)
	if encryption != nil && ended(err) {
		// A Redis that takes no more clients ends an encrypted connection before it has said anything, and so does a Redis that ends. The
		// latter refuses the next connection.
		connection, err = connect(ctx, network, address, encryption)
		if ended(err) {
			return nil, fmt.Errorf("%w (the server ended the connection before it was encrypted: %w)", ErrFull, err)
		}
	}
	return connection, err
}

func connect(ctx context.Context, network, address string, encryption *tls.Config) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Second}
	connection, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := connection.(*net.TCPConn)
	if !ok {
		return connection, nil
	}
	if encryption == nil {
		return &greeting{TCPConn: tcp}, nil
	}
	secured := tls.Client(connection, encryption)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = connection.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: connection.RemoteAddr(), Err: fmt.Errorf("encrypt the connection: %w", err)}
	}
	return &encrypted{Conn: secured, raw: tcp}, nil
}
