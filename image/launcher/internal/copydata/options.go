// Package copydata copies the data of one Redis into another by commands, where the new server cannot follow the old
// one as a replica: the source does not allow replication, or writes files that the target cannot read. It can follow
// the changes of the source until the clients move, and compares both sides before it says that all is there.
package copydata

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Endpoint is a Redis, and how to connect to it.
type Endpoint struct {
	// Address is host:port.
	Address string
	// User is an ACL user, or empty for the default one.
	User string
	// Password is the password, or empty for none. PasswordFile is a file that holds it.
	Password, PasswordFile string
	// TLS encrypts the connection. CAFile has the certificates of authorities to trust instead of those of the system;
	// CertFile and KeyFile are a certificate for a server that asks for one.
	TLS                       bool
	CAFile, CertFile, KeyFile string

	tls *tls.Config
}

// Options say what to copy from where, and for how long.
type Options struct {
	From, To Endpoint
	// Resume allows a target with data: equal keys are passed over, and keys that the source does not have are deleted.
	Resume bool
	// Follow copies changes of the source until CutOver is closed.
	Follow bool
	// PauseSource is how long the source holds writes back from the cut-over on; 0 leaves that to the operator, who
	// stops the clients.
	PauseSource time.Duration
	// Sample is how many keys are compared value by value in the end.
	Sample int
	// CutOver is closed when the clients are to move.
	CutOver <-chan struct{}
}

// ProblemsError lists everything that is wrong with the options.
type ProblemsError struct{ Problems []string }

// Error gives one line for each problem.
func (e *ProblemsError) Error() string {
	return fmt.Sprintf("copy: %d problem(s) with the options:\n  - %s", len(e.Problems), strings.Join(e.Problems, "\n  - "))
}

// prepare checks the options and reads the files that they name. The error lists every problem.
func (o *Options) prepare() error {
	problems := append(o.From.prepare("from"), o.To.prepare("to")...)
	if o.From.Address != "" && o.From.Address == o.To.Address {
		problems = append(problems, "--from and --to are the same address: give two")
	}
	if o.Sample < 0 {
		problems = append(problems, fmt.Sprintf("--sample is %d: give 0 or a number of keys", o.Sample))
	}
	if o.PauseSource < 0 {
		problems = append(problems, fmt.Sprintf("--pause-source is %v: give a time, for instance 5m", o.PauseSource))
	}
	if o.PauseSource > 0 && !o.Follow {
		problems = append(problems, "--pause-source has an effect only with --follow or --cut-over: add one of them")
	}
	if len(problems) > 0 {
		return &ProblemsError{Problems: problems}
	}
	return nil
}

func (e *Endpoint) prepare(side string) (problems []string) {
	problem := func(format string, arguments ...any) {
		problems = append(problems, fmt.Sprintf("--"+side+format, arguments...))
	}
	if host, port, err := net.SplitHostPort(e.Address); err != nil || host == "" || port == "" {
		problem(" is %q: give host:port", e.Address)
	}
	// A Secret that was made from typed text ends with a line break.
	e.Password = strings.TrimRight(e.Password, "\r\n")
	if e.PasswordFile != "" {
		content, err := os.ReadFile(e.PasswordFile)
		switch {
		case err != nil:
			problem("-password-file: %v", err)
		case e.Password != "":
			problem("-password-file and %s_PASS are both set: keep one of them", strings.ToUpper(side))
		}
		e.Password = strings.TrimRight(string(content), "\r\n")
	}
	if e.User != "" && e.Password == "" {
		problem("-user is %q without a password: set %s_PASS or --%s-password-file", e.User, strings.ToUpper(side), side)
	}
	if !e.TLS {
		if e.CAFile+e.CertFile+e.KeyFile != "" {
			problem("-tls is missing: a file with a certificate or key has an effect only with it")
		}
		return problems
	}
	config, err := e.encryption()
	if err != nil {
		problem("-tls: %v", err)
	}
	e.tls = config
	return problems
}

func (e *Endpoint) encryption() (*tls.Config, error) {
	host, _, _ := net.SplitHostPort(e.Address)
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		content, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificates to trust: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s has no certificate in PEM format", e.CAFile)
		}
	}
	if e.CertFile+e.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate and its key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
