// Command soak draws new cases for every property test, and new lives for the
// simulated release, until its time is over or a case fails. `make test` draws
// the same few cases each time.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// release is the test that gets half of the time: one life of it consists of thousands of decisions.
const release = "TestReleaseKeepsOneMasterAndItsDataThroughAnyFaults"

// options are the flags.
type options struct {
	duration time.Duration
	seed     uint64
	only     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	root := &cobra.Command{Use: "soak", Short: "New cases for every property test, and new lives for the simulated release", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true, RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) }}
	flags := root.Flags()
	flags.DurationVar(&o.duration, "duration", 10*time.Minute, "how long; a case that fails at the end is made smaller for half a minute more")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "the seeds of the tests follow from this one")
	flags.StringVar(&o.only, "only", "", "regular expression: only tests with a name like this")
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	deadline := time.Now().Add(o.duration)
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("read --only: %w", err)
	}
	dir, err := os.MkdirTemp("", "redis-ha-soak-")
	if err != nil {
		return fmt.Errorf("make a folder for the compiled tests: %w", err)
	}
	defer os.RemoveAll(dir)
	properties, err := compiled(ctx, dir, only)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, %d property tests, %v\n", o.seed, len(properties), o.duration)
	return newSoak(properties, o, deadline).rounds(ctx)
}
