package loopback

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinels must not use a password that the master has not read: they would find it down.
func TestMasterThatReadsANewPasswordLastStaysMaster(t *testing.T) {
	t.Parallel()
	c := startWithSecret(t, options{})
	master := c.converge()
	c.change(secretPassword{asked: true, text: "the new one", grace: time.Hour})
	for _, p := range c.everyone() {
		if p == master {
			continue
		}
		c.spreadPassword(p)
		eventually(t, settle, p.name+" to accept the new password", func() error { return letsIn(t.Context(), p, "the new one") })
	}
	for began := time.Now(); time.Since(began) < 2*c.options.downAfter; time.Sleep(100 * time.Millisecond) {
		for _, p := range c.sentinels() {
			client := redis.NewSentinelClient(clientOptions(p.address(), c.password))
			seen, err := client.Master(t.Context(), "mymaster").Result()
			_ = client.Close()
			if err != nil || seen["flags"] != "master" {
				t.Fatalf("%s finds the master %q: %v", p.name, seen["flags"], err)
			}
		}
	}
	c.spreadPassword(master)
	c.awaitInUse(settle)
	if c.converge() != master {
		t.Errorf("%s is not the master any more", master.name)
	}
}
