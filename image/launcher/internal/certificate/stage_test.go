package certificate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// A Secret may change twice before each pod has read the first change: a pod that trusts the new authority at the second change is alone with
// that.
func TestPodsTrustEachOtherThroughoutTwoChangesInARow(t *testing.T) {
	first, second := fakeauthority.New(t, long), fakeauthority.New(t, long)
	before, both := sign(t, first, long), sign(t, first, long, second)
	for name, next := range map[string]Set{
		"an authority, then its certificate": sign(t, second, long, first),
		"another authority, and back":        before,
	} {
		middle := both
		if next.same(before) {
			middle = sign(t, second, long)
		}
		now := time.Now()
		early, late := begun(before).taken(middle, now), begun(before)
		early = early.taken(next, now.Add(10*time.Second))
		for passed := 10 * time.Second; passed <= 3*settings.SettleTime; passed += time.Second {
			at := now.Add(passed)
			if passed == settings.SettleTime-time.Second { // the kubelet of the late pod brings both changes as one
				late = late.taken(next, at)
			}
			early, late = early.at(at), late.at(at)
			require.True(t, early.trusted.signed(late.shown, at), "%s: the early pod trusts the late one after %v", name, passed)
			require.True(t, late.trusted.signed(early.shown, at), "%s: the late pod trusts the early one after %v", name, passed)
		}
		require.True(t, early.shown.same(next) && late.shown.same(next), "%s is over", name)
	}
}

// Clocks of nodes differ, and a pod whose clock is late refuses a certificate before its beginning.
func TestCertificateIsShownAMinuteAfterItsBeginning(t *testing.T) {
	a := fakeauthority.New(t, long)
	before, next := sign(t, a, long), sign(t, a, long)
	begin := next.pair.Leaf.NotBefore
	s := begun(before).taken(next, begin.Add(time.Second))
	require.True(t, s.shown.same(before))
	require.Len(t, s.pending(), 1)
	require.True(t, s.at(begin.Add(clockSlack-time.Second)).shown.same(before))
	require.True(t, s.at(begin.Add(clockSlack)).shown.same(next))
}

// helm rollback brings the certificate of that time back.
func TestExpiredCertificateDoesNotReplaceAGoodOne(t *testing.T) {
	a := fakeauthority.New(t, long)
	mounted, good, expired := t.TempDir(), sign(t, a, long), sign(t, a, -time.Minute)
	k, err := Open(files(t, mounted, good), quiet)
	require.NoError(t, err)
	files(t, mounted, expired)
	k.look(time.Now())
	k.look(time.Now())
	require.True(t, k.stage.shown.same(good))
	require.Contains(t, k.State().Pending[0], "the new certificate has expired, and the present certificate is still good")
}

// A handshake that has begun needs the certificate and the key that fit.
func TestHandshakeKeepsItsCertificateWhileAnotherBeginsToCount(t *testing.T) {
	a := fakeauthority.New(t, long)
	mounted, good, next := t.TempDir(), sign(t, a, long), sign(t, a, long)
	k, err := Open(files(t, mounted, good), quiet)
	require.NoError(t, err)
	held := k.pair()
	files(t, mounted, next)
	k.look(time.Now())
	k.look(time.Now())
	require.True(t, k.stage.shown.same(next))
	require.Equal(t, good.pair.Certificate, held.Certificate)
}
