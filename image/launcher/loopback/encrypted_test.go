package loopback

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// secretDir is where a pod sees the Secret.
func (p *pod) secretDir() string { return filepath.Join(p.cluster.dir, p.name, "tls") }

// mountSecret has the environment of a pod name the files of the Secret.
func (p *pod) mountSecret(variables map[string]string) {
	if _, err := os.Stat(p.secretDir()); err != nil {
		p.refreshSecret()
	}
	for _, variable := range secretVariables(p.secretDir()) {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
	}
}

// secretVariables name the files of a Secret that is mounted at a folder.
func secretVariables(dir string) []string {
	return []string{
		"LAUNCHER_TLS_CERT_FILE=" + filepath.Join(dir, "tls.crt"), "LAUNCHER_TLS_KEY_FILE=" + filepath.Join(dir, "tls.key"),
		"LAUNCHER_TLS_CA_FILE=" + filepath.Join(dir, "ca.crt"),
	}
}

// refreshSecret is what the kubelet does when it sees that the Secret has changed.
func (p *pod) refreshSecret() {
	s := p.cluster.mountedSecret()
	p.project(p.secretDir(), map[string]string{"tls.crt": string(s.Cert), "tls.key": string(s.Key), "ca.crt": string(s.CA)})
}

func (c *cluster) mountedSecret() fakeauthority.Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secret
}

// setSecret changes the Secret. Pods that start later get it at once, and those that run one after the other, with a pause in between.
func (c *cluster) setSecret(s fakeauthority.Secret, pause time.Duration) {
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
	o := clientOptions(address, "")
	o.CredentialsProvider = func() (user, password string) { return "", c.clientPassword() }
	o.TLSConfig = c.encryption()
	return o
}

// startEncrypted starts a release in which everything is encrypted.
func startEncrypted(t *testing.T, o options) (*cluster, *fakeauthority.Authority) {
	t.Helper()
	a := fakeauthority.New(t, fakeauthority.Long)
	o.secret = a.Sign(t, fakeauthority.Long)
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
func (c *cluster) certified(p *pod, s fakeauthority.Secret) error {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: s.Client(c.t)}
	connection, err := dialer.DialContext(c.t.Context(), "tcp", p.address())
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	defer connection.Close()
	want, _ := pem.Decode(s.Cert)
	if shown := connection.(*tls.Conn).ConnectionState().PeerCertificates[0]; !bytes.Equal(shown.Raw, want.Bytes) {
		return fmt.Errorf("%s shows another certificate, of %s", p.name, shown.Issuer)
	}
	return nil
}

// awaitCertificate waits until all pods show the certificate of a Secret, and says how long that took.
func (c *cluster) awaitCertificate(limit time.Duration, s fakeauthority.Secret) time.Duration {
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
	next := a.Sign(t, fakeauthority.Long)
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
	second := fakeauthority.New(t, fakeauthority.Long)
	c.trust(first, second) // a client trusts both before, as the documents say
	w := c.write()
	w.advance(100)
	before := c.runs()
	next := second.Sign(t, fakeauthority.Long)
	c.setSecret(next, 200*time.Millisecond)
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
	wrong, good := a.Sign(t, fakeauthority.Long), c.mountedSecret()
	wrong.Key = good.Key
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
	sentinel := c.sentinels()[0]
	_, text := runOnce(t, sentinel, 10*time.Second, sentinel.environment(), "status")
	if !strings.Contains(text, "the files of the Secret are refused") || !strings.Contains(text, "certificate: 6 of 6 pods show ") {
		t.Errorf("launcher status says:\n%s", text)
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
func (c *cluster) trust(authorities ...*fakeauthority.Authority) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trusting := c.clientTLS.Clone()
	trusting.RootCAs = x509.NewCertPool()
	for _, a := range authorities {
		trusting.RootCAs.AppendCertsFromPEM(a.PEM)
	}
	c.clientTLS = trusting
	for _, client := range c.clients {
		_ = client.Close()
	}
	clear(c.clients)
}

// Sentinel names addresses. A client that is told the name of the master Service checks that name, and one that is not does not connect.
func TestClientOfSentinelChecksTheNameOfTheService(t *testing.T) {
	t.Parallel()
	c, _ := startEncrypted(t, options{})
	sentinel := c.sentinels()[0].address()
	set := func(name string) error {
		encryption := c.encryption().Clone()
		encryption.ServerName = name
		client := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "mymaster", SentinelAddrs: []string{sentinel}, SentinelPassword: c.password, Password: c.password, TLSConfig: encryption,
			MaxRetries: -1, DialTimeout: time.Second,
		})
		defer client.Close()
		return client.Set(t.Context(), "by a client of Sentinel", 1, 0).Err()
	}
	if err := set(fakeauthority.Name); err != nil {
		t.Error(err)
	}
	if err := set(""); err == nil {
		t.Error("it has written over a connection to a server whose name it could not check")
	}
}

// Connections that still arrive at a former master are passed on as they are, and are encrypted to its successor.
func TestLateConnectionsOfAnEncryptedReleaseArePassedOn(t *testing.T) {
	t.Parallel()
	const number = 20
	c, _ := startEncrypted(t, options{})
	w := c.write()
	w.advance(100)
	old := c.converge()
	left := old.removeBeside()
	eventually(t, settle, "the hand-over", func() error { return says(old, "handed over") })
	requireOneByOne(t, c.comeLate(old, number), number, 0)
	eventually(t, settle, "the old master to have left", left)
	c.addServer().run()
	c.converge()
	w.requireNothingLost()
}

func TestCommandsReachAnEncryptedRelease(t *testing.T) {
	t.Parallel()
	secret := fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long)
	c, b := startWithBackups(t, options{secret: secret}, t.TempDir())
	c.fill(t, 100)
	if said := b.start(t, "backup").end(t, 0); !strings.Contains(said, `msg="the backup is whole"`) || !strings.Contains(said, `reason="a slave in sync`) {
		t.Errorf("the backup says:\n%s", said)
	}
	eventually(t, settle, "launcher status to tell of the certificate", func() error {
		sentinel := c.sentinels()[0]
		if _, text := runOnce(t, sentinel, 10*time.Second, sentinel.environment(), "status"); !strings.Contains(text, "certificate: 6 of 6 pods show ") || !strings.Contains(text, "expires in 41 days") || !strings.Contains(text, "sentinels: 3 of 3 answer") {
			return errors.New(text)
		}
		return nil
	})
}
