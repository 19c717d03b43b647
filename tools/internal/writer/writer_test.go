package writer

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// A server that freezes between a write and its WAIT must not hold the client longer than one that freezes before.
func TestSilenceAfterWAITIsNotWaitedFor(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go answerAllButWAIT(listener)
	w := &writer{config: Config{Address: listener.Addr().String(), Replicas: 1}}
	t.Cleanup(w.disconnect)
	start := time.Now()
	err = w.set(t.Context(), 1)
	assert.Equal(t, "timeout", kind(err))
	assert.Less(t, time.Since(start), 10*attemptTime)
}

// answerAllButWAIT is a server that knows SET, and says nothing to WAIT.
func answerAllButWAIT(listener net.Listener) {
	answers := map[string]string{"set": "+OK\r\n", "wait": ""}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				// A command begins with the number of its words; before each word is its length.
				if !strings.HasPrefix(lines.Text(), "*") || !lines.Scan() || !lines.Scan() {
					continue
				}
				answer, known := answers[strings.ToLower(lines.Text())]
				if !known {
					answer = "-ERR unknown command\r\n"
				}
				_, _ = conn.Write([]byte(answer))
			}
		}()
	}
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
