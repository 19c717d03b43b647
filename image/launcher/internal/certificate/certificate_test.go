package certificate

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

var quiet = slog.New(slog.DiscardHandler)

// sign gives a certificate with a life, and the authorities to trust.
func sign(t *testing.T, a *fakeauthority.Authority, life time.Duration, trusted ...*fakeauthority.Authority) Set {
	t.Helper()
	signed := a.Sign(t, life, trusted...)
	s, err := parse(signed.Cert, signed.Key, signed.CA, true, time.Now())
	require.NoError(t, err)
	return s
}

const long = fakeauthority.Long

// files writes a set as the files of a mounted Secret.
func files(t *testing.T, dir string, s Set) config.TLS {
	t.Helper()
	f := config.TLS{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key"), CAFile: filepath.Join(dir, "ca")}
	for file, content := range map[string][]byte{f.CertFile: s.Cert, f.KeyFile: s.Key, f.CAFile: s.CA} {
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	return f
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	a, b := fakeauthority.New(t, long), fakeauthority.New(t, long)
	good, other := sign(t, a, long), sign(t, b, long)
	for name, c := range map[string]struct {
		cert, key, ca []byte
		says          string
	}{
		"the key of another certificate": {good.Cert, other.Key, good.CA, "read the certificate and its key"},
		"no certificate":                 {[]byte("-"), good.Key, good.CA, "read the certificate and its key"},
		"no authorities":                 {good.Cert, good.Key, []byte("-"), "has no certificate in PEM"},
		"the authorities of another":     {good.Cert, good.Key, other.CA, "have not signed the certificate"},
	} {
		_, err := parse(c.cert, c.key, c.ca, true, time.Now())
		require.ErrorContains(t, err, c.says, name)
	}
	_, err := Read(config.TLS{CertFile: "/nowhere/tls.crt", KeyFile: "/nowhere/tls.key", CAFile: "/nowhere/ca.crt"})
	require.ErrorContains(t, err, "/nowhere/tls.crt")
	require.ErrorContains(t, err, "/nowhere/ca.crt", "all files at once")
	_, err = Open(config.TLS{CertFile: "/nowhere/tls.crt", KeyFile: "/nowhere/tls.key", CAFile: "/nowhere/ca.crt"}, quiet)
	var problems *config.ProblemsError
	require.ErrorAs(t, err, &problems)
}

// A pod whose certificate has expired starts: it can tell of that, and its Redis is as alive as the others.
func TestCertificateThatHasExpiredIsRead(t *testing.T) {
	a := fakeauthority.New(t, long)
	s := sign(t, a, -time.Hour)
	require.True(t, s.Expires().Before(time.Now()))
}

func TestCertificateExpiresNoLaterThanItsAuthority(t *testing.T) {
	short, later := fakeauthority.New(t, 10*time.Hour), fakeauthority.New(t, 2*long)
	require.WithinDuration(t, time.Now().Add(10*time.Hour), sign(t, short, long).Expires(), time.Minute)
	require.WithinDuration(t, time.Now().Add(long), sign(t, short, long, later).Expires(), time.Minute)
}

// What happens to a release whose pods read a new certificate at different times: every two pods must always trust each other.
func TestPodsTrustEachOtherThroughoutAChange(t *testing.T) {
	first, second := fakeauthority.New(t, long), fakeauthority.New(t, long)
	for name, next := range map[string]Set{
		"a certificate of the same authority":       sign(t, first, long),
		"a certificate of another authority":        sign(t, second, long),
		"another authority beside the first":        sign(t, second, long, first),
		"the same certificates, and more authority": sign(t, first, long, second),
	} {
		before, now := sign(t, first, long), time.Now()
		early := begun(before)
		late := early
		settled := func(s stage) bool { return s.shown.same(next) && string(s.trusted.CA) == string(next.CA) }
		for passed := time.Duration(0); passed <= 3*settings.SettleTime; passed += time.Second {
			at := now.Add(passed)
			if passed == 0 {
				early = early.taken(next, at)
			}
			if passed == settings.SettleTime-time.Second { // the last moment
				late = late.taken(next, at)
			}
			early, late = early.at(at), late.at(at)
			require.True(t, early.trusted.signed(late.shown, at), "%s: the early pod trusts the late one after %v", name, passed)
			require.True(t, late.trusted.signed(early.shown, at), "%s: the late pod trusts the early one after %v", name, passed)
		}
		require.True(t, settled(early) && settled(late), "%s is over", name)
		require.Empty(t, early.pending())
	}
}

func TestCertificateOfAKnownAuthorityIsShownAtOnce(t *testing.T) {
	a := fakeauthority.New(t, long)
	before, next, now := sign(t, a, long), sign(t, a, long), time.Now()
	s := begun(before).taken(next, now)
	require.True(t, s.shown.same(next))
	require.Empty(t, s.pending())
}

func TestExpiredCertificateDoesNotStayForTheSakeOfOthers(t *testing.T) {
	first, second := fakeauthority.New(t, long), fakeauthority.New(t, long)
	before, next, now := sign(t, first, -time.Minute), sign(t, second, long), time.Now()
	require.True(t, begun(before).taken(next, now).shown.same(next))
}

func TestKeeperTakesFilesThatTwoLooksFindTheSameAndGivesThemToRedis(t *testing.T) {
	a := fakeauthority.New(t, long)
	mounted, run := t.TempDir(), t.TempDir()
	before, next := sign(t, a, long), sign(t, a, 2*long)
	k, err := Open(files(t, mounted, before), quiet)
	require.NoError(t, err)
	require.NoError(t, k.Keep(run))
	stored := func() Set {
		folder := k.Folder()
		s, err := Read(config.TLS{CertFile: filepath.Join(folder, CertFile), KeyFile: filepath.Join(folder, KeyFile), CAFile: filepath.Join(folder, CAFile)})
		require.NoError(t, err)
		return s
	}
	require.True(t, stored().same(before))
	version, folder := k.State().Version, k.Folder()
	files(t, mounted, next)
	k.look(time.Now())
	require.Equal(t, version, k.State().Version, "after one look")
	k.look(time.Now())
	require.NotEqual(t, version, k.State().Version)
	require.True(t, stored().same(next))
	require.DirExists(t, folder, "a process that was just started may be reading it")
	<-k.Changed()
	require.Equal(t, next.Expires(), k.State().Expires)

	broken := next
	broken.Key = before.Key
	files(t, mounted, broken)
	k.look(time.Now())
	k.look(time.Now())
	require.True(t, stored().same(next), "the files before stay")
	require.Len(t, k.State().Pending, 1)
	require.Contains(t, k.State().Pending[0], "the files of the Secret are refused")
	files(t, mounted, sign(t, a, 3*long))
	k.look(time.Now())
	k.look(time.Now())
	require.Empty(t, k.State().Pending)
	require.NoDirExists(t, folder, "of an old certificate nothing is left")
}

func TestWhereNothingIsEncryptedThereIsNoKeeper(t *testing.T) {
	k, err := Open(config.TLS{}, quiet)
	require.NoError(t, err)
	require.Nil(t, k)
	require.Empty(t, k.Folder())
	require.Nil(t, k.State())
	require.Nil(t, k.Changed())
	k.Run(t.Context())
}

// handshake connects a client to a server, and gives the errors of both.
func handshake(t *testing.T, client, server *tls.Config) (clientError, serverError error) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			err = connection.(*tls.Conn).Handshake()
			_, _ = connection.Write([]byte("hello"))
			_ = connection.Close()
		}
		done <- err
	}()
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String(), client)
	if err == nil {
		_ = connection.Close()
	}
	return err, <-done
}

