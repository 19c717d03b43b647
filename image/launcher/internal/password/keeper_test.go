package password

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

var quiet = slog.New(slog.DiscardHandler)

// secret is a mounted Secret, and the folder in memory of a pod.
type secret struct {
	t      *testing.T
	config config.Config
}

func mount(t *testing.T, password string) *secret {
	t.Helper()
	s := &secret{t: t, config: config.Config{RunDir: t.TempDir(), PasswordSource: config.PasswordSource{
		File: filepath.Join(t.TempDir(), "password"), Asked: true, Grace: grace,
	}}}
	s.hold(password)
	return s
}

func (s *secret) hold(password string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.config.PasswordSource.File, []byte(password), 0o600))
}

// open is the start of a launcher.
func (s *secret) open() (*Keeper, config.Config) {
	s.t.Helper()
	c := s.config
	k, err := Open(&c, quiet)
	require.NoError(s.t, err)
	return k, c
}

// nobody answers.
func nobody(context.Context, State) ([]Node, bool) { return nil, true }

// all accept both passwords.
func all(context.Context, State) ([]Node, bool) { return []Node{both("a"), both("b")}, true }

// some pods have not read the new password.
func some(context.Context, State) ([]Node, bool) { return []Node{both("a"), late("b")}, true }

func TestKeeperTakesWhatTwoLooksFindTheSame(t *testing.T) {
	s := mount(t, "old")
	k, c := s.open()
	require.Equal(t, "old", c.Password)
	require.Equal(t, []string{"old"}, c.PasswordSource.Trying())
	require.NotEmpty(t, k.Waits(), "a new pod asks the others first")
	k.turn(t.Context(), nobody)
	require.Empty(t, k.Waits())
	<-k.Changed()

	s.hold("new")
	k.turn(t.Context(), some)
	require.Equal(t, "old", k.Apply(c).Password, "after one look")
	k.turn(t.Context(), some)
	c = k.Apply(c)
	require.Equal(t, "new", c.Password)
	require.Equal(t, "old", c.LinkPassword())
	require.Len(t, c.Passwords.Accepted, 3)
	require.Equal(t, 1, k.Told().Earlier)
	require.False(t, k.Told().InUse)
	require.Contains(t, k.Told().Pending[0], "not all pods have read the new password: b")
	<-k.Changed()
	k.turn(t.Context(), all)
	require.Equal(t, "new", k.Apply(c).LinkPassword())
	require.WithinDuration(t, time.Now().Add(grace), k.Told().Until, time.Minute)
	require.Empty(t, k.Told().Pending)
	s.config.PasswordSource.Grace = time.Nanosecond
	k.Follow(func() config.Config { return s.config })
	k.turn(t.Context(), all)
	require.Zero(t, k.Told().Earlier)
}

func TestNextLauncherGoesOnInEachStep(t *testing.T) {
	s := mount(t, "old")
	k, _ := s.open()
	k.turn(t.Context(), nobody)
	s.hold("new")
	k, c := s.open() // the kubelet has refreshed the file between two containers
	require.Equal(t, []string{"old", "new"}, c.PasswordSource.Trying())
	require.Empty(t, k.Waits(), "the pod is not new")
	k.turn(t.Context(), some)
	k, c = s.open()
	require.Equal(t, "old", c.LinkPassword())
	k.turn(t.Context(), all)
	k, c = s.open()
	require.Equal(t, "new", c.LinkPassword())
	require.Equal(t, 1, k.Told().Earlier)
	until := k.Told().Until
	k, _ = s.open()
	require.True(t, until.Equal(k.Told().Until), "the grace period does not begin anew")
}

