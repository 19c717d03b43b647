package main

import (
	"bufio"
	"fmt"
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
	go serve(listener, func(command string) string {
		if command == "del" && paused.Load() {
			return ""
		}
		return ofMaster(command)
	})
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

// What a replica has when it is in sync again is compared with what it had before.
func TestReplicaTellsTheKeysThatItHadInSync(t *testing.T) {
	type state struct {
		link, size   string
		linked       bool
		keys, inSync int64
	}
	states := []state{
		{"connected", ":7\r\n", true, 7, 0},
		{"connect", ":9\r\n", false, 9, 7},
		{"connect", "-LOADING\r\n", false, -1, 7},
		{"connect", ":2\r\n", false, 2, 7},
		{"connected", ":3\r\n", true, 3, 7},
		{"master", ":9\r\n", false, 9, 3},
		{"connect", ":9\r\n", false, 9, 0},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var now, answered atomic.Pointer[state]
	now.Store(&states[0])
	go serve(listener, func(command string) string {
		switch command {
		case "role":
			s := now.Load()
			answered.Store(s) // the number of keys belongs to the same state
			if s.link == "master" {
				return ofMaster(command)
			}
			return fmt.Sprintf("*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$%d\r\n%s\r\n:0\r\n", len(s.link), s.link)
		case "dbsize":
			return answered.Load().size
		}
		return ofMaster(command)
	})
	told := make(chan probe.Role, 16)
	go follow(t.Context(), listener.Addr().String(), func(r probe.Role) { told <- r })
	for i := range states {
		now.Store(&states[i])
		if states[i].link == "master" {
			require.Eventually(t, func() bool { return answered.Load() == &states[i] }, 10*time.Second, time.Millisecond, "to be asked as master")
			continue
		}
		select {
		case r := <-ofSlave(told):
			assert.Equal(t, states[i].linked, r.Linked, "%+v", r)
			assert.Equal(t, states[i].keys, r.Keys, "%+v", r)
			assert.Equal(t, states[i].inSync, r.KeysInSync, "%+v", r)
			assert.Equal(t, "10.0.0.1", r.Master)
		case <-time.After(10 * time.Second):
			require.Fail(t, "nothing was told for 10 s", "%+v", states[i])
		}
	}
}

// ofSlave gives the next thing that is told of a slave.
func ofSlave(told <-chan probe.Role) <-chan probe.Role {
	next := make(chan probe.Role, 1)
	go func() {
		for r := range told {
			if r.Role != "master" {
				next <- r
				return
			}
		}
	}()
	return next
}

// ofMaster is the answer of a master.
func ofMaster(command string) string {
	switch command {
	case "role":
		return "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
	case "info":
		return "$27\r\n# Server\r\nrun_id:one\r\na:b\r\n\r\n"
	case "del":
		return ":0\r\n"
	case "dbsize":
		return ":7\r\n"
	}
	return "-ERR unknown command\r\n"
}

// serve plays a server; it says nothing where answer is empty.
func serve(listener net.Listener, answer func(command string) string) {
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
				_, _ = conn.Write([]byte(answer(strings.ToLower(lines.Text()))))
			}
		}()
	}
}
