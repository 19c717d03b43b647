package redisnode

import (
	"strings"
	"sync"
	"testing"

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
