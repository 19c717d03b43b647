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
	return &Node{addr: addr, password: password, client: newClient("tcp", addr.String(), password, nil)}
}

// AtSocket is New for a server that listens at a socket of this pod.
func AtSocket(path, password string) *Node {
	return &Node{socket: path, password: password, client: newClient("unix", path, password, nil)}
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

// connect prepares a client of the server.
func (n *Node) connect() *redis.Client {
	if n.socket != "" {
		return newClient("unix", n.socket, n.password, nil) // a socket of the own pod is never encrypted
	}
	return newClient("tcp", n.addr.String(), n.password, n.tls)
}

func newClient(network, address, password string, encryption *tls.Config) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network:                  network,
		Addr:                     address,
		Password:                 password,
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
