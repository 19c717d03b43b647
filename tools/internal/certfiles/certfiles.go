// Package certfiles reads the files with which the programs in the client's pod encrypt their connections.
package certfiles

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Names are the files: those of the Secret of an encrypted release.
var Names = []string{"ca.crt", "tls.crt", "tls.key"}

// Flags are where the files are, and whose certificate a server must have.
type Flags struct{ dir, name string }

// Register adds the flags of a program.
func (f *Flags) Register() {
	flag.StringVar(&f.dir, "tls-dir", "", "folder with tls.crt, tls.key and ca.crt, with which the connections are encrypted; empty: they are plain")
	flag.StringVar(&f.name, "tls-name", "", "name that the certificate of the server must have; empty: that of the address")
}

// Arguments are the flags of a program that finds the files in a folder.
func Arguments(dir, name string) []string { return []string{"-tls-dir", dir, "-tls-name", name} }

// Load reads the files. The result is nil without a folder.
func (f *Flags) Load() (*tls.Config, error) {
	if f.dir == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.dir, "tls.crt"), filepath.Join(f.dir, "tls.key"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	authorities, err := os.ReadFile(filepath.Join(f.dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s/ca.crt has no certificate in PEM", f.dir)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: trusted, ServerName: f.name}, nil
}
