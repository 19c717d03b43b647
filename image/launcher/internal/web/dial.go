package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
)

// source is the address that questions to other launchers come from; nil: the kernel's choice.
var source atomic.Pointer[net.TCPAddr]

// AskFrom sets the address that questions to other launchers come from. They answer some
// of them to pods of the release only. So host must be the address of the own pod where the kernel
// would choose another address, as it does among the addresses of the loopback interface. An
// empty or invalid host leaves the choice to the kernel.
func AskFrom(host string) {
	address, err := netip.ParseAddr(host)
	if err != nil {
		source.Store(nil)
		return
	}
	source.Store(net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 0)))
}

// encryption of the connections to other launchers; nil: they are plain.
var encryption atomic.Pointer[tls.Config]

// AskEncrypted has the connections to other launchers encrypted, unless c is nil.
func AskEncrypted(c *tls.Config) { encryption.Store(c) }

// address gives the URL of a path of the launcher of a pod. The client does not know of the encryption: dial sees to that.
func address(host string, port int, path string) string {
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
}

// dial connects to another launcher.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: statusTimeout}
	if from := source.Load(); from != nil {
		dialer.LocalAddr = from
	}
	connection, err := dialer.DialContext(ctx, network, address)
	c := encryption.Load()
	if err != nil || c == nil {
		return connection, err
	}
	// A launcher that stands still accepts connections, and answers nothing.
	limited, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	encrypted := tls.Client(connection, c)
	if err := encrypted.HandshakeContext(limited); err != nil {
		_ = connection.Close()
		return nil, fmt.Errorf("encrypt the connection: %w", err)
	}
	return encrypted, nil
}
