package main

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// A master that hands over pauses writes and says master all the while.
func TestMasterThatLetsWritesWaitIsHeld(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var paused atomic.Bool
	go serve(listener, &paused)
	told := make(chan probe.Role, 16)
	go follow(t.Context(), listener.Addr().String(), func(r probe.Role) { told <- r })
	next := func() probe.Role {
		select {
		case r := <-told:
			return r
		case <-time.After(10 * time.Second):
			require.Fail(t, "nothing was told for 10 s")
			return probe.Role{}
		}
	}
	for _, held := range []bool{false, true, false} {
		paused.Store(held)
		r := next()
		assert.Equal(t, "master", r.Role)
		assert.Equal(t, held, r.Held)
		assert.Equal(t, "one", r.Run)
	}
}

// serve plays a master, which says nothing to a write while it is paused.
func serve(listener net.Listener, paused *atomic.Bool) {
	answers := map[string]string{
		"role":   "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
		"info":   "$27\r\n# Server\r\nrun_id:one\r\na:b\r\n\r\n",
		"del":    ":0\r\n",
		"dbsize": ":7\r\n",
	}
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
				name := strings.ToLower(lines.Text())
				if name == "del" && paused.Load() {
					continue
				}
				answer, known := answers[name]
				if !known {
					answer = "-ERR unknown command\r\n"
				}
				_, _ = conn.Write([]byte(answer))
			}
		}()
	}
}