func TestPasswordsThatNobodyCanUseAreRefused(t *testing.T) {
	s := mount(t, "good")
	for password, want := range map[string]string{"": "empty", "line\n": "control character", "\xff": "not UTF-8"} {
		s.hold(password)
		c := s.config
		_, err := Open(&c, quiet)
		var problems *config.ProblemsError
		require.ErrorAs(t, err, &problems)
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.Remove(s.config.PasswordSource.File))
	c := s.config
	_, err := Open(&c, quiet)
	require.ErrorContains(t, err, "has the Secret this key?")

	s.hold("good")
	k, _ := s.open()
	k.turn(t.Context(), nobody)
	require.NoError(t, os.Remove(s.config.PasswordSource.File))
	for range 3 {
		k.turn(t.Context(), nobody)
	}
	require.Equal(t, "good", k.Apply(s.config).Password, "a Secret that is gone opens no Redis")
	require.Contains(t, k.Told().Pending[0], "the earlier password stays")
	k, c = s.open() // the container has restarted
	require.Equal(t, "good", c.Password)
	require.NotEmpty(t, k.Told().Pending)
	s.hold("good")
	k.turn(t.Context(), nobody)
	require.Empty(t, k.Told().Pending)
}

func TestAuthIsTurnedOnAndOffByTheSettings(t *testing.T) {
	s := mount(t, "secret")
	s.config.PasswordSource.Asked = false
	k, c := s.open()
	require.Empty(t, c.Password)
	k.Follow(func() config.Config { return s.config })
	k.turn(t.Context(), nobody)
	s.config.PasswordSource.Asked = true
	for range 2 {
		k.turn(t.Context(), all)
	}
	c = k.Apply(c)
	require.Equal(t, "secret", c.Password)
	require.Equal(t, []string{"nopass"}, c.Passwords.Accepted)
	require.True(t, k.Told().Aware)
	require.False(t, k.Told().Asked)
	s.config.PasswordSource.Asked = false
	for range 2 {
		k.turn(t.Context(), all)
	}
	require.Empty(t, k.Apply(c).Password)
}

func TestStateThatCannotBeKeptDoesNotCount(t *testing.T) {
	s := mount(t, "old")
	k, c := s.open()
	k.turn(t.Context(), nobody)
	k.state = filepath.Join(s.config.RunDir, "nowhere", "passwords.json")
	s.hold("new")
	for range 3 {
		k.turn(t.Context(), all)
	}
	require.Equal(t, "old", k.Apply(c).Password)
	require.Contains(t, k.Told().Pending[0], "keep the passwords")
}

// While the API is away a new pod starts, and the pods keep their password.
func TestPodWithoutAListOfTheOthersStartsAndChangesNothing(t *testing.T) {
	unlisted := func(context.Context, State) ([]Node, bool) { return nil, false }
	s := mount(t, "old")
	k, _ := s.open()
	k.turn(t.Context(), unlisted)
	require.Contains(t, k.Waits(), "the API has not listed the pods")
	k.now.Read = time.Now().Add(-silence)
	k.turn(t.Context(), unlisted)
	require.Empty(t, k.Waits())
	k.turn(t.Context(), func(context.Context, State) ([]Node, bool) {
		return []Node{{Pod: "b", Answered: true, Wanted: true, Accepts: []old{{Sum: sum("earlier")}}}}, true
	})
	require.Len(t, k.now.Old, 1, "it learns what the others accept when it knows them")
	k.now.Old = nil
	s.hold("new")
	for range 3 {
		k.turn(t.Context(), unlisted)
	}
	k.now.Read = time.Now().Add(-time.Hour)
	k.turn(t.Context(), unlisted)
	require.Equal(t, "old", k.Apply(s.config).LinkPassword())
}

func TestPasswordOfTheEnvironmentHasNoKeeper(t *testing.T) {
	c := config.Config{Password: "secret"}
	k, err := Open(&c, quiet)
	require.NoError(t, err)
	require.Nil(t, k)
	require.Nil(t, k.Told())
	require.Nil(t, k.Changed())
	require.Nil(t, k.Trying())
	require.Empty(t, k.Waits())
	require.Equal(t, c, k.Apply(c))
	k.Follow(nil)
	k.Run(t.Context(), nil)
}
