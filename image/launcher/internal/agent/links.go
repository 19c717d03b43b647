// Package agent joins observation, decision and action: it is the loop of a
// server pod and the loop of a sentinel pod.
package agent

import (
	"net/netip"
	"sync"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// links keeps one connection to every Redis and Sentinel that is talked to.
type links struct {
	mu       sync.Mutex
	password string
	count    func(netip.AddrPort) // called for each command; nil: nobody counts
	nodes    map[netip.AddrPort]*redisnode.Node
}

func newLinks(password string) *links {
	return &links{password: password, nodes: map[netip.AddrPort]*redisnode.Node{}}
}

// counted has the commands of all connections counted, and gives the links themselves.
func (l *links) counted(count func(netip.AddrPort)) *links {
	l.count = count
	return l
}

// to gives the connection to an address.
func (l *links) to(ip netip.Addr, port int) *redisnode.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := netip.AddrPortFrom(ip, uint16(port))
	node, ok := l.nodes[addr]
	if !ok {
		node = redisnode.New(addr, l.password)
		if l.count != nil {
			node.Counted(func() { l.count(addr) })
		}
		l.nodes[addr] = node
	}
	return node
}

// keep closes the connections to all addresses but these: an address that no
// pod of the release has may be anybody's.
func (l *links) keep(ips map[netip.Addr]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, node := range l.nodes {
		if !ips[addr.Addr()] {
			node.Close()
			delete(l.nodes, addr)
		}
	}
}
