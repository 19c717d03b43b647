package loopback

import (
	"strings"
	"testing"
	"time"
)

// startFollowingKept is startFollowing for a release whose volumes outlive their pods. All data are in the append-only files.
func startFollowingKept(t *testing.T, servers int) (*cluster, *external) {
	t.Helper()
	o := keptVolumes
	o.servers = servers
	c, x := startFollowing(t, o)
	for _, p := range c.servers() {
		c.appends(p)
	}
	return c, x
}

// A saved copy names a place in the history of the external master. The server has the password of that master, and goes on from there.
func TestServerThatComesBackOnItsVolumeNeedsNoFullCopyOfTheExternalMaster(t *testing.T) {
	t.Parallel()
	c, x := startFollowingKept(t, 2)
	full, partial := copiesOf(t, x.Client)
	gone := c.servers()[0]
	gone.removeButVolume()
	if err := x.Set(t.Context(), "meanwhile", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	back := gone.comeBack()
	eventually(t, settle, "slaves of the external master", func() error { return c.followsExternal(x) })
	c.appends(back)
	for _, key := range []string{"before", "meanwhile"} {
		eventually(t, settle, key+" on "+back.name, func() error { return c.client(back).Get(t.Context(), key).Err() })
	}
	if nowFull, nowPartial := copiesOf(t, x.Client); nowFull != full || nowPartial != partial+1 {
		t.Errorf("the external master has sent %d full copies and %d partial ones more, not 0 and 1", nowFull-full, nowPartial-partial)
	}
}

// The first master of the release has followed the external master with the password of that master. As a replica of its successor it needs the
// password of the release.
func TestFirstMasterOfAReleaseThatHasMovedInNeedsNoFullCopy(t *testing.T) {
	t.Parallel()
	c, _ := startFollowingKept(t, 3)
	code, said := c.promote()
	if code != 0 || !strings.Contains(said, "all servers follow it") {
		t.Fatalf("launcher promote ended with %d:\n%s", code, said)
	}
	first := c.converge()
	for _, p := range c.servers() {
		c.appends(p)
	}
	w := c.write()
	w.advance(200)
	first.removeButVolume()
	back := first.comeBack()
	master := c.converge()
	c.appends(back)
	if master == back {
		t.Fatalf("%s is master", back.name)
	}
	if full, partial := c.copies(master); full > 0 || partial == 0 {
		t.Errorf("the successor has sent %d full copies and %d partial ones", full, partial)
	}
	w.requireNothingLost()
	w.requireGapBelow(2 * time.Second)
}
