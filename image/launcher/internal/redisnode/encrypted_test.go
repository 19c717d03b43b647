package redisnode

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// encryptedNode accepts connections with TLS and has serve answer them, one after the other.
func encryptedNode(t *testing.T, serve func(net.Conn)) *Node {
	t.Helper()
	secret := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	listener := secret.Listen(t)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serve(connection)
		}
	}()
	n := New(netip.MustParseAddrPort(listener.Addr().String()), "").Encrypted(secret.Client(t))
	t.Cleanup(n.Close)
	return n
}

// Sentinel ends all connections of a server that it re-points. The next command is sent over another connection, be it one that must not be sent
// twice.
func TestCommandIsSentAgainWhereTheNodeHadClosedTheEncryptedConnectionBefore(t *testing.T) {
	closed := make(chan bool)
	n := encryptedNode(t, func(connection net.Conn) {
		for in := bufio.NewReader(connection); ; {
			command, err := readCommand(in)
			if err == nil && strings.HasPrefix(command, "hello") {
				_, _ = io.WriteString(connection, "-ERR unknown command\r\n")
				continue
			}
			_, _ = io.WriteString(connection, "+OK\r\n")
			break
		}
		_ = connection.Close()
		closed <- true
	})
	for range 5 {
		require.NoError(t, n.Promote(t.Context()))
		<-closed
	}
}

func TestServerThatTakesNoMoreClientsIsAliveWhereItCannotSaySo(t *testing.T) {
	secret := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = plain.Close() })
	go func() {
		for {
			connection, err := plain.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
	n := New(netip.MustParseAddrPort(plain.Addr().String()), "").Encrypted(secret.Client(t))
	defer n.Close()
	_, err = n.Info(t.Context())
	require.ErrorIs(t, err, ErrFull)
	require.Equal(t, Answered, ReachOf(err))
}

// A busy Redis encrypts a connection as late as it answers.
func TestServerThatEncryptsLateIsAsked(t *testing.T) {
	n := encryptedNode(t, func(connection net.Conn) {
		time.Sleep(dialTimeout + 100*time.Millisecond)
		for in := bufio.NewReader(connection); ; {
			command, err := readCommand(in)
			answer := "+OK\r\n"
			if strings.HasPrefix(command, "hello") {
				answer = "-ERR unknown command\r\n"
			}
			if _, writeErr := io.WriteString(connection, answer); err != nil || writeErr != nil {
				return
			}
		}
	})
	require.NoError(t, n.Promote(t.Context()))
}

// A Redis that ends closes its connections, and then nobody listens any more.
func TestServerThatEndsIsNotTakenForOneThatTakesNoMoreClients(t *testing.T) {
	secret := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		connection, err := plain.Accept()
		_ = plain.Close()
		if err == nil {
			_ = connection.Close()
		}
	}()
	n := New(netip.MustParseAddrPort(plain.Addr().String()), "").Encrypted(secret.Client(t))
	defer n.Close()
	err = n.Promote(t.Context()) // Info would ask again by itself
	require.Equal(t, Refused, ReachOf(err), "%v", err)
}

func TestServerOfAnotherAuthorityIsNotTold(t *testing.T) {
	heard := make(chan error, 10)
	n := encryptedNode(t, func(connection net.Conn) {
		_, err := readCommand(bufio.NewReader(connection))
		heard <- err
		_ = connection.Close()
	})
	n.password = "secret"
	n.Encrypted(fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long).Client(t))
	_, err := n.Info(t.Context())
	require.ErrorContains(t, err, "signed by unknown authority")
	require.Equal(t, Unknown, ReachOf(err))
	require.Error(t, <-heard, "the password was sent")
}
