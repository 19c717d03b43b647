package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

func TestExternalMaster(t *testing.T) {
	with := func(variables ...string) (config.Config, error) { return config.FromEnviron(environment(variables...)) }
	c, err := with("LAUNCHER_EXTERNAL_MASTER=old-redis-master:6380", "LAUNCHER_EXTERNAL_MASTER_PASS=secret", "LAUNCHER_EXTERNAL_MASTER_TLS=true")
	require.NoError(t, err)
	require.Equal(t, config.External{Host: "old-redis-master", Port: 6380, Password: "secret", TLS: true}, c.External)
	require.True(t, c.External.On())
	c, err = with("LAUNCHER_EXTERNAL_MASTER=[fd00::1]:6379")
	require.NoError(t, err)
	require.Equal(t, "fd00::1", c.External.Host)
	c, err = with()
	require.NoError(t, err)
	require.False(t, c.External.On())

	for _, address := range []string{"old", "old:", ":6379", "old:0", "old:65536", "old:redis"} {
		_, err = with("LAUNCHER_EXTERNAL_MASTER=" + address)
		require.ErrorContains(t, err, "set it to host:port", address)
	}
	_, err = with("LAUNCHER_EXTERNAL_MASTER_PASS=secret")
	require.ErrorContains(t, err, "LAUNCHER_EXTERNAL_MASTER is missing")
	require.NotContains(t, err.Error(), "secret")
	_, err = with("LAUNCHER_EXTERNAL_MASTER=old:6379", "LAUNCHER_EXTERNAL_MASTER_PASS=a\nb")
	require.ErrorContains(t, err, "control character")
	_, err = with("LAUNCHER_EXTERNAL_MASTER=old:6379", "SENTINEL=true")
	require.ErrorContains(t, err, "is set on a sentinel")
	_, err = with(bucket("LAUNCHER_EXTERNAL_MASTER=old:6379", "LAUNCHER_RESTORE_FROM=latest")...)
	require.ErrorContains(t, err, "LAUNCHER_EXTERNAL_MASTER and LAUNCHER_RESTORE_FROM are both set")
}
