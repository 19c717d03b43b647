package e2e

import (
	"context"
	"testing"
	"time"
)

// Limits of the waits. They are far above what a healthy machine needs, so
// that a slow one does not fail; how long things took is logged.
const (
	// installTime is from helm install to a cluster that agrees: images are
	// there, volumes are made.
	installTime = 3 * time.Minute
	// recoveryTime is from a fault to a complete cluster that agrees again.
	recoveryTime = 2 * time.Minute
	// switchTime is from a fault to a new master.
	switchTime = 30 * time.Second
	// removalTime is from helm uninstall to the last object; pods of servers
	// have 60 s to go.
	removalTime = 2 * time.Minute
	// proxyTime is from what the API says of a Service to what clients get:
	// kube-proxy brings changes together, and DNS remembers what is not there.
	proxyTime = 30 * time.Second
	// callTime bounds one command or request.
	callTime = time.Minute
	// pollEvery is the pause between two looks.
	pollEvery = 300 * time.Millisecond
)

// eventually waits until check finds nothing wrong any more, and says how long
// that took. what completes the sentence "waited for …".
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) time.Duration {
	t.Helper()
	return eventuallyEvery(t, pollEvery, limit, what, check)
}

// eventuallyEvery is eventually with another pause between two checks, for what takes minutes.
func eventuallyEvery(t *testing.T, pause, limit time.Duration, what string, check func(ctx context.Context) error) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		err := check(ctx)
		took := time.Since(start)
		switch {
		case err == nil:
			return took
		case took > limit:
			t.Fatalf("waited %s for %s:\n%v", limit, what, err)
		}
		time.Sleep(pause)
	}
}

// during repeats check for the whole time, and fails where two checks in a row find an error. A busy machine may not answer one of them in time.
func during(t *testing.T, span time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	for start := time.Now(); time.Since(start) < span; time.Sleep(pollEvery) {
		err := check(t.Context())
		if err != nil {
			err = check(t.Context())
		}
		if err != nil {
			t.Fatalf("%s, not after %s: %v", what, time.Since(start).Round(time.Millisecond), err)
		}
	}
}
