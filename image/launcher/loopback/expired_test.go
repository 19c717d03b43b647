package loopback

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// startExpired starts a release whose certificate has expired a moment ago. The tests' own connections do not mind.
func startExpired(t *testing.T, o options) (*cluster, *fakeauthority.Authority, *writer) {
	t.Helper()
	const life = 35 * time.Second
	a, end := fakeauthority.New(t, fakeauthority.Long), time.Now().Add(life)
	o.secret = a.Sign(t, life)
	c := start(t, o)
	c.use(a.Sign(t, fakeauthority.Long).Client(t))
	w := c.write()
	w.advance(100)
	c.converge()
	time.Sleep(time.Until(end.Add(2 * time.Second)))
	return c, a, w
}

// use has the tests' own connections show another certificate, and believe any.
func (c *cluster) use(encryption *tls.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	encryption.InsecureSkipVerify = true
	c.clientTLS = encryption
	for _, client := range c.clients {
		_ = client.Close()
	}
	clear(c.clients)
}

// No link is made anew with an expired certificate, and those that are open live on. With another certificate the release is whole again, be it
// that a master has died meanwhile.
func TestReleaseWhoseCertificateHasExpiredIsWholeWithAnother(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"the links are open": false, "the master has died": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, a, w := startExpired(t, options{unguarded: dies}) // see below
			if dies {
				c.converge().killRedis()
				time.Sleep(20 * time.Second) // longer than the sentinels need to find it down
			}
			before := c.runs()
			next := a.Sign(t, fakeauthority.Long)
			c.setSecret(next, 200*time.Millisecond)
			t.Logf("all pods have the other certificate after %v", c.awaitCertificate(2*time.Minute, next))
			c.converge()
			w.advance(100)
			if after := c.runs(); after != before && !dies {
				t.Errorf("something was started again:\n%s\nbefore:\n%s", after, before)
			}
			if dies {
				return // its clients, which do not mind, have written to a master that no replica could follow
			}
			c.replaceMaster(w)
			c.converge()
			w.requireLostAtMost(asyncTail)
		})
	}
}
