package redisconf

import (
	"crypto/tls"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

var outside = netip.MustParseAddrPort("192.0.2.1:6380")

func TestEachMasterGetsItsOwnPassword(t *testing.T) {
	for _, passwords := range [][2]string{{"ours", "theirs"}, {"ours", ""}, {"", "theirs"}, {"", ""}} {
		c := settings(func(c *config.Config) {
			c.Password, c.External = passwords[0], config.External{Host: "old", Port: 6380, Password: passwords[1]}
		})
		own, external := parsed(t, Server(c, outside)), parsed(t, ExternalReplica(c, outside))
		for _, side := range []struct {
			found    map[string][][]string
			password string
		}{{own, passwords[0]}, {external, passwords[1]}} {
			if side.password == "" {
				require.NotContains(t, side.found, "masterauth", "Redis refuses a password that it does not ask for")
			} else {
				require.Equal(t, [][]string{{side.password}}, side.found["masterauth"])
			}
			require.NotContains(t, side.found, "tls-replication")
		}
		require.Equal(t, own["requirepass"], external["requirepass"], "clients of the release have the password of the release")
		require.Equal(t, [][]string{{"192.0.2.1", "6380"}}, external["replicaof"])
		require.Equal(t, []Directive{{"masterauth", passwords[0]}}, Link(c, false))
		require.Equal(t, []Directive{{"masterauth", passwords[1]}}, Link(c, true))
	}
}

func TestOnlyLinksToAnExternalMasterAreEncrypted(t *testing.T) {
	c := settings(func(c *config.Config) {
		c.RunDir, c.External = t.TempDir(), config.External{Host: "old", Port: 6380, TLS: true}
	})
	own, external := parsed(t, Server(c, outside)), parsed(t, ExternalReplica(c, outside))
	require.Equal(t, [][]string{{"no"}}, own["tls-replication"])
	require.Equal(t, [][]string{{"yes"}}, external["tls-replication"])
	require.Equal(t, [][]string{{config.Authorities}}, external["tls-ca-cert-file"])
	require.NotContains(t, external, "tls-port", "clients of the release do not encrypt")
	require.Contains(t, Link(c, false), Directive{"tls-replication", "no"})
	require.Contains(t, Link(c, true), Directive{"tls-replication", "yes"})

	require.NoError(t, WriteCertificate(c))
	_, err := tls.LoadX509KeyPair(filepath.Join(c.RunDir, certificateFile), filepath.Join(c.RunDir, keyFile))
	require.NoError(t, err)
	c.External.TLS, c.RunDir = false, "/no/such/folder"
	require.NoError(t, WriteCertificate(c), "none is needed")
}
