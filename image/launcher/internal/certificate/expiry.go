package certificate

import (
	"fmt"
	"time"
)

// Early is how long before its end a certificate is announced to expire, at most: whoever renews certificates by hand has weeks for it. A
// certificate with a shorter life is announced in the last quarter of it. What renews certificates by itself does so before: cert-manager
// when a third of the life is left.
const Early = 28 * 24 * time.Hour

const day = 24 * time.Hour

// Expiry says how long a certificate is good, or since when not.
func (s State) Expiry(now time.Time) string {
	left, on := s.Expires.Sub(now), s.Expires.UTC().Format(time.DateOnly)
	switch {
	case left < 0:
		return "expired on " + on
	case left < 2*day:
		return fmt.Sprintf("expires in %d hours, at %s", int(left.Hours()), s.Expires.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("expires in %d days, on %s", int(left/day), on)
}

// Warning says what to do about a certificate that expires soon; empty: nothing yet.
func (s State) Warning(now time.Time) string {
	if s.Expires.Sub(now) > min(Early, s.life/4) {
		return ""
	}
	return "the certificate " + s.Expiry(now) + "; without another one no pod and no client can connect. Renew it in the Secret, or run helm upgrade if the chart makes it"
}
