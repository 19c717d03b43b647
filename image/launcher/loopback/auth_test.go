package loopback

import (
	"fmt"
	"testing"
	"time"
)

// A release without a password gets one, and loses it again. Clients without one work until the grace period is over.
func TestPasswordIsTurnedOnAndOffInARunningRelease(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{noPassword: true})
	w := c.write()
	w.advance(100)
	c.change(secretPassword{asked: true, text: "a first one", grace: time.Hour})
	c.spreadButLast()
	c.replaceMaster(w)
	c.converge()
	without, with := c.strictly("master", ""), c.strictly("master", "a first one")
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	c.converge()
	added := c.addServer()
	added.run()
	eventually(t, settle, "the pod that has started in between to be ready", func() error { return ready(added) })
	if err := letsIn(t.Context(), added, ""); err != nil {
		t.Errorf("a client without a password at a pod that has started in between: %v", err)
	}
	without.requireNoFailure(t, "no password")
	c.useAsClient("a first one")
	c.change(secretPassword{asked: true, text: "a first one", grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitRefused(settle, "")
	c.converge()
	with.requireNoFailure(t, "the first password")
	c.replaceMaster(w)

	c.change(secretPassword{grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitAccepted(settle, "")
	c.awaitInUse(settle)
	c.useAsClient("")
	c.replaceMaster(w)
	c.converge()
	w.requireLostAtMost(3 * asyncTail)
}

// The pods have mounted the Secret of the chart. A Secret of the user has another name, so the pods are replaced. The old pods know no password, and
// reach the new pods until the last old pod has gone.
func TestAuthWithASecretOfTheUserReplacesPodsThatKnowNoPassword(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{noPassword: true})
	w := c.write()
	w.advance(100)
	c.useAsClient("mine")
	c.change(secretPassword{asked: true, text: "mine", grace: time.Second})
	before := c.everyone()
	for _, p := range before {
		p.refresh(c.mounted) // the settings alone
	}
	for i, p := range before {
		for _, other := range c.everyone() {
			if err := letsIn(t.Context(), other, ""); err != nil {
				t.Errorf("with %d pods replaced, a client without a password at %s: %v", i, other.name, err)
			}
		}
		next := c.addServer
		if p.sentinel {
			next = c.addSentinel
		}
		p.remove()
		added := next()
		added.run()
		eventually(t, settle, fmt.Sprintf("%s in the place of %s", added.name, p.name), func() error { return ready(added) })
		c.converge()
	}
	c.awaitRefused(settle, "")
	c.replaceMaster(w)
	c.converge()
	w.requireLostAtMost(asyncTail)
}
