// Package forward passes connections that still arrive at a pod that is no
// longer master on to the one that is.
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
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// dialTimeout bounds the connection to the new master; clients that wait longer
// are better served by a refusal.
const dialTimeout = 500 * time.Millisecond

// acceptPause is the time between two attempts to accept a connection where the first
// one failed. It is short beside the 0.2 s for which a failover keeps clients waiting, and long
// enough to cost nothing.
const acceptPause = 20 * time.Millisecond

// Listen passes every connection that arrives at host:port on to target until
// ctx ends, then closes them all, so that the clients connect again and reach
// target by the Service. It returns the number of connections passed on. An
// empty host means all addresses. Connections from addresses that mean this pod
// and not the master are closed: what a sentinel tells the old master must not
// reach the new one, which would become a replica of itself.
func Listen(ctx context.Context, host string, port int, target string, meansThisPod func(netip.Addr) bool) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("listen in the place of redis-server: %w", err)
	}
	return accept(ctx, listener, target, meansThisPod)
}

// accept passes on what listener accepts until ctx ends, and closes it then. An error of
// one connection is no end: without file descriptors, for instance, clients wait in the
// kernel's queue until there are some again.
func accept(ctx context.Context, listener net.Listener, target string, meansThisPod func(netip.Addr) bool) (int, error) {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	count := 0
	for {
		client, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = client.Close()
			}
			return count, nil
		case errors.Is(err, net.ErrClosed):
			return count, fmt.Errorf("accept a connection to pass on: %w", err)
		case err != nil:
			pause(ctx)
			continue
		}
		if from, ok := client.RemoteAddr().(*net.TCPAddr); ok && meansThisPod(from.AddrPort().Addr().Unmap()) {
			_ = client.Close()
			continue
		}
		count++
		open.Go(func() { pass(ctx, client, target) })
	}
}

// pause waits until accepting is tried again, or ctx ends.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(acceptPause):
	}
}

// pass connects client with target until one of them, or ctx, ends.
func pass(ctx context.Context, client net.Conn, target string) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})
	defer stop()
	done := make(chan struct{}, 2)
	splice := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go splice(server, client)
	go splice(client, server)
	<-done
}
