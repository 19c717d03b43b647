package copydata

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// write writes a file for a test.
func write(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// certificate makes a certificate for the loopback address, signed by itself, and gives the files of it and of its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func TestEncryptedSourceAndTarget(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, _ := net.SplitHostPort(address)
	from := startRedis(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile)
	to := startRedis(t)
	fill(t, from)

	o := between(from, to)
	o.From.Address, o.From.TLS = address, true
	_, err = runCopy(t, o)
	require.ErrorContains(t, err, "certificate signed by unknown authority")

	o.From.CAFile = certFile
	_, err = runCopy(t, o)
	require.Error(t, err, "redis-server asks for a certificate")

	o.From.CertFile, o.From.KeyFile = certFile, keyFile
	o.Follow = true
	r := begin(t, o)
	r.move()
	require.NoError(t, r.wait(t))
	requireSame(t, from, to)

	back := between(to, from) // the encrypted one as the target
	back.To.Address, back.To.TLS, back.Resume = address, true, true
	back.To.CAFile, back.To.CertFile, back.To.KeyFile = certFile, certFile, keyFile
	_, err = runCopy(t, back)
	require.NoError(t, err)
	requireSame(t, from, to)

	o.From.CAFile, o.From.KeyFile = write(t, "nothing"), "/no/such/file"
	_, err = runCopy(t, o)
	require.ErrorContains(t, err, "has no certificate in PEM format")
}
