package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers every line with itself until the test ends.
func echo(t *testing.T) string { return slow(t, 0) }

// slow answers every line with itself, after a time, until the test ends.
func slow(t *testing.T, after time.Duration) string {
	listener, _ := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					time.Sleep(after)
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

// started passes connections on to a target. accepted ends that, and returns its error.
func started(t *testing.T, listener net.Listener, target string, foreign func(netip.Addr) bool) (f *Forwarder, accepted func() error) {
	f = newForwarder(listener, target, foreign)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- f.Accept(ctx) }()
	accepted = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() {
		_ = accepted()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		f.End(over)
	})
	return f, accepted
}

// listen takes connections on a port of its own.
func listen(t *testing.T) (listener net.Listener, port int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener, listener.Addr().(*net.TCPAddr).Port
}

// says sends a line and expects it back.
func says(t *testing.T, conn net.Conn, reader *bufio.Reader, line string) {
	t.Helper()
	_, err := conn.Write([]byte(line))
	require.NoError(t, err)
	got, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, line, got)
}

func TestConnectionsReachTheTargetUntilTheEnd(t *testing.T) {
	listener, port := listen(t)
	f, accepted := started(t, listener, echo(t), nobody)
	conn := dial(t, port)
	reader := bufio.NewReader(conn)
	says(t, conn, reader, "one\n")
	require.NoError(t, accepted())
	_, err := net.Dial("tcp", listener.Addr().String())
	require.Error(t, err, "the port is free for Redis")
	says(t, conn, reader, "two\n")
	go f.End(t.Context())
	_, err = reader.ReadString('\n')
	require.ErrorIs(t, err, io.EOF, "the connection is closed at the end, so that the client connects anew")
	require.Equal(t, 1, f.Passed())
}

// Thousands of clients that come back at once would keep the master from answering anybody.
func TestConnectionsEndOneAfterTheOther(t *testing.T) {
	const connections = 40
	listener, port := listen(t)
	f, accepted := started(t, listener, echo(t), nobody)
	ended := make(chan time.Time, connections)
	for range connections {
		conn := dial(t, port)
		reader := bufio.NewReader(conn)
		says(t, conn, reader, "one\n")
		go func() {
			_, _ = reader.ReadString('\n')
			ended <- time.Now()
		}()
	}
	require.NoError(t, accepted())
	began := time.Now()
	f.End(t.Context())
	require.GreaterOrEqual(t, time.Since(began), connections*endEvery)
	var times []time.Time
	for range connections {
		times = append(times, <-ended)
	}
	slices.SortFunc(times, time.Time.Compare)
	require.GreaterOrEqual(t, times[connections-1].Sub(times[0]), connections*endEvery/2)
}

func TestConnectionsThatAreLeftEndWithTheContext(t *testing.T) {
	const connections = 20
	listener, port := listen(t)
	f, accepted := started(t, listener, echo(t), nobody)
	for range connections {
		conn := dial(t, port)
		says(t, conn, bufio.NewReader(conn), "one\n")
	}
	require.NoError(t, accepted())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.End(ctx)
	require.Empty(t, f.now())
}

// A container may have few file descriptors, and thousands of clients come at once.
func TestPassedConnectionHoldsTwoFileDescriptors(t *testing.T) {
	const connections = 50
	listener, port := listen(t)
	started(t, listener, echo(t), nobody)
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := open()
	for range connections {
		conn := dial(t, port)
		says(t, conn, bufio.NewReader(conn), "one\n")
	}
	// Each client and each answer of echo has one, too, as they are in this process.
	require.LessOrEqual(t, open()-before, 4*connections+10)
}

// Large values pass whole, in both directions.
func TestLargeValuesArePassedOn(t *testing.T) {
	listener, port := listen(t)
	started(t, listener, slow(t, 0), nobody)
	conn := dial(t, port)
	line := strings.Repeat("x", 60<<10) + "\n"
	for range 3 {
		says(t, conn, bufio.NewReader(conn), line)
	}
}

// A client that sees its connection end before the answer does not know whether its write was carried out.
func TestConnectionEndsAfterTheAnswerToItsLastCommand(t *testing.T) {
	listener, port := listen(t)
	f, accepted := started(t, listener, slow(t, answerTime/2), nobody)
	conn := dial(t, port)
	reader := bufio.NewReader(conn)
	says(t, conn, reader, "one\n")
	require.NoError(t, accepted())
	_, err := conn.Write([]byte("two\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return owesAnswer(f.now()[0].client) }, 10*time.Second, time.Millisecond, "the command has arrived")
	go f.End(t.Context())
	got, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "two\n", got)
	_, err = reader.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
}

func nobody(netip.Addr) bool { return false }

func TestConnectionOfOneThatMeansThisPodIsNotPassedOn(t *testing.T) {
	listener, port := listen(t)
	f, _ := started(t, listener, echo(t), func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.7") })
	client := dial(t, port)
	sentinel, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}).Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer sentinel.Close()
	require.NoError(t, sentinel.SetDeadline(time.Now().Add(10*time.Second)))
	_, _ = sentinel.Write([]byte("REPLICAOF\n"))
	_, err = sentinel.Read(make([]byte, 1))
	require.Error(t, err, "nothing comes back")
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is closed")
	says(t, client, bufio.NewReader(client), "GET\n")
	require.Equal(t, 1, f.Passed())
}

func TestConnectionIsClosedWhenTheTargetRefuses(t *testing.T) {
	listener, port := listen(t)
	started(t, listener, fmt.Sprintf("127.0.0.1:%d", freePort(t)), nobody)
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
	listener, port := listen(t)
	f, accepted := started(t, &flaky{Listener: listener, failures: 3}, echo(t), nobody)
	client := dial(t, port)
	says(t, client, bufio.NewReader(client), "PING\n")
	require.NoError(t, accepted(), "the end of the context is no error")
	require.Equal(t, 1, f.Passed())
}

func TestEndOfTheContextEndsAcceptingThatFails(t *testing.T) {
	listener, _ := listen(t)
	_, accepted := started(t, &flaky{Listener: listener, failures: 1 << 30}, "127.0.0.1:1", nobody)
	require.NoError(t, accepted())
	_, err := listener.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}
