package kube

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// endpoint is one of several servers of the API.
type endpoint struct {
	server  *httptest.Server
	watches atomic.Int32 // watches that go on
	proto   atomic.Value // of the last request

	mu          sync.Mutex
	dead        bool
	connections []net.Conn // of clients with the Service
}

// service is the address of the API: it gives each new connection to the next endpoint.
type service struct {
	listener  net.Listener
	endpoints []*endpoint
	next      atomic.Int32
	silent    bool // a dead endpoint's kernel acknowledges nothing either, as on a lost node
}

// newService gives a Service with two endpoints of server.
func newService(t *testing.T, server *fakeapi.Server, http2, silent bool) *service {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &service{listener: listener, silent: silent}
	for range 2 {
		s.endpoints = append(s.endpoints, newEndpoint(t, server, http2))
	}
	t.Cleanup(func() {
		_ = listener.Close()
		for _, e := range s.endpoints {
			e.close()
		}
	})
	go s.accept()
	return s
}

func newEndpoint(t *testing.T, server *fakeapi.Server, http2 bool) *endpoint {
	t.Helper()
	plain, err := server.Connect("server-a", "127.0.0.1:0")
	require.NoError(t, err)
	target, err := url.Parse(plain.URL())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	e := &endpoint{}
	e.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.proto.Store(r.Proto)
		if r.URL.Query().Get("watch") != "" {
			e.watches.Add(1)
			defer e.watches.Add(-1)
		}
		proxy.ServeHTTP(w, r)
	}))
	e.server.EnableHTTP2 = http2
	e.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	e.server.StartTLS()
	return e
}

func (s *service) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		e := s.endpoints[int(s.next.Add(1))%len(s.endpoints)]
		e.mu.Lock()
		e.connections = append(e.connections, client)
		dead := e.dead
		e.mu.Unlock()
		switch server, err := net.Dial("tcp", e.server.Listener.Addr().String()); {
		case dead:
			if s.silent {
				_ = fallSilent(client)
			}
		case err != nil:
			_ = client.Close()
		default:
			go e.pass(server, client)
			go e.pass(client, server)
		}
	}
}

// pass passes on what comes until the endpoint is dead.
func (e *endpoint) pass(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		e.mu.Lock()
		if e.dead {
			e.mu.Unlock()
			return // nothing is closed: the other side must find out
		}
		_, _ = to.Write(buffer[:n])
		if err != nil {
			_ = to.Close()
		}
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// kill makes the endpoint that serves the watch die without closing anything. The next
// new connection goes to it.
func (s *service) kill(t *testing.T) {
	t.Helper()
	i := slices.IndexFunc(s.endpoints, func(e *endpoint) bool { return e.watches.Load() > 0 })
	require.GreaterOrEqual(t, i, 0, "an endpoint serves the watch")
	e := s.endpoints[i]
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dead = true
	if s.silent {
		for _, connection := range e.connections {
			require.NoError(t, fallSilent(connection))
		}
	}
	s.next.Store(int32(i + len(s.endpoints) - 1))
}

func (e *endpoint) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, connection := range e.connections {
		_ = connection.Close()
	}
	e.server.CloseClientConnections()
	e.server.Close()
}

// fallSilent makes the kernel drop every packet that comes to a socket, before anything
// acknowledges it.
func fallSilent(socket any) error {
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	})
	if err != nil {
		return err
	}
	return set
}

// secureClient connects the launcher of server-a with the Service.
func secureClient(t *testing.T, s *service) *Client {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.endpoints[0].server.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, certificate, 0o600))
	kubeconfig := filepath.Join(dir, "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":"https://%s","certificate-authority":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, s.listener.Addr(), ca), 0o600))
	selector, err := labels.Parse("app=redis-ha")
	require.NoError(t, err)
	c, err := New(config.Config{Prefix: prefix, PodName: "server-a", PodUID: "uid-server-a", Namespace: "default",
		PodSelector: selector, Kubeconfig: kubeconfig}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return c
}

func TestDeadEndpointOfTheAPIBlindsALauncherForSecondsOnly(t *testing.T) {
	const callsBound, watchBound = 10 * time.Second, 15 * time.Second
	for name, c := range map[string]struct{ http2, silent bool }{
		"HTTP/2, its node is lost":                       {true, true},
		"HTTP/2, something before it still acknowledges": {true, false},
		"HTTP/1.1, its node is lost":                     {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := release(t)
			api := newService(t, server, c.http2, c.silent)
			launcher := secureClient(t, api)
			go launcher.Run(t.Context())
			require.Eventually(t, launcher.Synced, 10*time.Second, 10*time.Millisecond, "the pods have been read")
			for range 3 {
				_, err := launcher.LivePods(t.Context())
				require.NoError(t, err)
			}
			api.kill(t)
			began := time.Now()
			setLabel(t, server, "sentinel-a", RoleLabel, "sentinel")
			seen := make(chan time.Duration, 1)
			go func() {
				for t.Context().Err() == nil {
					if slices.ContainsFunc(launcher.Pods(), func(p Pod) bool { return p.Role == "sentinel" }) {
						seen <- time.Since(began)
						return
					}
					select {
					case <-launcher.Changed():
					case <-t.Context().Done():
					}
				}
			}()
			failed := 0
			require.Eventually(t, func() bool {
				_, err := launcher.LivePods(t.Context())
				if err != nil {
					failed++
				}
				return err == nil
			}, callsBound, 50*time.Millisecond, "a call succeeds through the other endpoint")
			t.Logf("%d calls failed, the next one succeeded %v after the death", failed, time.Since(began).Round(time.Millisecond))
			select {
			case after := <-seen:
				t.Logf("the watch told of the change %v after the death", after.Round(time.Millisecond))
			case <-time.After(watchBound - time.Since(began)):
				require.Fail(t, "the watch did not tell of a change", "waited %v for the label of sentinel-a", watchBound)
			}
			want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[c.http2]
			for _, e := range api.endpoints {
				require.Equal(t, want, e.proto.Load(), "both endpoints have been asked")
			}
		})
	}
}

func TestEndpointThatDoesNotAcceptIsGivenUp(t *testing.T) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // it takes no filter
	listener, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	require.NoError(t, fallSilent(listener))
	began := time.Now()
	_, err = dialer().DialContext(t.Context(), "tcp", listener.Addr().String())
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.Less(t, time.Since(began), 2*connectTimeout)
}

func TestPauseBetweenAttemptsToWatchIsAtMostFiveSeconds(t *testing.T) {
	pause, longest := pauses(), time.Duration(0)
	for range 1000 {
		longest = max(longest, pause.Step())
	}
	require.LessOrEqual(t, longest, 5*time.Second)
	require.Greater(t, longest, longestPause, "they have grown, and are not all alike")
}
