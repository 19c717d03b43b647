package kube

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// The Service of the API has several endpoints. An endpoint that dies with its node
// closes no connection. These times bound how long a launcher waits for such an endpoint.
// Without them client-go needs 45 s to give a connection up, and 30 s to give up connecting.
const (
	// connectTimeout bounds connecting, and after it the TLS handshake. It is callTimeout,
	// because the call that waits for the connection has failed by then. It leaves room for
	// one lost packet: Linux sends a SYN again after 1 s.
	connectTimeout = callTimeout
	// silenceBeforePing is how long an HTTP/2 connection may be silent before it is asked
	// for a sign of life. It is callTimeout: a call on a dead connection fails at that time.
	silenceBeforePing = callTimeout
	// pingTimeout bounds the answer to that question. The server's HTTP/2 library answers it,
	// so a busy API is no reason for a late answer. It leaves room for two lost packets: Linux
	// sends a packet again 0.2 s and 0.6 s after the first time.
	pingTimeout = time.Second
	// keepAlivePause is the time between two questions of TCP for a sign of life. HTTP/1.1
	// has no question of its own.
	keepAlivePause = time.Second
	// unacknowledged is how long the other side's kernel may acknowledge nothing. It is the
	// silence of HTTP/2 above plus three questions of TCP. A single lost packet therefore leaves the connection open.
	unacknowledged = silenceBeforePing + 3*keepAlivePause
	// tcpUserTimeout is the socket's option for that, TCP_USER_TIMEOUT of linux/tcp.h.
	tcpUserTimeout = 0x12
)

// httpClient gives the client of all calls. It has client-go's handling of the token of
// the service account and of the CA, whose files may change, and the times above.
func httpClient(config *rest.Config) (*http.Client, error) {
	config = rest.CopyConfig(config)
	config.Dial = dialer().DialContext // also makes the transport this client's own
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare the connections to the API: %w", err)
	}
	transport, err := transportOf(client.Transport)
	if err != nil {
		return nil, fmt.Errorf("prepare the connections to the API: %w", err)
	}
	transport.TLSHandshakeTimeout = connectTimeout
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: silenceBeforePing, PingTimeout: pingTimeout}
	return client, nil
}

// transportOf finds the transport below client-go's wrappers.
func transportOf(outer http.RoundTripper) (*http.Transport, error) {
	for {
		switch inner := outer.(type) {
		case *http.Transport:
			return inner, nil
		case utilnet.RoundTripperWrapper:
			outer = inner.WrappedRoundTripper()
		default:
			return nil, errors.New("client-go hides its transport: use the version of client-go in go.mod")
		}
	}
}

// dialer connects to the API.
func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout: connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: silenceBeforePing, Interval: keepAlivePause, Count: int((unacknowledged - silenceBeforePing) / keepAlivePause),
		},
		Control: func(_, _ string, socket syscall.RawConn) error {
			var set error
			err := socket.Control(func(fd uintptr) {
				set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledged.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
}
