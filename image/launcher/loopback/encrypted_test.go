package loopback

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// serviceName is the name in the certificates of a release that clients check.
const serviceName = fullname + "-master-svc"

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// newAuthority makes an authority of a name.
func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate, a.key, a.pem = issue(t, template, nil)
	return a
}

// issue signs a certificate with the key of an authority, or with its own key if there is none.
func issue(t *testing.T, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

// secret is what the Secret of a release holds.
type secret struct{ cert, key, ca []byte }

// sign gives a Secret with a new certificate, and the authorities that the pods are to trust: the authority itself if there are no others.
func (a *authority) sign(t *testing.T, trusted ...*authority) secret {
	t.Helper()
	certificate, key, text := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: fullname}, DNSNames: []string{serviceName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := secret{cert: text, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	for _, other := range append([]*authority{}, trusted...) {
		s.ca = append(s.ca, other.pem...)
	}
	if len(trusted) == 0 {
		s.ca = a.pem
	}
	_ = certificate
	return s
}

// client gives the encryption of a client that trusts the authorities of the Secret, and shows its certificate.
func (s secret) client(t testing.TB) *tls.Config {
	pair, err := tls.X509KeyPair(s.cert, s.key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(s.ca)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: trusted, ServerName: serviceName}
}

// secretDir is where a pod sees the Secret.
func (p *pod) secretDir() string { return filepath.Join(p.cluster.dir, p.name, "tls") }

// mountSecret has the environment of a pod name the files of the Secret.
func (p *pod) mountSecret(variables map[string]string) {
	if _, err := os.Stat(p.secretDir()); err != nil {
		p.refreshSecret()
	}
	for variable, file := range map[string]string{"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"} {
		variables["LAUNCHER_TLS_"+variable+"_FILE"] = filepath.Join(p.secretDir(), file)
	}
}

// refreshSecret is what the kubelet does when it sees that the Secret has changed.
func (p *pod) refreshSecret() {
	s := p.cluster.mountedSecret()
	p.project(p.secretDir(), map[string]string{"tls.crt": string(s.cert), "tls.key": string(s.key), "ca.crt": string(s.ca)})
}

func (c *cluster) mountedSecret() secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secret
}

// setSecret changes the Secret. Pods that start later get it at once, and those that run one after the other, with a pause in between.
func (c *cluster) setSecret(s secret, pause time.Duration) {
	c.t.Helper()
	c.mu.Lock()
	c.secret = s
	c.mu.Unlock()
	for _, p := range append(c.servers(), c.sentinels()...) {
		time.Sleep(pause)
		p.refreshSecret()
	}
}

// encryption is that of the tests' own connections; nil: they are plain.
func (c *cluster) encryption() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientTLS
}

// clientOptions are those of clients of the release.
func (c *cluster) clientOptions(address string) *redis.Options {
	o := clientOptions(address, c.password)
	o.TLSConfig = c.encryption()
	return o
}

// startEncrypted starts a release in which everything is encrypted.
func startEncrypted(t *testing.T, o options) (*cluster, *authority) {
	t.Helper()
	a := newAuthority(t, "first")
	o.secret = a.sign(t)
	return start(t, o), a
}

// listeners gives the ports on which something listens at an address, as the kernel tells them.
func listeners(t *testing.T, ip string) (ports []int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	four := net.ParseIP(ip).To4()
	prefix := fmt.Sprintf("%02X%02X%02X%02X:", four[3], four[2], four[1], four[0])
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "0A" || !strings.HasPrefix(fields[1], prefix) {
			continue
		}
		var port int
		if _, err := fmt.Sscanf(strings.TrimPrefix(fields[1], prefix), "%X", &port); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}

// speaksPlainly says how a port answers what a client sends without encryption; empty: it does not.
func speaksPlainly(address string) string {
	for _, request := range []string{"PING\r\n", "GET /livez HTTP/1.0\r\n\r\n"} {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err.Error()
		}
		_ = connection.SetDeadline(time.Now().Add(time.Second))
		_, _ = connection.Write([]byte(request))
		answer := make([]byte, 512)
		n, err := connection.Read(answer)
		_ = connection.Close()
		// A launcher says in plain text that it speaks HTTPS only, and TLS answers with an alert.
		if text := string(answer[:n]); n > 0 && !strings.Contains(text, "HTTP request to an HTTPS server") && !bytes.HasPrefix(answer, []byte{21, 3}) {
			return fmt.Sprintf("%q", text)
		}
		if var_ := (net.Error)(nil); errors.As(err, &var_) && var_.Timeout() {
			return "the connection is still open"
		}
	}
	return ""
}

// requireNothingPlain fails the test if a port of a pod answers without encryption. The port of the fake API is not of the pod.
func (c *cluster) requireNothingPlain() {
	c.t.Helper()
	for _, p := range append(c.servers(), c.sentinels()...) {
		looked := 0
		for _, port := range listeners(c.t, p.ip) {
			if port == 6443 {
				continue
			}
			looked++
			if said := speaksPlainly(fmt.Sprintf("%s:%d", p.ip, port)); said != "" {
				c.t.Errorf("port %d of %s answers without encryption: %s", port, p.name, said)
			}
		}
		if looked != 2 {
			c.t.Errorf("%s listens on %d ports, not on two", p.name, looked)
		}
	}
}

func TestEncryptedReleaseListensWithoutEncryptionNowhere(t *testing.T) {
	t.Parallel()
	c, _ := startEncrypted(t, options{})
	c.requireNothingPlain()
	old := c.converge()
	old.remove()
	c.addServer().run()
	c.converge()
	c.requireNothingPlain()
}

