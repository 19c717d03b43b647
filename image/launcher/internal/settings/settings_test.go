package settings

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// followed is a Follower with its files and its log.
type followed struct {
	*Follower
	file, directives string
	logged           *strings.Builder
	level            *slog.LevelVar
	now              time.Time
}

func follow(t *testing.T, sentinel bool, text string) *followed {
	t.Helper()
	dir := t.TempDir()
	f := &followed{file: filepath.Join(dir, "settings"), directives: filepath.Join(dir, "redis.conf"), logged: &strings.Builder{}, level: &slog.LevelVar{}, now: time.Unix(1000, 0)}
	environ := []string{
		"REDIS_CHART_PREFIX=redis-ha-", "POD_NAME=a", "POD_NAMESPACE=default", "POD_UID=uid", "POD_IP=10.0.0.1", "LAUNCHER_POD_SELECTOR=app=redis-ha",
		"LAUNCHER_SETTINGS_FILE=" + f.file, "LAUNCHER_SERVERS=3", "LAUNCHER_SENTINELS=3", "LAUNCHER_QUORUM=2", "LAUNCHER_DOWN_AFTER_MILLISECONDS=3000",
		"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS=8000", "LAUNCHER_MIN_REPLICAS_TO_WRITE=1", "LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS=3", "LAUNCHER_LOG_LEVEL=info", "LAUNCHER_AUTH=false", "LAUNCHER_PASSWORD_GRACE_SECONDS=60",
	}
	if sentinel {
		environ = append(environ, "SENTINEL=true")
	} else {
		environ = append(environ, "LAUNCHER_REDIS_CONFIG_FILE="+f.directives)
	}
	f.write(t, f.file, text)
	f.write(t, f.directives, "")
	c, err := config.FromEnviron(environ)
	require.NoError(t, err)
	f.Follower = Follow(environ, c, f.level, slog.New(slog.NewTextHandler(f.logged, nil)))
	return f
}

func (f *followed) write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// looks reads the files so many times, a second after each other.
func (f *followed) looks(n int) {
	for range n {
		f.now = f.now.Add(time.Second)
		f.look(f.now)
	}
}

func (f *followed) told() bool {
	select {
	case <-f.Changed():
		return true
	default:
		return false
	}
}

func TestChangeCountsWhenTwoLooksHaveFoundIt(t *testing.T) {
	f := follow(t, false, "LAUNCHER_SERVERS=3\n")
	f.looks(3)
	require.False(t, f.told(), "nothing has changed")
	f.write(t, f.file, "LAUNCHER_SERVERS=5\nLAUNCHER_LOG_LEVEL=debug\n")
	f.looks(1)
	require.Equal(t, 3, f.Config().Servers, "it may still be being written")
	f.looks(1)
	require.Equal(t, 5, f.Config().Servers)
	require.Equal(t, slog.LevelDebug, f.level.Level())
	require.True(t, f.told())
	f.write(t, f.directives, "hz 20\n")
	f.looks(2)
	require.Equal(t, []string{"hz 20"}, f.Config().ExtraConfig)
	require.True(t, f.told())
}

func TestRefusedSettingsChangeNothingAndAreToldOnce(t *testing.T) {
	f := follow(t, false, "LAUNCHER_SERVERS=3\n")
	f.write(t, f.file, "LAUNCHER_SERVERS=5\nLAUNCHER_SENTINELS=4\nLAUNCHER_QUORUM=9\n")
	f.looks(5)
	require.Equal(t, 3, f.Config().Servers)
	require.Len(t, f.Pending(), 2)
	require.Contains(t, strings.Join(f.Pending(), "\n"), "LAUNCHER_SENTINELS is 4")
	require.Contains(t, strings.Join(f.Pending(), "\n"), "LAUNCHER_QUORUM is 9")
	require.Equal(t, 1, strings.Count(f.logged.String(), "the settings are refused"))
	require.NoError(t, os.Remove(f.file))
	f.looks(3)
	require.Equal(t, 3, f.Config().Servers)
	require.Contains(t, f.Pending()[0], "read the settings")
	f.write(t, f.file, "LAUNCHER_SERVERS=4\n")
	f.looks(2)
	require.Equal(t, 4, f.Config().Servers)
	require.Empty(t, f.Pending())
}

// The file that was there before a refusal is read again when it comes back.
func TestSettingsBeforeARefusalCountAgain(t *testing.T) {
	f := follow(t, false, "LAUNCHER_SERVERS=3\n")
	f.write(t, f.file, "nonsense\n")
	f.looks(2)
	require.NotEmpty(t, f.Pending())
	f.write(t, f.file, "LAUNCHER_SERVERS=3\n")
	f.looks(2)
	require.Empty(t, f.Pending())
}

// Servers must never go by a longer down-after than sentinels, whoever reads the change first.
func TestDownAfterOfServersIsNeverLongerThanThatOfSentinels(t *testing.T) {
	text := map[time.Duration]string{
		3 * time.Second: "LAUNCHER_DOWN_AFTER_MILLISECONDS=3000\n", 10 * time.Second: "LAUNCHER_DOWN_AFTER_MILLISECONDS=10000\n",
	}
	short, long := 3*time.Second, 10*time.Second
	for name, c := range map[string]struct {
		sentinel     bool
		before, next time.Duration
		waits        bool
	}{
		"a server takes a shorter time at once":   {false, long, short, false},
		"a server waits for a longer time":        {false, short, long, true},
		"a sentinel takes a longer time at once":  {true, short, long, false},
		"a sentinel waits with a shorter time":    {true, long, short, true},
		"nothing waits where nothing has changed": {true, long, long, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, c.sentinel, text[c.before])
			f.write(t, f.file, text[c.next])
			f.looks(2)
			if !c.waits {
				require.Equal(t, c.next, f.Config().DownAfter)
				require.Empty(t, f.Pending())
				return
			}
			require.Equal(t, c.before, f.Config().DownAfter)
			require.Len(t, f.Pending(), 1)
			require.Contains(t, f.Pending()[0], "a down-after of "+c.next.String())
			f.looks(int(SettleTime.Seconds()) - 1)
			require.Equal(t, c.before, f.Config().DownAfter)
			f.told()
			f.looks(1)
			require.Equal(t, c.next, f.Config().DownAfter)
			require.Empty(t, f.Pending())
			require.True(t, f.told())
		})
	}
}
