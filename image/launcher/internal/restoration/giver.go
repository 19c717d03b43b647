package restoration

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// askTime bounds the arrival of a question. A file may take any time to be read.
const askTime = 5 * time.Second

// Giver gives a file to the server that knows the address, and hears how far the server is.
type Giver struct {
	URL string

	http *http.Server
	mu   sync.Mutex
	told Told
	at   time.Time // when that was
	free bool      // the server may take over
	word time.Time // it was last told so then
	stop bool      // it is to give up
}

// Give listens at an address of this pod, until Close. The file is an RDB file. Without encryption the connections are plain.
func Give(ctx context.Context, at netip.AddrPort, file string, encryption *tls.Config) (*Giver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen for the server that loads the backup: %w", err)
	}
	secret, scheme := "/"+rand.Text(), "http"
	if encryption != nil {
		listener, scheme = tls.NewListener(listener, encryption), "https"
	}
	g := &Giver{URL: scheme + "://" + listener.Addr().String() + secret}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+secret+filePath, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("POST "+secret+toldPath, g.hear)
	g.http = &http.Server{Handler: mux, ReadHeaderTimeout: askTime, IdleTimeout: 2 * Silence}
	go func() { _ = g.http.Serve(listener) }()
	return g, nil
}

// Close ends what Give has begun.
func (g *Giver) Close() { _ = g.http.Close() }

// hear takes what the server tells.
func (g *Giver) hear(w http.ResponseWriter, r *http.Request) {
	var told Told
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&told); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	if g.told.Stage != Done && g.told.Stage != Failed { // nothing comes after these, whatever arrives late
		g.told = told
	}
	g.at = time.Now()
	answer := Answer{Go: g.free, Stop: g.stop}
	if answer.Go && !answer.Stop {
		g.word = g.at
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// Last gives what the server has told last, and how long ago that was; the zero value before it has told anything.
func (g *Giver) Last() (told Told, ago time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at.IsZero() {
		return Told{}, 0
	}
	return g.told, time.Since(g.at)
}

// Go lets the server take over when it has loaded the file.
func (g *Giver) Go() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free = true
}

// WordEnds gives the time after which the server does not take over any more, if Stop was called. The zero value says that the server was never told to
// take over.
func (g *Giver) WordEnds() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.word.IsZero() {
		return time.Time{}
	}
	return g.word.Add(WordTime)
}

// Stop has the server give up with its next word, if it has not begun to take over.
func (g *Giver) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = true
}
