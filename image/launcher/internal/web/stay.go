package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
)

// watcher has no time-out: what it waits for may be months away.
var watcher = &http.Client{Transport: &http.Transport{
	DialContext:           dial,
	ResponseHeaderTimeout: statusTimeout,
	DisableKeepAlives:     true,
}}

// SetRelease tells the server which addresses are those of pods of the release. Only they
// may wait for the end of this launcher. inRelease says so of an address; known is false
// until the pods have been read.
func (s *Server) SetRelease(inRelease func(netip.Addr) (in, known bool)) {
	s.inRelease.Store(&inRelease)
}

// stay begins an answer that ends when this launcher leaves or dies.
func (s *Server) stay(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.leaving:
		http.Error(w, "leaving", http.StatusServiceUnavailable)
		return
	default:
	}
	if refusal, code := s.refuse(r); refusal != "" {
		http.Error(w, refusal, code)
		return
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

// refuse says why the sender of a request may not wait for the end of this launcher; an
// empty text says that it may.
func (s *Server) refuse(r *http.Request) (string, int) {
	inRelease := s.inRelease.Load()
	if inRelease == nil {
		return "starting", http.StatusServiceUnavailable
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "for pods of the release only", http.StatusForbidden
	}
	switch in, known := (*inRelease)(from.Addr().Unmap().WithZone("")); {
	case !known:
		return "the pods of the release are not known yet", http.StatusServiceUnavailable
	case !in:
		return "for pods of the release only", http.StatusForbidden
	default:
		return "", 0
	}
}

// Watched is how many launchers wait for the end of this one.
func (s *Server) Watched() int { return int(s.watched.Load()) }

// AwaitEnd holds a connection to a peer's launcher. It returns when the launcher
// says that it leaves, and when the connection ends, as it does the moment the process
// dies. The caller looks more closely then, and concludes nothing else. The error says that there
// was no such connection, or is that of ctx.
func AwaitEnd(ctx context.Context, host string, port int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address(host, port, "/stay"), nil)
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
