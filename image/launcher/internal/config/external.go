package config

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// External is a Redis elsewhere that the servers follow until the release has a master of its own.
type External struct {
	Host     string // empty: there is none
	Port     int
	Password string
	TLS      bool
	// CAFile has the authorities that its certificate is checked by, in PEM; empty: Authorities.
	CAFile string
}

// Trusted is the file with the authorities that the certificate is checked by.
func (e External) Trusted() string {
	return cmp.Or(e.CAFile, Authorities)
}

// On says whether there is such a Redis.
func (e External) On() bool { return e.Host != "" }

// Authorities is the file with the certificates of authorities that an external master with TLS is checked by: that of the image's package
// ca-certificates.
const Authorities = "/etc/ssl/certs/ca-certificates.crt"

// external reads where the external master is. What c has of other variables decides whether there may be one.
func (r *reader) external(c Config) External {
	address := r.env["LAUNCHER_EXTERNAL_MASTER"]
	password, encrypted := r.env["LAUNCHER_EXTERNAL_MASTER_PASS"], r.boolean("LAUNCHER_EXTERNAL_MASTER_TLS", false)
	ca := r.env["LAUNCHER_EXTERNAL_MASTER_CA_FILE"]
	if ca != "" && !encrypted {
		r.problem("LAUNCHER_EXTERNAL_MASTER_CA_FILE is set, and LAUNCHER_EXTERNAL_MASTER_TLS is not true: set it to true, or remove the file")
	}
	if address == "" {
		if password != "" || encrypted {
			r.problem("LAUNCHER_EXTERNAL_MASTER is missing, and another variable of the external master is set: set it to host:port, or remove that variable")
		}
		return External{}
	}
	host, port, err := net.SplitHostPort(address)
	number, numberErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numberErr != nil || host == "" || number == 0 {
		r.problem("LAUNCHER_EXTERNAL_MASTER is %q: set it to host:port", address)
		return External{}
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		r.problem("LAUNCHER_EXTERNAL_MASTER_PASS has a control character: use printable characters only")
	}
	if c.Sentinel {
		r.problem("LAUNCHER_EXTERNAL_MASTER is set on a sentinel: it is for servers only; remove it or SENTINEL")
	}
	if c.Backup.RestoreFrom != "" {
		r.problem("LAUNCHER_EXTERNAL_MASTER and LAUNCHER_RESTORE_FROM are both set, and a release begins with the data of one of them: remove the other one")
	}
	return External{Host: host, Port: int(number), Password: password, TLS: encrypted, CAFile: ca}
}
