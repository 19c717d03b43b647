package redisconf

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// encrypted are the settings of a pod with a certificate.
func encrypted(t *testing.T, secret fakeauthority.Secret) config.Config {
	t.Helper()
	c := settings(func(c *config.Config) {
		c.BindAddress, c.RedisPort, c.SentinelPort, c.DataDir, c.RunDir = "127.0.0.1", freePort(t), freePort(t), t.TempDir(), t.TempDir()
		c.TLS = config.TLS{CertFile: "/etc/redis-ha-tls/tls.crt", AuthClients: true, Folder: t.TempDir()}
	})
	secret.Write(t, c.TLS.Folder)
	return c
}

// shown is the certificate that a port shows.
func shown(t *testing.T, port int, as *tls.Config) []byte {
	t.Helper()
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), as)
	require.NoError(t, err)
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].Raw
}

func TestEncryptedRedisReadsAnotherCertificateWhenItIsTold(t *testing.T) {
	a := fakeauthority.New(t, fakeauthority.Long)
	before, next := a.Sign(t, fakeauthority.Long), a.Sign(t, fakeauthority.Long)
	c := encrypted(t, before)
	client := runEncrypted(t, Server(c, netip.AddrPort{}), c.RedisPort, "", before.Client(t))
	values, err := client.ConfigGet(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Equal(t, "0", values["port"])
	require.Equal(t, strconv.Itoa(c.RedisPort), values["tls-port"])
	require.Equal(t, "yes", values["tls-replication"])
	require.Equal(t, "yes", values["tls-auth-clients"])
	raw := func(s fakeauthority.Secret) []byte { block, _ := pem.Decode(s.Cert); return block.Bytes }
	require.Equal(t, raw(before), shown(t, c.RedisPort, before.Client(t)))
	c.TLS.Folder = t.TempDir()
	next.Write(t, c.TLS.Folder)
	set := []any{"CONFIG", "SET"}
	for _, d := range Certificate(c) {
		set = append(set, d.Name, d.Value)
	}
	require.NoError(t, client.Do(t.Context(), set...).Err())
	require.Equal(t, raw(next), shown(t, c.RedisPort, before.Client(t)))
	require.NoError(t, client.Ping(t.Context()).Err(), "connections stay")
}

func TestEncryptedSentinelTakesTheConfiguration(t *testing.T) {
	s := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	c := encrypted(t, s)
	client := runEncrypted(t, Sentinel(c, seed), c.SentinelPort, "", s.Client(t), "--sentinel")
	id, err := client.Do(t.Context(), "SENTINEL", "MYID").Text()
	require.NoError(t, err)
	require.Equal(t, seed.ID, id)
}

func TestLinksOfAnEncryptedReleaseAreEncryptedAndThoseToAPlainExternalMasterAreNot(t *testing.T) {
	c := config.Config{TLS: config.TLS{CertFile: "x"}, External: config.External{Host: "old", Port: 6379}}
	require.Contains(t, Link(c, false), Directive{"tls-replication", "yes"})
	require.Contains(t, Link(c, true), Directive{"tls-replication", "no"})
}
