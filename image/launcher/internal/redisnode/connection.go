package redisnode

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// New prepares a connection; it is opened with the first call.
func New(addr netip.AddrPort, password string) *Node {
	n := &Node{addr: addr, password: password}
	n.client = n.connect()
	return n
}

// AtSocket is New for a server that listens at a socket of this pod.
func AtSocket(path, password string) *Node {
	n := &Node{socket: path, password: password}
	n.client = n.connect()
	return n
}

// Encrypted has the connection encrypted, unless c is nil, and gives the node itself. It must not be called beside Do.
func (n *Node) Encrypted(c *tls.Config) *Node {
	if c == nil && n.tls == nil {
		return n
	}
	n.tls = c
	_ = n.client.Close()
	n.client = n.connect()
	return n
}

// Trying has a connection opened with one of several passwords, the likeliest first, and gives the node itself. The node may accept one of them
// only. Empty stands for no password; nil for passwords leaves all as it is. It must not be called beside Do.
func (n *Node) Trying(passwords func() []string) *Node {
	if passwords == nil {
		return n
	}
	n.passwords = passwords
	if all := passwords(); len(all) > 0 {
		n.accepted = all[0]
	}
	_ = n.client.Close()
	n.client = n.connect()
	return n
}

// credentials are what a new connection begins with. A Redis that asks for no password accepts any, where the command AUTH names the user.
func (n *Node) credentials() (user, password string) {
	if n.passwords == nil {
		return "", n.password
	}
	password = n.next()
	return UserFor(password), password
}

// DefaultUser is the user of clients that name none.
const DefaultUser = "default"

// next is the password that a new connection begins with.
func (n *Node) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.accepted
}

// another chooses the password of the next connection after the node has refused a password. It says whether a password is left that was not tried.
// Another call at the same time may have chosen already.
func (n *Node) another(refused string, tried map[string]bool) bool {
	if n.passwords == nil {
		return false
	}
	all := n.passwords()
	n.mu.Lock()
	defer n.mu.Unlock()
	tried[refused] = true
	for _, password := range append([]string{n.accepted}, all...) {
		if !tried[password] {
			n.accepted = password
			return true
		}
	}
	return false
}

// connect prepares a client of the server.
func (n *Node) connect() *redis.Client {
	network, address, encryption := "tcp", n.addr.String(), n.tls
	if n.socket != "" {
		network, address, encryption = "unix", n.socket, nil // a socket of the own pod is never encrypted
	}
	return redis.NewClient(&redis.Options{
		Network:                  network,
		Addr:                     address,
		CredentialsProvider:      n.credentials,
		Protocol:                 2,
		DialTimeout:              dialLimit(encryption),
		ReadTimeout:              callTimeout,
		WriteTimeout:             callTimeout,
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		DialerRetries:            1,
		PoolSize:                 poolSize,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address, encryption)
		},
	})
}
