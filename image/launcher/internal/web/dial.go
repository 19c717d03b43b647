package web

import (
	"context"
	"net"
	"net/netip"
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

// dial connects to another launcher.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: statusTimeout}
	if from := source.Load(); from != nil {
		dialer.LocalAddr = from
	}
	return dialer.DialContext(ctx, network, address)
}
