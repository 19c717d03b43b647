package loopback

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// The settings have five sentinels before there are five. Two of three could replace the master all the same.
func TestMasterWhoseSettingsHaveMoreSentinelsThanThereAreHoldsWritesBack(t *testing.T) {
	t.Parallel()
	c, w, master := startWritten(t, options{followed: true})
	c.set(settingsOf(3, 5))
	c.spread(0)
	c.awaitSentinels("quorum", "3")
	eventually(t, settle, "the master to have read it", func() error { return says(master, "sentinels=5") })
	silent := c.sentinels()[:2]
	for _, p := range silent {
		p.freezeRedis()
	}
	if err := c.api.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, settle, "writes to be held back", c.heldBack(master))
	if err := c.api.Start(); err != nil {
		t.Fatal(err)
	}
	for _, p := range silent {
		p.thawRedis()
	}
	c.converge()
	w.advance(100)
	w.requireNothingLost()
}

// Two new sentinels beside one of three would be a majority of five, while the other two of three may be a majority on the other side of a partition.
func TestSentinelJoinsWhenAMajorityAnswers(t *testing.T) {
	t.Parallel()
	c := start(t, options{followed: true})
	w := c.write()
	silent := c.sentinels()[:2]
	for _, p := range silent {
		p.freezeRedis()
	}
	c.set(settingsOf(3, 5))
	late := c.addSentinel()
	late.run()
	waits := func() error { return says(late, "waiting until the other sentinels answer and know each other") }
	eventually(t, settle, "the new sentinel to wait", waits)
	throughout(t, 40*time.Second, "the new sentinel does not run", func() error {
		if _, err := c.masterAsSeen(late, "flags"); err == nil {
			return errors.New("it answers")
		}
		return waits()
	})
	for _, p := range silent {
		p.thawRedis()
	}
	eventually(t, settle, "the new sentinel to join", func() error {
		found, err := c.masterAsSeen(late, "num-other-sentinels")
		if err == nil && found != "3" {
			err = fmt.Errorf("it knows %s others", found)
		}
		return err
	})
	c.awaitSentinels("num-other-sentinels", "3")
	w.advance(100)
	w.requireNothingLost()
}
