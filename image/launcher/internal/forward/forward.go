// Package forward passes connections that still arrive at a former master on
// to the present master.
//
// kube-proxy may need over a second to take a pod out of a Service. Until then
// part of the new connections reach the old master's pod; without this they
// would be refused, and a client would have to try again.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds the connection to the new master; clients that wait longer
// are better served by a refusal.
const dialTimeout = 500 * time.Millisecond

// acceptPause is the time between two attempts to accept a connection where the first
// one failed. It is short beside the 0.2 s for which a failover keeps clients waiting, and long
// enough to cost nothing.
const acceptPause = 20 * time.Millisecond

const (
	// endEvery is the time between the ends of two connections that were passed on. Clients that come back one after the other
	// cost the master nothing; thousands at the same moment keep it and themselves busy for seconds.
	endEvery = 5 * time.Millisecond
	// answerTime is how long End waits for the answer to a client's last command, before it ends the connection all the same.
	answerTime = 100 * time.Millisecond
	// answerPoll is the pause between two looks whether the answer has come. The kernel's clock has milliseconds.
	answerPoll = 2 * time.Millisecond
)

// Forwarder passes connections on to another server.
type Forwarder struct {
	listener net.Listener
	target   string
	foreign  func(netip.Addr) bool

	mu     sync.Mutex
	passed map[int]*passed // those that are passed on, by their numbers
	count  int             // connections so far
	live   int             // connections that have not ended
}

// passed is one connection that is passed on.
type passed struct {
	client, server net.Conn
}

func (p *passed) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// Listen takes connections that arrive at host:port; an empty host means all addresses. Accept passes them on to target. Connections
// from addresses that mean this pod and not the master are closed: what a sentinel tells the old master must not reach the new
// one, which would become a replica of itself.
func Listen(ctx context.Context, host string, port int, target string, meansThisPod func(netip.Addr) bool) (*Forwarder, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen in the place of redis-server: %w", err)
	}
	return newForwarder(listener, target, meansThisPod), nil
}

func newForwarder(listener net.Listener, target string, meansThisPod func(netip.Addr) bool) *Forwarder {
	return &Forwarder{listener: listener, target: target, foreign: meansThisPod, passed: map[int]*passed{}}
}

// Accept passes connections on until ctx ends. Then the port is free, and the connections that there are live on until End. An error of
// one connection is no end: without file descriptors, for instance, clients wait in the kernel's queue until there are some again.
func (f *Forwarder) Accept(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = f.listener.Close() })
	defer stop()
	for {
		client, err := f.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = client.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept a connection to pass on: %w", err)
		case err != nil:
			rest(ctx, acceptPause)
			continue
		}
		if from, ok := client.RemoteAddr().(*net.TCPAddr); ok && f.foreign(from.AddrPort().Addr().Unmap()) {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.count++
		f.live++
		number := f.count
		f.mu.Unlock()
		go f.pass(ctx, number, client)
	}
}

// Passed is how many connections have been passed on.
func (f *Forwarder) Passed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// End ends the connections one after the other, so that their clients connect again and reach the target by the Service. It ends a
// connection after the answer to its last command where it can, so that no client has to wonder whether a write was carried
// out. What is left when ctx ends is closed at once. End returns when no connection is left. Connections that Accept takes meanwhile
// end as well.
func (f *Forwarder) End(ctx context.Context) {
	every := endEvery
	if deadline, ok := ctx.Deadline(); ok {
		every = min(every, time.Until(deadline)/time.Duration(2*len(f.now())+1))
	}
	for f.alive() {
		for _, p := range f.now() {
			go func() {
				awaitAnswer(ctx, p.client)
				p.close()
			}()
			rest(ctx, every)
		}
		time.Sleep(endEvery)
	}
}

// alive says whether a connection is passed on, or about to be.
func (f *Forwarder) alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live > 0
}

// now gives the connections that are passed on at present.
func (f *Forwarder) now() []*passed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.passed))
}

// awaitAnswer waits until the last bytes on a connection went to the client, for answerTime at most.
func awaitAnswer(ctx context.Context, client net.Conn) {
	for began := time.Now(); time.Since(began) < answerTime && ctx.Err() == nil && owesAnswer(client); {
		rest(ctx, answerPoll)
	}
}

// owesAnswer says whether the last bytes on a connection came from the client, or came within the same millisecond as the last ones to
// it. An error says nothing, and owes nothing.
func owesAnswer(client net.Conn) bool {
	tcp, ok := client.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	owes := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		owes = err == nil && info.Last_data_recv <= info.Last_data_sent && info.Last_data_recv < uint32(answerTime.Milliseconds())
	})
	return owes
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}

// pass connects client with the target until one of them, or End, ends that. Connections are not made any more when ctx ends.
func (f *Forwarder) pass(ctx context.Context, number int, client net.Conn) {
	defer func() {
		_ = client.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.passed, number)
		f.live--
	}()
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(ctx, "tcp", f.target)
	if err != nil {
		return
	}
	defer server.Close()
	f.mu.Lock()
	f.passed[number] = &passed{client, server}
	f.mu.Unlock()
	go func() {
		copyAll(server, client)
		_ = client.Close()
		_ = server.Close()
	}()
	copyAll(client, server)
}

const (
	// leastBuffer and largestBuffer are the bytes of the buffer of one direction of a connection. It grows where they are needed: ten
	// thousand connections of small commands must fit in the memory of the pod.
	leastBuffer, largestBuffer = 2 << 10, 32 << 10
)

// copyAll copies until one side ends. io.Copy would hold two file descriptors more for each direction of a connection (splice), which
// are soon more than a container may have.
func copyAll(to io.Writer, from io.Reader) {
	buffer := make([]byte, leastBuffer)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		if n == len(buffer) && n < largestBuffer {
			buffer = make([]byte, 2*n)
		}
	}
}
