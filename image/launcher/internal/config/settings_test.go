package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// settingsFile writes a settings file and gives the change of the environment that names it.
func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return "LAUNCHER_SETTINGS_FILE=" + path
}

// complete gives changes of the environment after all variables that a settings file may hold.
func complete(changes ...string) []string {
	return append([]string{
		"LAUNCHER_SERVERS=3", "LAUNCHER_SENTINELS=3", "LAUNCHER_QUORUM=2", "LAUNCHER_DOWN_AFTER_MILLISECONDS=3000", "LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS=8000",
		"LAUNCHER_MIN_REPLICAS_TO_WRITE=1", "LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS=3", "LAUNCHER_LOG_LEVEL=info", "LAUNCHER_AUTH=false", "LAUNCHER_PASSWORD_GRACE_SECONDS=60",
	}, changes...)
}

// The default of a line that somebody has removed could be another number of sentinels, or fewer replicas for a write.
func TestSettingsFileLeavesNothingToDefaults(t *testing.T) {
	require.Equal(t, []string{
		"LAUNCHER_SETTINGS_FILE lacks LAUNCHER_MIN_REPLICAS_TO_WRITE: set it there",
		"LAUNCHER_SETTINGS_FILE lacks LAUNCHER_SENTINELS: set it there",
	}, refused(t, complete("LAUNCHER_SENTINELS", "LAUNCHER_MIN_REPLICAS_TO_WRITE", settingsFile(t, "LAUNCHER_SERVERS=3\n"))...))
	require.Len(t, refused(t, settingsFile(t, "")), 10, "an empty file")
	require.Equal(t, []string{"LAUNCHER_SETTINGS_FILE lacks LAUNCHER_QUORUM: set it there"}, refused(t, complete(settingsFile(t, "LAUNCHER_QUORUM=\n"))...))
}

func TestSettingsFileReplacesVariables(t *testing.T) {
	c := accepted(t, complete("LAUNCHER_SERVERS=2", "LAUNCHER_SENTINELS=5", settingsFile(t, `# numbers
LAUNCHER_SERVERS=7
LAUNCHER_QUORUM=4

LAUNCHER_DOWN_AFTER_MILLISECONDS=5000
LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS=9000
LAUNCHER_MIN_REPLICAS_TO_WRITE=3
LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS=4
LAUNCHER_LOG_LEVEL=debug
`))...)
	require.Equal(t, 7, c.Servers)
	require.Equal(t, 5, c.Sentinels, "what the file leaves out comes from the environment")
	require.Equal(t, 4, c.Quorum)
	require.Equal(t, 5*time.Second, c.DownAfter)
	require.Equal(t, 9*time.Second, c.FailoverTimeout)
	require.Equal(t, 3, c.MinReplicas)
	require.Equal(t, 4*time.Second, c.MinReplicasMaxLag)
	require.Equal(t, slog.LevelDebug, c.LogLevel)
}

func TestSettingsFileIsRefusedWithAllItsProblems(t *testing.T) {
	require.Equal(t, []string{
		`LAUNCHER_SERVERS is "many": set it to a whole number from 1 to 50`,
		"LAUNCHER_SETTINGS_FILE has no NAME=value in line 2: correct it",
		"LAUNCHER_SETTINGS_FILE sets LAUNCHER_DATA_DIR, which cannot change while the launcher runs: correct the name, or set the variable in the environment",
		"LAUNCHER_SETTINGS_FILE sets LAUNCHER_QUORUM twice: remove one of them",
	}, refused(t, complete(settingsFile(t, "LAUNCHER_SERVERS=many\nnonsense\nLAUNCHER_QUORUM=2\nLAUNCHER_QUORUM=3\nLAUNCHER_DATA_DIR=/\n"))...))
	require.Contains(t, refused(t, "LAUNCHER_SETTINGS_FILE=/nowhere/settings")[0], "LAUNCHER_SETTINGS_FILE cannot be read")
}

// Servers and sentinels read the same settings file, and only servers the further directives.
func TestVersionOfTheSettingsFollowsTheirFile(t *testing.T) {
	first := accepted(t, complete(settingsFile(t, "LAUNCHER_SERVERS=3\n"))...).SettingsVersion
	require.Len(t, first, 8)
	require.Equal(t, first, accepted(t, complete("SENTINEL=true", settingsFile(t, "LAUNCHER_SERVERS=3\n"))...).SettingsVersion)
	require.NotEqual(t, first, accepted(t, complete(settingsFile(t, "# another text\nLAUNCHER_SERVERS=3\n"))...).SettingsVersion)
	require.Empty(t, accepted(t).SettingsVersion)
}

func TestDirectiveIsThatOfTheUserOrTheFallback(t *testing.T) {
	c := config.Config{ExtraConfig: []string{"maxmemory 1gb", `Replica-Serve-Stale-Data "no"`, "client-output-buffer-limit replica 1 1 1"}}
	require.Equal(t, "no", c.Directive("replica-serve-stale-data", "yes"))
	require.Equal(t, "no", c.Directive("appendfsync", "no"))
	require.Equal(t, "none", c.Directive("client-output-buffer-limit", "none"), "it has more than one value")
}