func TestLinksTrustTheAuthoritiesAloneAndCheckNoName(t *testing.T) {
	a, b := fakeauthority.New(t, long), fakeauthority.New(t, long)
	open := func(s Set) *Keeper {
		k, err := Open(files(t, t.TempDir(), s), quiet)
		require.NoError(t, err)
		return k
	}
	one, two, stranger := open(sign(t, a, long)), open(sign(t, a, long)), open(sign(t, b, long))
	err, _ := handshake(t, one.Links(), two.Server())
	require.NoError(t, err)
	err, _ = handshake(t, one.Links(), stranger.Server())
	require.ErrorContains(t, err, "signed by unknown authority")
	demanding := two.Server()
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, one.stage.trusted.authorities
	_, err = handshake(t, one.Links(), demanding)
	require.NoError(t, err, "it shows its certificate, as Redis may demand")

	named := one.Client()
	named.ServerName = fakeauthority.Name
	err, _ = handshake(t, named, two.Server())
	require.NoError(t, err)
	err, _ = handshake(t, one.Client(), two.Server())
	require.ErrorContains(t, err, "doesn't contain any IP SANs", "a client checks names")
	expired := open(sign(t, a, -time.Minute))
	err, _ = handshake(t, one.Links(), expired.Server())
	require.ErrorContains(t, err, "expired")
}

func TestExpiryIsAnnouncedWeeksBefore(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left, life time.Duration
		want       string
	}{
		{Early + time.Minute, 730 * day, ""}, {Early, 730 * day, "expires in 28 days, on 2026-12-28"}, {3 * day, 90 * day, "expires in 3 days, on 2026-12-03"},
		{30 * day, 90 * day, ""}, {22 * day, 90 * day, "expires in 22 days, on 2026-12-22"}, {8 * time.Hour, day, ""},
		{5 * time.Hour, day, "expires in 5 hours, at 2026-11-30T17:00:00Z"}, {-day, 90 * day, "expired on 2026-11-29"},
	} {
		got := State{Expires: now.Add(c.left), life: c.life}.Warning(now)
		if c.want == "" {
			require.Empty(t, got, "%v", c)
			continue
		}
		require.Contains(t, got, "the certificate "+c.want)
		require.Contains(t, got, "Renew it")
	}
}
