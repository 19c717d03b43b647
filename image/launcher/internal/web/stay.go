package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// watcher has no time-out: what it waits for may be months away.
var watcher = &http.Client{Transport: &http.Transport{
	DialContext:           (&net.Dialer{Timeout: statusTimeout}).DialContext,
	ResponseHeaderTimeout: statusTimeout,
	DisableKeepAlives:     true,
}}

// stay begins an answer that ends when this launcher leaves or dies.
func (s *Server) stay(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.leaving:
		http.Error(w, "leaving", http.StatusServiceUnavailable)
		return
	default:
	}
	s.watched.Add(1)
	defer s.watched.Add(-1)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-s.leaving:
	case <-r.Context().Done():
	}
}

// Watched is how many launchers wait for the end of this one.
func (s *Server) Watched() int { return int(s.watched.Load()) }

// AwaitEnd holds a connection to a peer's launcher and returns when that one
// says that it leaves, or its connection ends, as it does the moment the process
// dies. Nothing follows from that but a closer look. The error says that there
// was no such connection, or is that of ctx.
func AwaitEnd(ctx context.Context, host string, port int) error {
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/stay"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("watch the launcher at %s: %w", host, err)
	}
	response, err := watcher.Do(request)
	if err != nil {
		return fmt.Errorf("watch the launcher at %s: %w", host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("watch the launcher at %s: it answers %s", host, response.Status)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return ctx.Err()
}
