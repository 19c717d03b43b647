package certificate

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// stage is what counts of a certificate and its authorities, and what waits. The pods of a release read a changed Secret one after the other,
// and each must trust the others throughout. So the authorities before are trusted until every pod shows the new certificate, and a certificate
// that those authorities have not signed is shown when every pod trusts the new ones.
type stage struct {
	shown   Set // its certificate and key are shown
	trusted Set // its authorities are trusted
	latest  Set // what the files hold
	settled Set // its authorities are trusted by every pod, since no change is under way that they may not have read yet
	// showAt is when the latest certificate is shown, and trustAt is from when on only the latest authorities are trusted. Zero: nothing waits.
	showAt, trustAt time.Time
}

// begun is the stage of a pod that has read its first files.
func begun(first Set) stage {
	return stage{shown: first, trusted: first, latest: first, settled: first}
}

// clockSlack is how much later than its beginning a certificate is shown: other pods refuse it before their clocks have come to the beginning.
// Nodes keep their clocks within a second by NTP; a minute costs nothing, as a kubelet takes longer to bring the files.
const clockSlack = time.Minute

func (s stage) version() string { return Set{Cert: s.shown.Cert, CA: s.trusted.CA}.Version() }

// taken gives what counts after the files have been read.
func (s stage) taken(next Set, now time.Time) stage {
	if next.same(s.latest) {
		return s
	}
	before := s.latest
	s.latest, s.showAt, s.trustAt = next, now, time.Time{}
	expired := now.After(s.shown.Expires()) // then nobody has a link to lose
	if begins := next.pair.Leaf.NotBefore.Add(clockSlack); !expired && begins.After(now) {
		s.showAt = begins
	}
	if string(before.CA) != string(next.CA) || string(s.trusted.CA) != string(next.CA) {
		s.trusted = joined(s.trusted, next)
		if by := now.Add(settings.SettleTime); !expired && by.After(s.showAt) && !s.settled.signed(next, now) {
			s.showAt = by
		}
		s.trustAt = s.showAt.Add(settings.SettleTime)
	}
	return s.at(now)
}

// at gives what counts at a later time.
func (s stage) at(now time.Time) stage {
	if !s.showAt.IsZero() && !now.Before(s.showAt) {
		s.shown, s.showAt = s.latest, time.Time{}
	}
	if !s.trustAt.IsZero() && !now.Before(s.trustAt) {
		s.trusted, s.settled, s.trustAt = s.latest, s.latest, time.Time{}
	}
	return s
}

// pending says what waits, each in a sentence.
func (s stage) pending() (out []string) {
	if !s.showAt.IsZero() {
		out = append(out, fmt.Sprintf("the new certificate is shown from %s on, when all pods trust it", clock(s.showAt)))
	}
	if !s.trustAt.IsZero() {
		out = append(out, fmt.Sprintf("the authorities before are trusted until %s, when all pods show the new certificate", clock(s.trustAt)))
	}
	return out
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly + " MST") }

// signed says whether the authorities of a set have signed the certificate of another.
func (s Set) signed(other Set, now time.Time) bool {
	_, err := s.verify(s.authorities, other.pair.Leaf, other.pair.Certificate[1:], now, x509.ExtKeyUsageAny)
	return err == nil
}

// joined gives a set with the authorities of both.
func joined(before, next Set) Set {
	both := Set{CA: append(append(append([]byte(nil), before.CA...), '\n'), next.CA...), authorities: x509.NewCertPool()}
	both.authorities.AppendCertsFromPEM(both.CA)
	return both
}
