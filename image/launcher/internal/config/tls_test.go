package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

func TestCertificate(t *testing.T) {
	files := []string{"LAUNCHER_TLS_CERT_FILE=/tls/tls.crt", "LAUNCHER_TLS_KEY_FILE=/tls/tls.key", "LAUNCHER_TLS_CA_FILE=/tls/ca.crt"}
	with := func(variables ...string) (config.Config, error) { return config.FromEnviron(environment(variables...)) }
	c, err := with(files...)
	require.NoError(t, err)
	require.Equal(t, config.TLS{CertFile: "/tls/tls.crt", KeyFile: "/tls/tls.key", CAFile: "/tls/ca.crt", AuthClients: true}, c.TLS)
	require.True(t, c.TLS.On())
	c, err = with(append(files, "LAUNCHER_TLS_AUTH_CLIENTS=false")...)
	require.NoError(t, err)
	require.False(t, c.TLS.AuthClients)
	c, err = with()
	require.NoError(t, err)
	require.False(t, c.TLS.On())

	for i := range files {
		_, err = with(append(append([]string{}, files[:i]...), files[i+1:]...)...)
		require.ErrorContains(t, err, "is missing, and another file of the certificate is set")
	}
	_, err = with("LAUNCHER_TLS_AUTH_CLIENTS=true")
	require.ErrorContains(t, err, "nothing is encrypted")
	_, err = with(append(files, "LAUNCHER_EXTERNAL_MASTER=old:6379", "LAUNCHER_EXTERNAL_MASTER_TLS=true")...)
	require.ErrorContains(t, err, "encrypt the release after the cut-over")

	only, err := config.TLSFromEnviron(append(files, "PATH=/bin"))
	require.NoError(t, err)
	require.Equal(t, "/tls/tls.crt", only.CertFile)
	_, err = config.TLSFromEnviron(files[:1])
	var problems *config.ProblemsError
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems.Problems, 2)
}
