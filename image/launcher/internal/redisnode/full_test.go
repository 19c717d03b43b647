package redisnode

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// full is a Redis that has as many clients as maxclients allows.
func full(t *testing.T) netip.AddrPort {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("-ERR max number of clients reached\r\n"))
			_ = connection.Close()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

func TestServerThatTakesNoMoreClientsIsAlive(t *testing.T) {
	for _, password := range []string{"", "secret"} {
		for range 20 {
			n := New(full(t), password)
			_, err := n.Info(t.Context())
			n.Close()
			t.Log(err)
			require.ErrorIs(t, err, ErrFull)
			require.Equal(t, Answered, ReachOf(err))
		}
	}
}
