// Package seed gives property tests the same cases in every run: a change is judged by what it changes, not by its luck. Import it
// for its effect.
//
// -rapid.seed=0 draws new cases, and -rapid.checks=5000 many of them; both after `go test PACKAGE -args`.
package seed

import (
	"flag"
	"fmt"

	_ "pgregory.net/rapid" // defines the flag
)

// The command line is parsed after this and wins.
func init() {
	if err := flag.Set("rapid.seed", "20260101"); err != nil {
		panic(fmt.Sprintf("set the seed of property tests: %v", err))
	}
}
