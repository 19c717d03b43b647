package writer

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestKindLeavesAddressesOut(t *testing.T) {
	refused := &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 6379}, Err: syscall.ECONNREFUSED}
	assert.Equal(t, "dial: connection refused", kind(refused))
	assert.Equal(t, "timeout", kind(&net.OpError{Op: "read", Err: timeout{}}))
	assert.Equal(t, "LOADING", kind(errors.New("LOADING")))
}

func TestLossIsToldFromItsFirstToItsLastWrite(t *testing.T) {
	start := time.Unix(1800000000, 0)
	w := &writer{}
	for second := range 5 {
		w.confirmed = append(w.confirmed, start.Add(time.Duration(second)*time.Second))
	}
	for _, number := range []int{1, 2, 4} {
		w.lost(number)
	}
	assert.Equal(t, 3, w.report.Lost)
	assert.Equal(t, start.Add(time.Second), *w.report.FirstLostAt)
	assert.Equal(t, start.Add(4*time.Second), *w.report.LastLostAt)
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
