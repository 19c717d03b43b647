package config

import "crypto/tls"

// TLS says where the certificate of this pod is, and whether everything that listens and connects uses it.
type TLS struct {
	// CertFile and KeyFile hold the certificate of this pod with its chain, and the key. CAFile holds the authorities that this pod trusts. All are
	// in PEM. Empty: nothing is encrypted.
	CertFile, KeyFile, CAFile string
	// AuthClients: Redis and Sentinel refuse clients without a certificate of one of the authorities.
	AuthClients bool
	// Folder is where Redis and Sentinel find the certificate that counts. Package certificate makes it.
	Folder string
	// Links encrypts the connections of the launcher to Redis, Sentinel and other launchers. Package certificate makes it; nil: they are plain.
	Links *tls.Config
	// Own does so for the connections to the Redis or the sentinel of this pod, which may show a certificate that has expired.
	Own *tls.Config
	// Server encrypts what this pod serves by HTTP.
	Server *tls.Config
}

// On says whether everything is encrypted.
func (t TLS) On() bool { return t.CertFile != "" }

// Port is the directive of redis.conf for the port that clients connect to. Redis listens at no other port.
func (t TLS) Port() string {
	if t.On() {
		return "tls-port"
	}
	return "port"
}

// tls reads where the certificate is. Either all files are named or none is.
func (r *reader) tls() TLS {
	t := TLS{CertFile: r.env["LAUNCHER_TLS_CERT_FILE"], KeyFile: r.env["LAUNCHER_TLS_KEY_FILE"], CAFile: r.env["LAUNCHER_TLS_CA_FILE"]}
	files := map[string]string{"LAUNCHER_TLS_CERT_FILE": t.CertFile, "LAUNCHER_TLS_KEY_FILE": t.KeyFile, "LAUNCHER_TLS_CA_FILE": t.CAFile}
	some := t.CertFile != "" || t.KeyFile != "" || t.CAFile != ""
	t.AuthClients = r.boolean("LAUNCHER_TLS_AUTH_CLIENTS", some)
	for name, file := range files {
		if some && file == "" {
			r.problem("%s is missing, and another file of the certificate is set: set it to a file in PEM, or remove the others", name)
		}
	}
	if r.env["LAUNCHER_TLS_AUTH_CLIENTS"] != "" && !some {
		r.problem("LAUNCHER_TLS_AUTH_CLIENTS is set, and nothing is encrypted: set LAUNCHER_TLS_CERT_FILE, LAUNCHER_TLS_KEY_FILE and LAUNCHER_TLS_CA_FILE, or remove it")
	}
	if some && r.boolean("LAUNCHER_EXTERNAL_MASTER_TLS", false) {
		r.problem("LAUNCHER_EXTERNAL_MASTER_TLS and LAUNCHER_TLS_CERT_FILE are both set, and Redis trusts the same authorities for all its links: encrypt the release after the cut-over")
	}
	return t
}

// TLSFromEnviron reads only where the certificate is, for commands that need nothing else of a pod's environment. The error is a *ProblemsError.
func TLSFromEnviron(environ []string) (TLS, error) {
	r := newReader(environ)
	t := r.tls()
	return t, r.failure()
}
