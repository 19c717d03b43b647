package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

func TestPasswordComesFromAFile(t *testing.T) {
	c := accepted(t, "LAUNCHER_PASSWORD_FILE=/secret/password", "LAUNCHER_PASSWORD_GRACE_SECONDS=60", "REDIS_PASS=an earlier one")
	require.Equal(t, config.PasswordSource{File: "/secret/password", Asked: true, Grace: time.Minute}, c.PasswordSource)
	require.Empty(t, c.Password, "package password reads the file")
	require.False(t, accepted(t, "LAUNCHER_PASSWORD_FILE=/secret/password", "LAUNCHER_AUTH=false").PasswordSource.Asked)
	require.False(t, accepted(t, "LAUNCHER_AUTH=true", "REDIS_PASS=secret").PasswordSource.Asked, "without a file")
	accepted(t, "LAUNCHER_PASSWORD_FILE=/secret/password", "REDIS_PASS=") // a Secret with an empty password may have been mended since
	require.Contains(t, refused(t, "LAUNCHER_AUTH=maybe")[0], "LAUNCHER_AUTH")
	require.Contains(t, refused(t, "LAUNCHER_PASSWORD_GRACE_SECONDS=0")[0], "LAUNCHER_PASSWORD_GRACE_SECONDS")
}

func TestLinksUseTheOldPasswordUntilItHasBeenReplaced(t *testing.T) {
	require.Equal(t, "secret", config.Config{Password: "secret"}.LinkPassword())
	require.Equal(t, "old", config.Config{Password: "new", Passwords: &config.Passwords{Link: "old"}}.LinkPassword())
}
