package fakeapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Client is the server as one launcher reaches it: a listener of its own.
type Client struct {
	User    string // name of the launcher's pod
	Address string // host:port
	server  *Server

	mu     sync.Mutex
	http   *http.Server
	cut    bool
	closed bool
}

// Connect opens a listener for the launcher of a pod at an address. Port 0 takes a free port, which the
// client keeps.
func (s *Server) Connect(user, address string) (*Client, error) {
	client := &Client{User: user, Address: address, server: s}
	s.mu.Lock()
	s.clients = append(s.clients, client)
	s.mu.Unlock()
	return client, client.settle()
}

// URL is the server's address for a kubeconfig file.
func (c *Client) URL() string { return "http://" + c.Address }

// Cut makes the server unreachable for this launcher: running requests and
// watches break, new connections are refused.
func (c *Client) Cut() error {
	c.mu.Lock()
	c.cut = true
	c.mu.Unlock()
	return c.settle()
}

// Mend ends Cut.
func (c *Client) Mend() error {
	c.mu.Lock()
	c.cut = false
	c.mu.Unlock()
	return c.settle()
}

// Close ends the listener for good.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.settle()
}

// settle opens or closes the listener according to the faults in force.
func (c *Client) settle() error {
	c.server.mu.Lock()
	down := c.server.down
	c.server.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	want := !down && !c.cut && !c.closed
	if want == (c.http != nil) {
		return nil
	}
	if !want {
		err := c.http.Close()
		c.http = nil
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.Address)
	if err != nil {
		return fmt.Errorf("listen for the launcher of %s: %w", c.User, err)
	}
	c.Address = listener.Addr().String()
	c.http = &http.Server{Handler: c.server.handler(c.User), ReadHeaderTimeout: 10 * time.Second}
	go func(server *http.Server) { _ = server.Serve(listener) }(c.http)
	return nil
}

// Stop makes the server unreachable for every launcher.
func (s *Server) Stop() error { return s.setDown(true) }

// Start ends Stop.
func (s *Server) Start() error { return s.setDown(false) }

// Close closes every listener.
func (s *Server) Close() error { return s.Stop() }

func (s *Server) setDown(down bool) error {
	s.mu.Lock()
	s.down = down
	clients := append([]*Client(nil), s.clients...)
	s.mu.Unlock()
	for _, client := range clients {
		if err := client.settle(); err != nil {
			return err
		}
	}
	return nil
}

// denial is a right that is taken away; an empty user means everybody.
type denial struct{ user, verb, resource string }

// Deny answers a verb on a resource with 403 for one pod's launcher, or for
// all of them when user is empty.
func (s *Server) Deny(user, verb, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[denial{user, verb, resource}] = true
}

// Allow ends Deny.
func (s *Server) Allow(user, verb, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.denied, denial{user, verb, resource})
}

func (s *Server) isDenied(c call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	resource := c.kind.resource.Resource
	return s.denied[denial{"", c.verb, resource}] || s.denied[denial{c.user, c.verb, resource}]
}

// SetLatency delays every answer.
func (s *Server) SetLatency(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = delay
}

func (s *Server) currentLatency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latency
}

// Compact forgets the history: watches that start from an older revision are
// told so with 410, as after a long disconnection.
func (s *Server) Compact() { s.store.compact() }

func (s *Server) remember(c call, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		At: time.Now(), User: c.user, Verb: c.verb, Group: c.kind.resource.Group, Resource: c.kind.resource.Resource, Name: c.name, Code: code})
}

func (s *Server) complain(format string, arguments ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unexpected = append(s.unexpected, fmt.Sprintf(format, arguments...))
}

// Unexpected lists what no launcher should have asked for.
func (s *Server) Unexpected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.unexpected...)
}

// Requests returns the answered requests since a time.
func (s *Server) Requests(since time.Time) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result []Request
	for _, request := range s.requests {
		if request.At.After(since) {
			result = append(result, request)
		}
	}
	return result
}

// Writes returns the requests since a time that asked for a change.
func (s *Server) Writes(since time.Time) []Request {
	var result []Request
	for _, request := range s.Requests(since) {
		if request.Write() {
			result = append(result, request)
		}
	}
	return result
}