func TestEncryptedReleaseHandsOverWithoutLosingAWrite(t *testing.T) {
	t.Parallel()
	c, _ := startEncrypted(t, options{})
	w := c.write()
	w.advance(300)
	old := c.converge()
	took := old.remove()
	t.Logf("%s was gone %v after TERM", old.name, took)
	c.addServer().run()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	w.advance(300)
	c.converge()
	w.requireNothingLost()
	w.requireGapBelow(5 * time.Second)
}

func TestCrashOfAnEncryptedMasterIsFailedOver(t *testing.T) {
	t.Parallel()
	c, _ := startEncrypted(t, options{})
	w := c.write()
	w.advance(300)
	epoch := c.epoch()
	c.replaceMaster(w)
	c.converge()
	c.requireOneFailover(epoch)
	w.requireLostAtMost(asyncTail)
	w.requireGapBelow(10 * time.Second)
}

// certified says whether a Redis or a sentinel shows the certificate of a Secret.
func (c *cluster) certified(p *pod, s secret) error {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: s.client(c.t)}
	connection, err := dialer.DialContext(c.t.Context(), "tcp", p.address())
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	defer connection.Close()
	want, _ := pem.Decode(s.cert)
	if shown := connection.(*tls.Conn).ConnectionState().PeerCertificates[0]; !bytes.Equal(shown.Raw, want.Bytes) {
		return fmt.Errorf("%s shows another certificate, of %s", p.name, shown.Issuer)
	}
	return nil
}

// awaitCertificate waits until all pods show the certificate of a Secret, and says how long that took.
func (c *cluster) awaitCertificate(limit time.Duration, s secret) time.Duration {
	c.t.Helper()
	began := time.Now()
	for _, p := range append(c.servers(), c.sentinels()...) {
		eventually(c.t, limit, "the new certificate at "+p.name, func() error { return c.certified(p, s) })
	}
	return time.Since(began)
}

// runs gives the containers that have been started again, and the run IDs of the servers.
func (c *cluster) runs() string {
	var all []string
	for _, p := range append(c.servers(), c.sentinels()...) {
		run := fmt.Sprintf("%s restarts=%d", p.name, p.restartCount())
		if !p.sentinel {
			n, err := c.info(p)
			run += fmt.Sprintf(" redis=%s %v", n.runID, err)
		}
		all = append(all, run)
	}
	return strings.Join(all, "\n")
}

// A renewed certificate is taken over without a restart of a Redis and without a write that fails. Sentinels start anew one by one.
func TestRenewedCertificateIsTakenOverWithoutARestart(t *testing.T) {
	t.Parallel()
	c, a := startEncrypted(t, options{})
	w := c.write()
	w.advance(100)
	before, history := c.runs(), len(c.api.RoleChanges())
	next := a.sign(t)
	c.setSecret(next, 200*time.Millisecond)
	t.Logf("all pods have the renewed certificate after %v", c.awaitCertificate(2*time.Minute, next))
	w.advance(100)
	if after := c.runs(); after != before {
		t.Errorf("something was started again:\n%s\nbefore:\n%s", after, before)
	}
	for _, change := range c.api.RoleChanges()[history:] {
		if change.Role != "sentinel" {
			t.Errorf("a role has changed: %v", change)
		}
	}
	epoch := c.epoch()
	c.replaceMaster(w) // all links are made anew
	c.converge()
	c.requireOneFailover(epoch)
	w.requireLostAtMost(asyncTail)
}

// A certificate of another authority is taken over as well. The pods read it one after the other, and trust each other throughout.
func TestCertificateOfAnotherAuthorityIsTakenOverWhilePodsTrustBoth(t *testing.T) {
	t.Parallel()
	c, first := startEncrypted(t, options{})
	second := newAuthority(t, "second")
	c.trust(first, second) // a client trusts both before, as the documents say
	w := c.write()
	w.advance(100)
	before := c.runs()
	next := second.sign(t)
	c.setSecret(next, 200*time.Millisecond)
	// A master that dies while the pods show different certificates is replaced.
	eventually(t, 5*time.Minute, "the new certificate at one pod", func() error { return c.certified(c.servers()[0], next) })
	t.Logf("all pods have the certificate of the other authority after %v", c.awaitCertificate(5*time.Minute, next))
	w.advance(100)
	if after := c.runs(); after != before {
		t.Errorf("something was started again:\n%s\nbefore:\n%s", after, before)
	}
	c.replaceMaster(w)
	c.converge()
	w.requireLostAtMost(asyncTail)
}

// A Secret whose key is not that of its certificate changes nothing, and the pods tell of it.
func TestCertificateThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	c, a := startEncrypted(t, options{})
	wrong, good := a.sign(t), c.mountedSecret()
	wrong.key = good.key
	c.setSecret(wrong, 0)
	for _, p := range append(c.servers(), c.sentinels()...) {
		eventually(t, settle, p.name+" to tell of the refusal", func() error {
			_, status, err := get(p, "/status")
			if err == nil && !strings.Contains(status, "the files of the Secret are refused") {
				err = errors.New(status)
			}
			return err
		})
	}
	w := c.write()
	c.replaceMaster(w)
	c.converge()
	for _, p := range c.servers() {
		if err := c.certified(p, good); err != nil {
			t.Error(err)
		}
	}
}

// trust has the tests' own connections trust further authorities.
func (c *cluster) trust(authorities ...*authority) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trusting := c.clientTLS.Clone()
	trusting.RootCAs = x509.NewCertPool()
	for _, a := range authorities {
		trusting.RootCAs.AppendCertsFromPEM(a.pem)
	}
	c.clientTLS = trusting
	for _, client := range c.clients {
		_ = client.Close()
	}
	clear(c.clients)
}
