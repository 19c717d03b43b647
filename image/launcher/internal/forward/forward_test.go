package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers every line with itself until the test ends.
func echo(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, lines.Text())
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// freePort gives a port that nobody listens on.
func freePort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func dial(t *testing.T, port int) net.Conn {
	var conn net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil
	}, 5*time.Second, 10*time.Millisecond, "the forwarder listens")
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

func TestConnectionsReachTheTargetUntilTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	port, result := freePort(t), make(chan int, 1)
	target := echo(t)
	go func() {
		n, err := Listen(ctx, "127.0.0.1", port, target, nobody)
		if err != nil {
			n = -1
		}
		result <- n
	}()
	conn := dial(t, port)
	reader := bufio.NewReader(conn)
	for _, line := range []string{"one\n", "two\n"} {
		_, err := conn.Write([]byte(line))
		require.NoError(t, err)
		got, err := reader.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, line, got)
	}
	cancel()
	_, err := reader.ReadString('\n')
	require.Error(t, err, "the connection is closed at the end, so that the client connects anew")
	require.Equal(t, 1, <-result)
	_, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.Error(t, err, "nobody listens after the end")
}

func nobody(netip.Addr) bool { return false }

func TestConnectionOfOneThatMeansThisPodIsNotPassedOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	port, result := freePort(t), make(chan int, 1)
	target := echo(t)
	go func() {
		n, _ := Listen(ctx, "127.0.0.1", port, target, func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.7") })
		result <- n
	}()
	client := dial(t, port)
	sentinel, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}).Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	defer sentinel.Close()
	require.NoError(t, sentinel.SetDeadline(time.Now().Add(10*time.Second)))
	_, _ = sentinel.Write([]byte("REPLICAOF\n"))
	_, err = sentinel.Read(make([]byte, 1))
	require.Error(t, err, "nothing comes back")
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is closed")
	_, err = client.Write([]byte("GET\n"))
	require.NoError(t, err)
	got, err := bufio.NewReader(client).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "GET\n", got)
	cancel()
	require.Equal(t, 1, <-result)
}

func TestConnectionIsClosedWhenTheTargetRefuses(t *testing.T) {
	port := freePort(t)
	go func() {
		_, _ = Listen(t.Context(), "127.0.0.1", port, fmt.Sprintf("127.0.0.1:%d", freePort(t)), nobody)
	}()
	_, err := dial(t, port).Read(make([]byte, 1))
	require.Error(t, err)
}

func TestTakenPortIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, err = Listen(t.Context(), "127.0.0.1", listener.Addr().(*net.TCPAddr).Port, "127.0.0.1:1", nobody)
	require.ErrorContains(t, err, "in the place of redis-server")
}

// flaky is a listener without file descriptors for the first connections.
type flaky struct {
	net.Listener
	failures int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

func TestConnectionsArePassedOnAfterTheFileDescriptorsHadRunOut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	type end struct {
		n   int
		err error
	}
	ended := make(chan end, 1)
	go func() {
		n, err := accept(ctx, &flaky{Listener: listener, failures: 3}, echo(t), nobody)
		ended <- end{n, err}
	}()
	client := dial(t, listener.Addr().(*net.TCPAddr).Port)
	_, err = client.Write([]byte("PING\n"))
	require.NoError(t, err)
	got, err := bufio.NewReader(client).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "PING\n", got)
	cancel()
	require.Equal(t, end{1, nil}, <-ended, "the end of the context is no error")
}

func TestEndOfTheContextEndsAcceptingThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := accept(ctx, &flaky{Listener: listener, failures: 1 << 30}, "127.0.0.1:1", nobody)
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "accepting did not end within 10 s of its context")
	}
	_, err = net.Dial("tcp", listener.Addr().String())
	require.Error(t, err, "the listener is closed")
}
