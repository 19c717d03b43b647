package redisnode

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// demanding starts a Redis that accepts one password.
func demanding(t *testing.T, password string) *fakeredis.Server {
	redis := fakeredis.Start(t, map[string]string{"PING": "+PONG\r\n"})
	redis.AnswerBy("auth", func(command string) string {
		if strings.EqualFold(command, "auth default "+password) {
			return "+OK\r\n"
		}
		return "-WRONGPASS invalid username-password pair\r\n"
	})
	redis.AnswerBy("hello", func(command string) string {
		if strings.HasSuffix(command, " auth default "+password) {
			return "-ERR unknown command\r\n"
		}
		return "-WRONGPASS invalid username-password pair\r\n"
	})
	return redis
}

// Each call tries all passwords, also where another call tries them at the same time.
func TestCallsAtTheSameTimeFindThePasswordThatIsAccepted(t *testing.T) {
	redis := demanding(t, "new")
	for range 50 {
		n := New(redis.Addr, "").Trying(func() []string { return []string{"old", "new"} })
		var wait sync.WaitGroup
		for range poolSize {
			wait.Go(func() {
				_, err := n.Do(t.Context(), "PING")
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		n.Close()
	}
}

func TestRefusedPasswordIsTold(t *testing.T) {
	redis := demanding(t, "new")
	n := New(redis.Addr, "").Trying(func() []string { return []string{"old", "older"} })
	t.Cleanup(n.Close)
	_, err := n.Do(t.Context(), "PING")
	require.ErrorIs(t, err, ErrPassword)
	accepts, reach := n.Accepts(t.Context())
	require.False(t, accepts)
	require.Equal(t, Answered, reach)
}

// The other connections of the node are open, and so need no password.
func TestMessagesAreWatchedWithAnotherPasswordAfterARefusal(t *testing.T) {
	redis := demanding(t, "new")
	passwords := []string{"old"}
	n := New(redis.Addr, "").Trying(func() []string { return passwords })
	t.Cleanup(n.Close)
	passwords = []string{"new"}
	err := n.Watch(t.Context(), func(Notice) {}, "+sdown")
	require.ErrorContains(t, err, "WRONGPASS")
	redis.Answer("subscribe", "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1\r\nx\r\n")
	ctx, end := context.WithTimeout(t.Context(), 10*time.Second)
	var heard []Notice
	_ = n.Watch(ctx, func(notice Notice) { heard = append(heard, notice); end() }, "+sdown")
	end()
	require.Equal(t, []Notice{{Channel: "+sdown", Payload: "x"}}, heard)
}
