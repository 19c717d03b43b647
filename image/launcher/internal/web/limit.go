package web

import (
	"net"
	"net/netip"
	"sync"
)

const (
	// maxFromOne is how many connections one address may have open. A pod of the release
	// needs two, for /status and /stay, the kubelet one for each probe, and Prometheus one.
	// With a limit of all connections alone one pod could keep the kubelet's probes out, and
	// the kubelet would restart the container.
	maxFromOne = 32
	// maxConnections bounds the connections of all addresses. An idle connection takes about
	// 20 KiB, so all take 20 MiB. A release of 50 pods needs 100.
	maxConnections = 1024
)

// limited is a listener that closes connections beyond the limits as soon as they come.
type limited struct {
	net.Listener
	mu   sync.Mutex
	open int
	from map[netip.Addr]int
}

func newLimited(listener net.Listener) *limited {
	return &limited{Listener: listener, from: map[netip.Addr]int{}}
}

// Accept gives the next connection that is within the limits.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := sourceOf(conn.RemoteAddr())
		if l.admit(address) {
			return &admitted{Conn: conn, leave: sync.OnceFunc(func() { l.release(address) })}, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the kernel keeps nothing of it
		}
		_ = conn.Close()
	}
}

func (l *limited) admit(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxConnections || l.from[address] >= maxFromOne {
		return false
	}
	l.open++
	l.from[address]++
	return true
}

func (l *limited) release(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[address]--; l.from[address] == 0 {
		delete(l.from, address)
	}
}

// admitted is a connection that counts until it is closed.
type admitted struct {
	net.Conn
	leave func()
}

// Close ends the connection.
func (a *admitted) Close() error {
	err := a.Conn.Close()
	a.leave()
	return err
}

// sourceOf gives the IP address of the other side, or none if it has none.
func sourceOf(address net.Addr) netip.Addr {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
