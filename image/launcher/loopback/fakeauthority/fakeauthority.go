// Package fakeauthority signs certificates for tests, as somebody does who fills the Secret of a release.
package fakeauthority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Name is the name in all certificates.
const Name = "redis-ha-redis-ha-master-svc"

// Long is a life of certificates that outlasts any test.
const Long = 1000 * time.Hour

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	PEM         []byte // its own certificate
}

// Secret is what a Secret holds, in PEM.
type Secret struct{ Cert, Key, CA []byte }

// New makes an authority that is good for a time.
func New(t testing.TB, life time.Duration) *Authority {
	t.Helper()
	a := &Authority{}
	a.certificate, a.key, a.PEM = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority " + rand.Text()}, NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	return a
}

// Between makes an authority that this authority has signed, as good for long as this one.
func (a *Authority) Between(t testing.TB) *Authority {
	t.Helper()
	b := &Authority{}
	b.certificate, b.key, b.PEM = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority " + rand.Text()}, NotAfter: a.certificate.NotAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, a)
	return b
}

// Sign gives a new certificate that is good for a time, and trusts its authority and others.
func (a *Authority) Sign(t testing.TB, life time.Duration, others ...*Authority) Secret {
	t.Helper()
	s := a.SignFor(t, life, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	s.CA = nil
	for _, trusted := range append(others, a) {
		s.CA = append(s.CA, trusted.PEM...)
	}
	return s
}

// SignFor gives a new certificate that is good for a time and for some usages, and trusts its authority.
func (a *Authority) SignFor(t testing.TB, life time.Duration, usages ...x509.ExtKeyUsage) Secret {
	t.Helper()
	_, key, cert := issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "pod"}, DNSNames: []string{Name}, NotAfter: time.Now().Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: usages,
	}, a)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Secret{Cert: cert, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), CA: a.PEM}
}

// issue signs a certificate with the key of an authority, or with its own key if there is none.
func issue(t testing.TB, template *x509.Certificate, by *Authority) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-1000*time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Write writes the files tls.crt, tls.key and ca.crt into a folder.
func (s Secret) Write(t testing.TB, dir string) {
	t.Helper()
	for name, content := range map[string][]byte{"tls.crt": s.Cert, "tls.key": s.Key, "ca.crt": s.CA} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Client encrypts connections of a client that trusts the authorities of the Secret, shows its certificate, and checks Name.
func (s Secret) Client(t testing.TB) *tls.Config {
	t.Helper()
	pair, trusted := s.parse(t)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: trusted, ServerName: Name}
}

// Listen gives a listener on a free port of 127.0.0.1 that shows the certificate.
func (s Secret) Listen(t testing.TB) net.Listener {
	t.Helper()
	pair, _ := s.parse(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func (s Secret) parse(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	pair, err := tls.X509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(s.CA)
	return pair, trusted
}
