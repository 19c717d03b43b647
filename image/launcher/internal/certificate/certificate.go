// Package certificate keeps the certificate that this pod shows and the authorities that it trusts, and follows the files of a Secret that
// hold them: another certificate counts without a restart of anything but sentinels.
package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// The names of the files in the folder that a Keeper makes for Redis and Sentinel.
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
	CAFile   = "ca.crt"
)

// Set is a certificate with its key, and the authorities that go with it.
type Set struct {
	Cert, Key, CA []byte // in PEM
	pair          tls.Certificate
	authorities   *x509.CertPool
}

// Read reads and checks the files. The error says what does not fit.
func Read(files config.TLS) (Set, error) {
	var s Set
	var missing []error
	for _, file := range []struct {
		name string
		to   *[]byte
	}{{files.CertFile, &s.Cert}, {files.KeyFile, &s.Key}, {files.CAFile, &s.CA}} {
		content, err := os.ReadFile(file.name)
		if err != nil {
			missing = append(missing, err)
		}
		*file.to = content
	}
	if err := errors.Join(missing...); err != nil {
		return Set{}, fmt.Errorf("read the certificate (are the names of the files those of the Secret?): %w", err)
	}
	return parse(s.Cert, s.Key, s.CA, time.Now())
}

// parse checks that the key is that of the certificate, and that the authorities have signed the certificate. A certificate that has expired
// passes: nobody is served better by a pod that does not start.
func parse(cert, key, ca []byte, now time.Time) (Set, error) {
	s := Set{Cert: cert, Key: key, CA: ca, authorities: x509.NewCertPool()}
	var err error
	if s.pair, err = tls.X509KeyPair(cert, key); err != nil {
		return Set{}, fmt.Errorf("read the certificate and its key, in PEM: %w", err)
	}
	if !s.authorities.AppendCertsFromPEM(ca) {
		return Set{}, errors.New("the file of authorities has no certificate in PEM")
	}
	// Authorities and intermediate certificates are judged by the time at which the certificate is good.
	at := now
	if leaf := s.pair.Leaf; at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	if err := s.verify(s.authorities, s.pair.Leaf, s.pair.Certificate[1:], at); err != nil {
		return Set{}, fmt.Errorf("the authorities have not signed the certificate, so no pod would trust another: %w", err)
	}
	return s, nil
}

// verify checks that authorities have signed a certificate for servers or clients.
func (Set) verify(authorities *x509.CertPool, leaf *x509.Certificate, chain [][]byte, at time.Time) error {
	between := x509.NewCertPool()
	for _, der := range chain {
		if certificate, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(certificate)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: authorities, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// Expires is the end of the certificate, or of an authority if none lasts longer.
func (s Set) Expires() time.Time {
	end := s.pair.Leaf.NotAfter
	var last time.Time // of the authorities
	for rest := s.CA; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if authority, err := x509.ParseCertificate(block.Bytes); err == nil && authority.NotAfter.After(last) {
			last = authority.NotAfter
		}
	}
	if last.Before(end) {
		return last
	}
	return end
}

// life is the time from the beginning of the certificate to its end.
func (s Set) life() time.Duration { return s.Expires().Sub(s.pair.Leaf.NotBefore) }

// Version names the certificate and the authorities: the first 8 hexadecimal digits of their SHA-256 sum.
func (s Set) Version() string {
	sum := sha256.Sum256(append(append([]byte(nil), s.Cert...), s.CA...))
	return hex.EncodeToString(sum[:])[:8]
}

// same says whether two sets are the same in all files.
func (s Set) same(other Set) bool {
	return bytes.Equal(s.Cert, other.Cert) && bytes.Equal(s.Key, other.Key) && bytes.Equal(s.CA, other.CA)
}
