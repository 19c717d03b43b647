package web

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// soon bounds waits for what happens at once.
const soon = 10 * time.Second

// serve gives a server on a free port of the loopback interface, and what ends it.
func serve(t *testing.T) (s *Server, port int, end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s = New(prometheus.NewRegistry())
	s.SetRelease(func(ip netip.Addr) (in, known bool) { return ip == netip.MustParseAddr("127.0.0.1"), true })
	s.serveOn(ctx, listener)
	return s, listener.Addr().(*net.TCPAddr).Port, cancel
}

func TestAwaitEndReturnsWhenThePeerLeavesOrDiesAndNotBefore(t *testing.T) {
	for name, how := range map[string]func(*Server, func()){
		"leaves": func(s *Server, _ func()) { s.Leave() },
		"dies":   func(_ *Server, end func()) { end() },
	} {
		t.Run(name, func(t *testing.T) {
			s, port, end := serve(t)
			ended := make(chan error, 1)
			go func() { ended <- AwaitEnd(context.Background(), "127.0.0.1", port) }()
			select {
			case err := <-ended:
				require.FailNow(t, "ended by itself", "%v", err)
			case <-time.After(2 * statusTimeout):
			}
			how(s, end)
			select {
			case err := <-ended:
				require.NoError(t, err)
			case <-time.After(soon):
				require.FailNow(t, "the end of the peer was not noticed")
			}
		})
	}
}

func TestAwaitEndFailsWhereThereIsNothingToWaitFor(t *testing.T) {
	s, port, end := serve(t)
	s.Leave()
	s.Leave()
	require.ErrorContains(t, AwaitEnd(context.Background(), "127.0.0.1", port), "503")
	end()
	require.Eventually(t, func() bool {
		return errors.Is(AwaitEnd(context.Background(), "127.0.0.1", port), syscall.ECONNREFUSED)
	}, soon, 10*time.Millisecond, "the port is closed")
}

func TestAwaitEndEndsWithItsContext(t *testing.T) {
	_, port, _ := serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, AwaitEnd(ctx, "127.0.0.1", port), context.DeadlineExceeded)
}

func TestOnlyPodsOfTheReleaseMayWaitForTheEnd(t *testing.T) {
	s, port, _ := serve(t)
	code, body := getFrom(t, "127.0.0.2", port, "/stay")
	require.Equal(t, http.StatusForbidden, code, body)
	require.Zero(t, s.Watched())
	for _, path := range []string{"/livez", "/metrics"} {
		code, body := getFrom(t, "127.0.0.2", port, path)
		require.Equal(t, http.StatusOK, code, "%s is for everybody: %s", path, body)
	}
	s.SetRelease(func(netip.Addr) (in, known bool) { return false, false })
	code, body = getFrom(t, "127.0.0.1", port, "/stay")
	require.Equal(t, http.StatusServiceUnavailable, code, body)
	s.inRelease.Store(nil)
	code, body = getFrom(t, "127.0.0.1", port, "/stay")
	require.Equal(t, http.StatusServiceUnavailable, code, body)
}

func TestQuestionsComeFromTheAddressThatIsSet(t *testing.T) {
	s, port, _ := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	asked := make(chan netip.Addr, 1)
	s.SetRelease(func(ip netip.Addr) (in, known bool) {
		asked <- ip
		return false, true
	})
	t.Cleanup(func() { AskFrom("") })
	for _, host := range []string{"127.0.0.2", ""} {
		AskFrom(host)
		require.ErrorContains(t, AwaitEnd(ctx, "127.0.0.1", port), "403")
		want := netip.MustParseAddr(cmp.Or(host, "127.0.0.1"))
		require.Equal(t, want, <-asked)
	}
}
