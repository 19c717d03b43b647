package redisnode

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// fake answers the commands of clients as answer says, in the protocol's words.
// It gives its address and the commands that came, as one line each.
func fake(t *testing.T, answer func(command string) string) (netip.AddrPort, func() []string) {
	t.Helper()
	return fakeAt(t, "127.0.0.1:0", answer)
}

func fakeAt(t *testing.T, address string, answer func(command string) string) (netip.AddrPort, func() []string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var mu sync.Mutex
	var commands []string
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go func() {
				for in := bufio.NewReader(conn); ; {
					command, err := readCommand(in)
					if err != nil {
						return
					}
					if strings.HasPrefix(command, "hello") {
						_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
						continue
					}
					mu.Lock()
					commands = append(commands, command)
					mu.Unlock()
					_, _ = io.WriteString(conn, answer(command))
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String()), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), commands...)
	}
}

// readCommand reads an array of bulk strings.
func readCommand(in *bufio.Reader) (string, error) {
	number := func() (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	var words []string
	for range n {
		size, err := number()
		if err != nil {
			return "", err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return "", err
		}
		words = append(words, string(word[:size]))
	}
	return strings.Join(words, " "), err
}

// bulk and list write replies.
func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func list(items ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(items), strings.Join(items, ""))
}

func words(s ...string) string {
	for i := range s {
		s[i] = bulk(s[i])
	}
	return list(s...)
}

func node(t *testing.T, addr netip.AddrPort, password string) *Node {
	n := New(addr, password)
	t.Cleanup(n.Close)
	return n
}

// silent accepts connections and never answers.
func silent(t *testing.T) netip.AddrPort {
	addr, _ := fake(t, func(string) string { return "" })
	return addr
}

func refusing(t *testing.T) netip.AddrPort {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// Sentinel kills the clients of each replica that it re-points, in the middle of
// a question or not; who asks then must not take the replica for dead.
func TestQuestionIsAskedAgainWhereTheConnectionIsEnded(t *testing.T) {
	for command, again := range map[string]bool{"INFO": true, "SENTINEL FAILOVER": false} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		asked := make(chan string, 10)
		go func() {
			for first := true; ; {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				in := bufio.NewReader(conn)
				for {
					got, err := readCommand(in)
					if err != nil {
						break
					}
					if !strings.HasPrefix(strings.ToUpper(got), strings.ToUpper(command)) {
						_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
						continue
					}
					asked <- got
					if first {
						first = false
						break
					}
					_, _ = io.WriteString(conn, "+OK\r\n")
				}
				_ = conn.Close()
			}
		}()
		words := []any{}
		for _, word := range strings.Fields(command) {
			words = append(words, word)
		}
		_, err = node(t, netip.MustParseAddrPort(listener.Addr().String()), "").Do(t.Context(), words...)
		if again {
			require.NoError(t, err, command)
			require.Len(t, asked, 2, command)
		} else {
			require.Error(t, err, "it may have been obeyed")
			require.Len(t, asked, 1, command)
		}
	}
}

func TestNodeThatRefusesIsNotOneThatIsSilent(t *testing.T) {
	_, err := node(t, refusing(t), "").Info(t.Context())
	require.Equal(t, Refused, ReachOf(err), "%v", err)

	began := time.Now()
	_, err = node(t, silent(t), "").Info(t.Context())
	require.Equal(t, Unknown, ReachOf(err), "%v", err)
	require.Less(t, time.Since(began), 2*time.Second, "a call is bounded")

	addr, _ := fake(t, func(string) string { return "-BUSY Redis is busy running a script\r\n" })
	_, err = node(t, addr, "").Info(t.Context())
	require.Equal(t, Answered, ReachOf(err), "%v", err)
	require.ErrorContains(t, err, "INFO at "+addr.String()+": BUSY")

	require.Equal(t, Answered, ReachOf(nil))
	require.Equal(t, Answered, ReachOf(fmt.Errorf("wrapped: %w", redis.Nil)))
	require.Equal(t, Unknown, ReachOf(context.DeadlineExceeded))
	require.Equal(t, Unknown, ReachOf(errors.New("whatever")))
	require.Equal(t, "unknown refused answered", fmt.Sprint(Unknown, " ", Refused, " ", Answered))
}

func TestNodeThatComesUpIsSeenAtOnce(t *testing.T) {
	addr := refusing(t)
	n := node(t, addr, "")
	for range 10 {
		_, err := n.Info(t.Context())
		require.Equal(t, Refused, ReachOf(err))
	}
	fakeAt(t, addr.String(), func(string) string { return bulk("role:master") })
	got, err := n.Info(t.Context())
	require.NoError(t, err)
	require.True(t, got.Master)
}

func TestRefusedPasswordIsExplained(t *testing.T) {
	for _, reply := range []string{
		"-NOAUTH Authentication required.", "-WRONGPASS invalid username-password pair or user is disabled.",
		"-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
	} {
		addr, _ := fake(t, func(string) string { return reply + "\r\n" })
		_, err := node(t, addr, "").Info(t.Context())
		require.ErrorIs(t, err, ErrPassword, reply)
		require.ErrorContains(t, err, addr.String())
		require.Equal(t, Answered, ReachOf(err), reply)
	}
}

func TestPasswordIsSentAndNeverTold(t *testing.T) {
	addr, commands := fake(t, func(command string) string {
		if strings.HasPrefix(command, "auth") {
			return "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		}
		return "+OK\r\n"
	})
	_, err := node(t, addr, "hush hush").Info(t.Context())
	require.Error(t, err)
	require.Contains(t, commands(), "auth hush hush")
	require.NotContains(t, err.Error(), "hush")
}

func TestCommandsAreTheOnesRedisKnows(t *testing.T) {
	addr, commands := fake(t, func(string) string { return "+OK\r\n" })
	n := node(t, addr, "")
	ctx := t.Context()
	require.Equal(t, addr, n.Addr())
	require.NoError(t, n.Follow(ctx, netip.MustParseAddrPort("[fd00::1]:6379")))
	require.NoError(t, n.Promote(ctx))
	require.NoError(t, n.Set(ctx, "replica-priority", 100))
	require.NoError(t, n.PauseWrites(ctx, 1500*time.Millisecond))
	require.NoError(t, n.Unpause(ctx))
	require.NoError(t, n.DropClients(ctx))
	require.NoError(t, n.FailOver(ctx, "mymaster"))
	require.NoError(t, n.RefreshOften(ctx))
	require.Equal(t, []string{
		"REPLICAOF fd00::1 6379", "REPLICAOF NO ONE", "CONFIG SET replica-priority 100", "CLIENT PAUSE 1500 WRITE", "CLIENT UNPAUSE",
		"CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub SKIPME yes", "SENTINEL FAILOVER mymaster",
		"SENTINEL DEBUG info-period 1000 ping-period 250 election-timeout 1500 slave-reconf-timeout 2000 tilt-period 5000",
	}, commands())
}
