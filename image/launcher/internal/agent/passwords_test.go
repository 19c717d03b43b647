package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// keep gives the passwords of a pod whose Secret has changed, and what the others accept.
func keep(t *testing.T, s *Server, texts ...string) *password.Keeper {
	t.Helper()
	s.config.RunDir = t.TempDir()
	s.config.PasswordSource.File, s.config.PasswordSource.Asked = filepath.Join(t.TempDir(), "password"), true
	var k *password.Keeper
	for _, text := range texts {
		require.NoError(t, os.WriteFile(s.config.PasswordSource.File, []byte(text), 0o600))
		c, err := s.config, error(nil)
		k, err = password.Open(&c, quiet)
		require.NoError(t, err)
		once, cancel := context.WithCancel(t.Context())
		k.Run(once, func(context.Context, password.State) ([]password.Node, bool) {
			cancel()
			return []password.Node{{Pod: "b", Down: true}}, true
		})
	}
	return k
}

func commands(heard []string, start string) []string {
	return slices.DeleteFunc(slices.Clone(heard), func(command string) bool { return !strings.HasPrefix(command, start) })
}

func TestRunningRedisIsToldOfOtherPasswordsUntilItHasTakenThem(t *testing.T) {
	s, redis := sized(t, release(t, "server-a"))
	s.passwords, s.child = keep(t, s, "old", "new"), &process.Child{}
	redis.Answer("ACL SETUSER", "-ERR out of order\r\n")
	s.authorize(t.Context())
	require.Contains(t, strings.Join(toldOf(s.passwords, s.unauthorized).Pending, "\n"), "ERR out of order")
	redis.Answer("ACL SETUSER", "+OK\r\n")
	redis.Answer("CONFIG SET masterauth", "+OK\r\n")
	for range 3 {
		s.authorize(t.Context())
	}
	told := commands(redis.Heard(), "ACL SETUSER default resetpass #")
	require.Len(t, told, 2, "once more, and then not again")
	require.Len(t, strings.Fields(told[1]), 6, "both passwords, as sums")
	require.NotContains(t, told[1], "old")
	require.Equal(t, []string{"masterauth old masteruser default"}, directives(redis))
	require.NotContains(t, strings.Join(toldOf(s.passwords, s.unauthorized).Pending, "\n"), "ERR out of order")

	s.authorized, s.child = authorization{}, nil
	s.authorize(t.Context())
	require.Len(t, commands(redis.Heard(), "ACL"), 2, "a Redis that does not run starts with them")
}

func TestNewPodStartsNothingBeforeItKnowsThePasswordsOfTheOthers(t *testing.T) {
	s, redis := sized(t, release(t, "server-a"))
	s.config.PasswordSource.File, s.config.PasswordSource.Asked = filepath.Join(t.TempDir(), "password"), true
	s.config.RunDir = t.TempDir()
	require.NoError(t, os.WriteFile(s.config.PasswordSource.File, []byte("new"), 0o600))
	c := s.config
	var err error
	s.passwords, err = password.Open(&c, quiet)
	require.NoError(t, err)
	s.child = nil
	require.NoError(t, s.start(redis.Addr, false))
	require.Nil(t, s.child)
	require.NoError(t, s.claim(t.Context(), s.plan.Seen))
	require.Nil(t, s.child)
	require.False(t, s.memory.Record.Initialised, "nothing is claimed that cannot be served")
	require.NoFileExists(t, filepath.Join(s.config.RunDir, "redis.conf"))
}

// Passwords may change twice while a backup is loaded: a Redis that knows the first one only would refuse its own launcher.
func TestRedisThatLoadsABackupIsToldOfOtherPasswords(t *testing.T) {
	s, redis := sized(t, release(t, "server-a"))
	s.passwords, s.child = keep(t, s, "old", "new"), nil
	redis.Answer("ACL SETUSER", "+OK\r\n")
	redis.Answer("CONFIG SET masterauth", "+OK\r\n")
	s.replacing = &replacing{child: &process.Child{}, node: redisnode.New(redis.Addr, "")}
	t.Cleanup(s.replacing.node.Close)
	for range 3 {
		s.authorize(t.Context())
	}
	require.Len(t, commands(redis.Heard(), "ACL SETUSER default resetpass #"), 1)
	require.Equal(t, []string{"masterauth old masteruser default"}, directives(redis))
	require.Equal(t, authorizationOf(s.passwords.Apply(s.config)), s.replacing.authorized, "the takeover hands it over")
	require.Zero(t, s.authorized)
}

func TestFailureIsNotToldOfAnEarlierRedis(t *testing.T) {
	s, redis := sized(t, release(t, "server-a"))
	s.passwords, s.child = keep(t, s, "old", "new"), &process.Child{}
	redis.Answer("ACL SETUSER", "-ERR out of order\r\n")
	s.authorize(t.Context())
	require.NotEmpty(t, s.unauthorized)
	s.authorized = authorizationOf(s.passwords.Apply(s.config)) // the next Redis has started with them
	s.authorize(t.Context())
	require.Empty(t, s.unauthorized)
}

// A roll-out with another Secret would replace one sentinel after the other, until none of them could reach the master.
func TestSentinelIsNotReadyWhileOthersRefuseItsPassword(t *testing.T) {
	server := release(t, "sentinel-a")
	c := configured(t, server, "sentinel-a")
	c.RunDir = t.TempDir()
	c.PasswordSource.File, c.PasswordSource.Asked = filepath.Join(t.TempDir(), "password"), true
	require.NoError(t, os.WriteFile(c.PasswordSource.File, []byte("another one"), 0o600))
	state := fmt.Sprintf(`{"wanted": "another one", "used": "another one", "new": true, "read": %q}`, time.Now().Add(-time.Hour).Format(time.RFC3339))
	require.NoError(t, os.WriteFile(filepath.Join(c.RunDir, "passwords.json"), []byte(state), 0o600))
	k, err := password.Open(&c, quiet)
	require.NoError(t, err)
	s := &Sentinel{passwords: k}
	for _, accepts := range []bool{false, true} {
		once, cancel := context.WithCancel(t.Context())
		k.Run(once, func(context.Context, password.State) ([]password.Node, bool) {
			cancel()
			return []password.Node{{Pod: "b", Answered: true, Wanted: accepts}}, true
		})
		require.Empty(t, k.Waits(), "it starts")
		require.Equal(t, accepts, s.notReady(role.SentinelDecision{Ready: true}) == "")
	}
	require.Equal(t, "no master", s.notReady(role.SentinelDecision{Reason: "no master"}))
}
