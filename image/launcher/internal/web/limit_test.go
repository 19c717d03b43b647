package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// connect opens a connection to a port of 127.0.0.1.
func connect(t *testing.T, port int) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), soon)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// healthy says whether a new connection to a port of 127.0.0.1 gets an answer.
func healthy(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), soon)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	_, _ = io.WriteString(conn, "GET /livez HTTP/1.0\r\n\r\n")
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	return answer == "HTTP/1.0 200 OK\r\n"
}

// getFrom asks for a path from an address, over a connection of its own.
func getFrom(t *testing.T, address string, port int, path string) (code int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	response, err := (&http.Client{Transport: transport, Timeout: soon}).Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

// endsWithin fails the test if the other side does not close a connection within limit.
func endsWithin(t *testing.T, conn net.Conn, limit time.Duration, what string) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(limit)))
	_, err := io.Copy(io.Discard, conn)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "%s: the connection is open after %v", what, limit)
}

// open opens up to n connections to a port of 127.0.0.1 from there, as many as the limit
// of file descriptors allows beside those of the test, and returns their number. They take
// no memory of the process but the kernel's.
func open(t *testing.T, n, port int) int {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised))
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
	n = min(n, int(min(raised.Cur, 1<<20)/2)-200)
	var fds []int
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	})
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		fds = append(fds, fd)
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		if !errors.Is(err, syscall.ECONNRESET) { // closed already
			require.NoError(t, err)
		}
	}
	return n
}

// inUse is the memory of heap and stacks in use, in bytes.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func TestIdleConnectionsFromOneAddressKeepNobodyElseOutAndTakeNoMemory(t *testing.T) {
	const bound = 8 << 20 // bytes
	_, port, _ := serve(t)
	before := inUse()
	n := open(t, 10_000, port)
	require.GreaterOrEqual(t, n, 400, "raise the limit of file descriptors (ulimit -n)")
	code, body := getFrom(t, "127.0.0.2", port, "/livez") // is accepted after all of them
	require.Equal(t, http.StatusOK, code, body)
	grown := int64(inUse()) - int64(before)
	t.Logf("%d connections take %d KiB", n, grown>>10)
	require.Less(t, grown, int64(bound), "bytes of memory taken by %d connections", n)
}

func TestPlaceOfAConnectionThatEndsIsFree(t *testing.T) {
	_, port, _ := serve(t)
	var conns []net.Conn
	for range maxFromOne {
		conns = append(conns, connect(t, port))
	}
	require.False(t, healthy(port), "it is one too many")
	require.NoError(t, conns[0].Close())
	require.Eventually(t, func() bool { return healthy(port) }, soon, 10*time.Millisecond,
		"the place of a connection that has ended is given to the next one")
}

func TestAllAddressesTogetherHaveALimit(t *testing.T) {
	l := newLimited(nil)
	for i := range maxConnections {
		require.True(t, l.admit(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})))
	}
	another := netip.MustParseAddr("10.1.0.0")
	require.False(t, l.admit(another))
	l.release(netip.MustParseAddr("10.0.0.0"))
	require.True(t, l.admit(another))
	require.Len(t, l.from, maxConnections, "nothing is kept of those that have gone")
}

// quickServer gives a server whose bounds are a fraction of the real ones.
func quickServer(t *testing.T, fraction time.Duration) (s *Server, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s = New(prometheus.NewRegistry())
	s.SetRelease(func(netip.Addr) (in, known bool) { return true, true })
	s.http.ReadTimeout /= fraction
	s.http.WriteTimeout /= fraction
	s.http.IdleTimeout /= fraction
	s.serveOn(t.Context(), listener)
	return s, listener.Addr().(*net.TCPAddr).Port
}

func TestConnectionThatAsksNothingEnds(t *testing.T) {
	s, port := quickServer(t, 20)
	never := connect(t, port)
	once := connect(t, port)
	_, err := io.WriteString(once, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	half := connect(t, port)
	_, err = io.WriteString(half, "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	require.NoError(t, err)
	endsWithin(t, never, soon, "it never asks")
	endsWithin(t, half, soon, "its request does not end")
	require.Equal(t, idleTimeout/20, s.http.IdleTimeout)
	endsWithin(t, once, soon, "it asks no more")
}

func TestAwaitEndOutlastsTheBoundsOfOtherAnswers(t *testing.T) {
	s, port := quickServer(t, 20)
	ended := make(chan error, 1)
	go func() { ended <- AwaitEnd(context.Background(), "127.0.0.1", port) }()
	select {
	case err := <-ended:
		require.FailNow(t, "ended by itself", "%v", err)
	case <-time.After(2 * s.http.WriteTimeout):
	}
	s.Leave()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(soon):
		require.FailNow(t, "the end of the peer was not noticed")
	}
}

func TestLongHeaderIsRefused(t *testing.T) {
	_, port, _ := serve(t)
	conn := connect(t, port)
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, _ = fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nA: %0*d\r\n\r\n", 2*maxHeader, 0)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, answer, "431")
}
