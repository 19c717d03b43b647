// Package web is the launcher's HTTP side: probes for the kubelet, metrics, and
// the status that launchers read from each other.
package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/redis-ha/redis-ha/image/launcher/internal/patience"
)

// Health is what the probes answer; an empty string is healthy, anything else
// says what is wrong.
type Health struct{ Live, Ready string }

const (
	// requestTimeout bounds the arrival of a request, and so the life of a connection that
	// never asks. The kubelet waits for 1 s by default, a peer for statusTimeout.
	requestTimeout = 5 * time.Second
	// answerTimeout bounds the time in which a client takes an answer. Prometheus waits for 10 s
	// by default. An answer to /stay may take longer: nothing is written while it lasts, and its
	// end is the end of the connection.
	answerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may wait for its next request. It is longer
	// than idleLink, so that peers end their connections themselves.
	idleTimeout = 2 * idleLink
	// maxHeader bounds the header of a request, in bytes. The kubelet, Prometheus and peers
	// send less than 1 KiB.
	maxHeader = 8 << 10
)

// Server answers on the launcher's port. The zero Health is "not started yet".
type Server struct {
	health    atomic.Pointer[Health]
	status    atomic.Pointer[any]
	inRelease atomic.Pointer[func(netip.Addr) (in, known bool)]
	metrics   *prometheus.Registry
	http      *http.Server
	tls       *tls.Config // nil: the connections are plain
	leaving   chan struct{}
	leave     sync.Once
	watched   atomic.Int64
}

// New prepares the server; Serve starts it.
func New(metrics *prometheus.Registry) *Server {
	s := &Server{metrics: metrics, leaving: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.paths(), ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	s.SetHealth(Health{Ready: "starting"})
	return s
}

// Encrypt has the connections to this server encrypted, unless c is nil. Call it before Serve.
func (s *Server) Encrypt(c *tls.Config) {
	if s.tls = c; c != nil {
		s.http.ErrorLog = log.New(withoutHandshakes{log.Writer()}, "", log.LstdFlags)
	}
}

// withoutHandshakes leaves out of a log the connections that end before they are encrypted, of which a port scan makes many.
type withoutHandshakes struct{ io.Writer }

func (w withoutHandshakes) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("TLS handshake error")) {
		return len(line), nil
	}
	return w.Writer.Write(line)
}

// SetHealth replaces what the probes answer.
func (s *Server) SetHealth(h Health) { s.health.Store(&h) }

// SetStatus replaces what /status answers; it must not hold secrets.
func (s *Server) SetStatus(status any) { s.status.Store(&status) }

// Leave ends the waits of AwaitEnd for this launcher; once it has been called,
// they do not begin.
func (s *Server) Leave() { s.leave.Do(func() { close(s.leaving) }) }

// Serve answers until ctx ends. It returns once the port is open.
func (s *Server) Serve(ctx context.Context, host string, port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen for probes (set LAUNCHER_HTTP_PORT if the port is taken): %w", err)
	}
	s.serveOn(ctx, listener)
	return nil
}

// serveOn answers connections that a listener accepts until ctx ends.
func (s *Server) serveOn(ctx context.Context, listener net.Listener) {
	accepting := net.Listener(newLimited(listener))
	if s.tls != nil {
		accepting = tls.NewListener(accepting, s.tls)
	}
	go func() { _ = s.http.Serve(accepting) }()
	go func() {
		<-ctx.Done()
		_ = s.http.Close()
	}()
}

// paths gives what answers to each path.
func (s *Server) paths() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.health.Load().Live) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.health.Load().Ready) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		status := s.status.Load()
		if status == nil {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(*status)
	})
	mux.HandleFunc("GET /stay", s.stay)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, problem string) {
	if problem != "" {
		http.Error(w, problem, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

const (
	// statusTimeout bounds one question to a peer's launcher.
	statusTimeout = 400 * time.Millisecond
	// idleLink is how long a connection to a peer's launcher is kept for the next question.
	idleLink = 30 * time.Second
)

// silent holds the patience with hosts that did not answer last time.
var silent sync.Map

// ErrNotServing is the error of a peer whose launcher listens but has no status yet.
var ErrNotServing = errors.New("the launcher has no status yet")

var client = &http.Client{
	Timeout: statusTimeout,
	Transport: &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     idleLink,
	},
}

// asked counts the calls of FetchStatus.
var asked atomic.Int64

// StatusQuestions gives how many launchers FetchStatus has asked so far.
func StatusQuestions() int64 { return asked.Load() }

// FetchStatus reads a peer's /status into out. A peer that has just been silent
// gets less time.
func FetchStatus(ctx context.Context, host string, port int, out any) error {
	asked.Add(1)
	known, _ := silent.LoadOrStore(host, &patience.Patience{})
	limited, cancel := context.WithTimeout(ctx, known.(*patience.Patience).Limit(statusTimeout))
	defer cancel()
	err := fetchStatus(limited, host, port, out)
	var timeout net.Error
	if ctx.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
		known.(*patience.Patience).Note(true)
		return err
	}
	silent.Delete(host)
	return err
}

func fetchStatus(ctx context.Context, host string, port int, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address(host, port, "/status"), nil)
	if err != nil {
		return fmt.Errorf("ask the launcher at %s: %w", host, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the launcher at %s: %w", host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return ErrNotServing
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("read the status of the launcher at %s: %w", host, err)
	}
	return nil
}
