package certificate

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// selfSigned gives a certificate with an RSA key that is its own authority.
func selfSigned(t *testing.T, bits int) fakeauthority.Secret {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pod"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return fakeauthority.Secret{Cert: cert, CA: cert, Key: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
}

// OpenSSL is stricter than Go. With each of these files Redis 7.0 has not started, or has refused all links.
func TestFilesThatRedisWouldNotTakeAreRefused(t *testing.T) {
	root := fakeauthority.New(t, long)
	between := root.Between(t)
	chained := between.Sign(t, long)
	chained.Cert = append(chained.Cert, between.PEM...)
	const server, client = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	broken := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	with := func(s fakeauthority.Secret, cert, ca []byte) fakeauthority.Secret {
		return fakeauthority.Secret{Cert: append(bytes.Clone(s.Cert), cert...), Key: s.Key, CA: ca}
	}
	for name, c := range map[string]struct {
		secret fakeauthority.Secret
		open   bool   // Redis demands no certificates of clients
		says   string // empty: it is taken
	}{
		"an intermediate authority, and the root":            {secret: with(chained, nil, root.PEM)},
		"the intermediate authority beside the root":         {secret: with(between.Sign(t, long), nil, append(bytes.Clone(between.PEM), root.PEM...))},
		"an intermediate authority without its root":         {secret: chained, says: "must have the certificates up to an authority that has signed itself"},
		"a certificate for servers":                          {secret: root.SignFor(t, long, server), says: "clientAuth"},
		"a certificate for servers, where clients need none": {secret: root.SignFor(t, long, server), open: true},
		"a certificate for clients":                          {secret: root.SignFor(t, long, client), says: "serverAuth"},
		"a certificate for everything":                       {secret: root.SignFor(t, long)},
		"authorities that cannot be read":                    {secret: with(chained, nil, append(bytes.Clone(root.PEM), broken...)), says: "file of authorities"},
		"authorities that have been cut off":                 {secret: with(chained, nil, append(bytes.Clone(root.PEM), between.PEM[:100]...)), says: "2 blocks begin, and 1 can be read"},
		"a chain that cannot be read":                        {secret: with(chained, broken, root.PEM), says: "the chain"},
		"a certificate that has signed itself":               {secret: selfSigned(t, leastRSA)},
		"a short key":                                        {secret: selfSigned(t, leastRSA/2), says: "1024 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.secret.Cert, c.secret.Key, c.secret.CA, !c.open, time.Now())
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}

// Redis shows the certificate that it was given until the launcher, which needs a connection for that, has told it of another one.
func TestOwnProcessMayShowACertificateThatHasExpired(t *testing.T) {
	a := fakeauthority.New(t, long)
	k, err := Open(files(t, t.TempDir(), sign(t, a, long)), quiet)
	require.NoError(t, err)
	expired, err := Open(files(t, t.TempDir(), sign(t, a, -time.Minute)), quiet)
	require.NoError(t, err)
	stranger, err := Open(files(t, t.TempDir(), sign(t, fakeauthority.New(t, long), -time.Minute)), quiet)
	require.NoError(t, err)
	err, _ = handshake(t, k.Own(), expired.Server())
	require.NoError(t, err)
	err, _ = handshake(t, k.Own(), stranger.Server())
	require.ErrorContains(t, err, "signed by unknown authority")
}

// launcher status is asked most of all when the Secret is wrong.
func TestCommandConnectsAsTheLauncherOfItsPod(t *testing.T) {
	a, b := fakeauthority.New(t, long), fakeauthority.New(t, long)
	mounted, run, good, broken := t.TempDir(), t.TempDir(), sign(t, a, long), sign(t, b, long)
	f := files(t, mounted, good)
	k, err := OpenKept(f, run, quiet)
	require.NoError(t, err)
	require.True(t, k.stage.shown.same(good), "without a launcher that runs")
	launcher, err := Open(f, quiet)
	require.NoError(t, err)
	require.NoError(t, launcher.Keep(run))
	broken.Key = good.Key
	files(t, mounted, broken)
	k, err = OpenKept(f, run, quiet)
	require.NoError(t, err)
	require.True(t, k.stage.shown.same(good))
	none, err := OpenKept(config.TLS{}, run, quiet)
	require.NoError(t, err)
	require.Nil(t, none)
}
