package observe

import (
	"crypto/tls"
	"net/netip"
	"sync"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// Links keeps one connection to every Redis and every sentinel that the launcher talks to. It is safe for concurrent use.
type Links struct {
	mu       sync.Mutex
	password string
	trying   func() []string      // see redisnode.Node.Trying; nil: there is only password
	tls      *tls.Config          // nil: the connections are plain
	own      netip.Addr           // the address of this pod
	ownTLS   *tls.Config          // of the connections to own; nil: as the others
	count    func(netip.AddrPort) // called for each command; nil: nobody counts
	nodes    map[netip.AddrPort]*redisnode.Node
}

// NewLinks gives links without a connection. An empty password means no authentication.
func NewLinks(password string) *Links {
	return &Links{password: password, nodes: map[netip.AddrPort]*redisnode.Node{}}
}

// Encrypted has the connections encrypted, unless c is nil, and gives the links themselves. Call it before To.
func (l *Links) Encrypted(c *tls.Config) *Links {
	l.tls = c
	return l
}

// Trying has each connection opened with one of several passwords, unless passwords is nil, and gives the links themselves. Call it before To.
func (l *Links) Trying(passwords func() []string) *Links {
	l.trying = passwords
	return l
}

// OwnEncrypted has the connections to the address of this pod encrypted in another way, unless c is nil, and gives the links themselves. Call it before To.
func (l *Links) OwnEncrypted(own netip.Addr, c *tls.Config) *Links {
	l.own, l.ownTLS = own, c
	return l
}

// Counted has count called with the address for each command on any of the connections, and gives the links themselves. Call it before
// To.
func (l *Links) Counted(count func(netip.AddrPort)) *Links {
	l.count = count
	return l
}

// encryption is that of the connections to an address.
func (l *Links) encryption(to netip.Addr) *tls.Config {
	if to == l.own && l.ownTLS != nil {
		return l.ownTLS
	}
	return l.tls
}

// To gives the connection to an address. The connection opens with its first command.
func (l *Links) To(ip netip.Addr, port int) *redisnode.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := netip.AddrPortFrom(ip, uint16(port))
	node, ok := l.nodes[addr]
	if !ok {
		node = redisnode.New(addr, l.password).Encrypted(l.encryption(ip)).Trying(l.trying)
		if l.count != nil {
			node.Counted(func() { l.count(addr) })
		}
		l.nodes[addr] = node
	}
	return node
}

// Keep closes the connections to all addresses but own and those of the pods. Anybody may have an address that no pod of the release
// has.
func (l *Links) Keep(own netip.Addr, pods []kube.Pod) {
	kept := map[netip.Addr]bool{own: true}
	for _, pod := range pods {
		kept[pod.IP] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, node := range l.nodes {
		if !kept[addr.Addr()] {
			node.Close()
			delete(l.nodes, addr)
		}
	}
}
