package redisconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// certificateLife is longer than a release follows an external master.
const certificateLife = 10 * 365 * 24 * time.Hour

// WriteCertificate writes a certificate that is signed by itself, and its key, where the external master asks for encryption. Redis refuses
// to start with encryption without them, and shows them only to a master that asks for a certificate.
func WriteCertificate(c config.Config) error {
	if !c.External.TLS {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key for the link to the external master: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: c.PodName}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make a certificate for the link to the external master: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a key for the link to the external master: %w", err)
	}
	for name, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: signed}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(c.RunDir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("write the certificate of the link to the external master: %w", err)
		}
	}
	return nil
}
