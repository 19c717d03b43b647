// Package certificate keeps the certificate that this pod shows and the authorities that it trusts, and follows the files of a Secret that
// hold them: another certificate counts without a restart of anything but sentinels.
package certificate

import (
	"bytes"
	"crypto/rsa"
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
	return parse(s.Cert, s.Key, s.CA, files.AuthClients, time.Now())
}

// parse checks that the key is that of the certificate, that the authorities have signed the certificate, and that Redis takes the files as
// well. authClients: Redis demands certificates of clients, which the servers are of each other. A certificate that has expired passes: nobody
// is served better by a pod that does not start.
func parse(cert, key, ca []byte, authClients bool, now time.Time) (Set, error) {
	s := Set{Cert: cert, Key: key, CA: ca, authorities: x509.NewCertPool()}
	var err error
	if s.pair, err = tls.X509KeyPair(cert, key); err != nil {
		return Set{}, fmt.Errorf("read the certificate and its key, in PEM: %w", err)
	}
	if _, err := certificates(cert); err != nil {
		return Set{}, fmt.Errorf("read the chain of the certificate, in PEM: %w", err)
	}
	trusted, err := certificates(ca)
	switch {
	case err != nil:
		return Set{}, fmt.Errorf("read the file of authorities, in PEM: %w", err)
	case len(trusted) == 0:
		return Set{}, errors.New("the file of authorities has no certificate in PEM")
	}
	for _, authority := range trusted {
		s.authorities.AddCert(authority)
	}
	// What has expired is judged by the time at which it was good.
	at := now
	if end := s.Expires(); at.After(end) {
		at = end
	}
	if _, err := s.verify(s.authorities, s.pair.Leaf, s.pair.Certificate[1:], at, x509.ExtKeyUsageAny); err != nil {
		return Set{}, fmt.Errorf("the authorities have not signed the certificate, so no pod would trust another: %w", err)
	}
	return s, s.suitsRedis(trusted, authClients, at)
}

// leastRSA is the least size of an RSA key, in bits, that OpenSSL takes by default on the systems that the image is made from (its security
// level 2).
const leastRSA = 2048

// suitsRedis says why Redis would not take what Go takes: OpenSSL wants the chain to end with an authority that has signed itself, keys of
// some length, and the usages of servers and clients. Redis would refuse such files, or all links.
func (s Set) suitsRedis(trusted []*x509.Certificate, authClients bool, at time.Time) error {
	roots, between := x509.NewCertPool(), s.pair.Certificate[1:]
	for _, authority := range trusted {
		if bytes.Equal(authority.RawIssuer, authority.RawSubject) {
			roots.AddCert(authority)
		} else {
			between = append(between[:len(between):len(between)], authority.Raw)
		}
	}
	chains, err := s.verify(roots, s.pair.Leaf, between, at, x509.ExtKeyUsageAny)
	if err != nil {
		return fmt.Errorf("the file of authorities must have the certificates up to an authority that has signed itself: %w", err)
	}
	if _, err := s.verify(roots, s.pair.Leaf, between, at, x509.ExtKeyUsageServerAuth); err != nil {
		return fmt.Errorf("the certificate is not good for servers (serverAuth): %w", err)
	}
	if authClients {
		if _, err := s.verify(roots, s.pair.Leaf, between, at, x509.ExtKeyUsageClientAuth); err != nil {
			return fmt.Errorf("the certificate is not good for clients (clientAuth), which servers are of each other: %w", err)
		}
	}
	for _, c := range chains[0] {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < leastRSA {
			return fmt.Errorf("the RSA key of %q has %d bits: take one of at least %d", c.Subject, key.N.BitLen(), leastRSA)
		}
	}
	return nil
}

// certificates gives the certificates of a file in PEM. Go passes over a block that cannot be read, where Redis refuses the file.
func certificates(file []byte) (all []*x509.Certificate, err error) {
	blocks := 0
	for rest := file; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, one)
	}
	if begun := bytes.Count(file, []byte("-----BEGIN ")); begun != blocks {
		return nil, fmt.Errorf("%d blocks begin, and %d can be read", begun, blocks)
	}
	return all, nil
}

// verify gives the chains of a certificate that authorities have signed for a usage.
func (Set) verify(authorities *x509.CertPool, leaf *x509.Certificate, chain [][]byte, at time.Time, usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, der := range chain {
		if certificate, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(certificate)
		}
	}
	return leaf.Verify(x509.VerifyOptions{Roots: authorities, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
}

// Expires is the end of the certificate, or of an authority if none lasts longer.
func (s Set) Expires() time.Time {
	end := s.pair.Leaf.NotAfter
	var last time.Time                   // of the authorities
	authorities, _ := certificates(s.CA) // they have been read before
	for _, authority := range authorities {
		if authority.NotAfter.After(last) {
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
