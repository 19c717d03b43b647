package writer

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKindLeavesAddressesOut(t *testing.T) {
	refused := &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 6379}, Err: syscall.ECONNREFUSED}
	assert.Equal(t, "dial: connection refused", kind(refused))
	assert.Equal(t, "timeout", kind(&net.OpError{Op: "read", Err: timeout{}}))
	assert.Equal(t, "LOADING", kind(errors.New("LOADING")))
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
