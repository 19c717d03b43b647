package loopback

import (
	"testing"
	"time"
)

// settle is the bound of every wait whose length is not the claim itself. It
// leaves room for a sentinel's 30 s of TILT on an overloaded machine.
const settle = 75 * time.Second

// eventually waits until condition returns nil and returns how long it took.
// It ends the test with what was awaited and the last reason why not.
func eventually(t testing.TB, bound time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		err := condition()
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > bound {
			t.Fatalf("waited %v for: %s\nlast seen: %v", bound, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// throughout checks that condition holds the whole time.
func throughout(t testing.TB, length time.Duration, what string, condition func() error) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < length; time.Sleep(100 * time.Millisecond) {
		if err := condition(); err != nil {
			t.Fatalf("%v after the begin this no longer held: %s\nseen: %v", time.Since(begin).Round(time.Millisecond), what, err)
		}
	}
}
