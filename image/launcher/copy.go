package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copydata"
)

// defaultSample is how many keys are compared value by value: one wrong key among a hundred is found for certain, one
// among ten thousand in one of ten cases.
const defaultSample = 1000

// copyCommand copies the data of another Redis. It needs no pod of the release.
func copyCommand() *cobra.Command {
	var o copydata.Options
	var cutOver bool
	cmd := &cobra.Command{
		Use: "copy --from HOST:PORT --to HOST:PORT", Args: cobra.NoArgs,
		Short: "Copies all data of a Redis into another, and compares them (passwords in FROM_PASS and TO_PASS)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.From.Password, o.To.Password = os.Getenv("FROM_PASS"), os.Getenv("TO_PASS")
			o.Follow = o.Follow || cutOver
			ctx, moving, stop := copySignals(cmd.Context(), o.Follow, cutOver)
			defer stop()
			o.CutOver = moving
			return copydata.Run(ctx, o, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	for side, endpoint := range map[string]*copydata.Endpoint{"from": &o.From, "to": &o.To} {
		flags.StringVar(&endpoint.Address, side, "", "host:port of the Redis to copy "+side)
		flags.StringVar(&endpoint.User, side+"-user", "", "ACL user; the default user if empty")
		flags.StringVar(&endpoint.PasswordFile, side+"-password-file", "", "file with the password")
		flags.BoolVar(&endpoint.TLS, side+"-tls", false, "encrypt the connection")
		flags.StringVar(&endpoint.CAFile, side+"-ca-file", "", "file with the certificates of authorities to trust, in PEM; those of the system if empty")
		flags.StringVar(&endpoint.CertFile, side+"-cert-file", "", "file with a client certificate, in PEM")
		flags.StringVar(&endpoint.KeyFile, side+"-key-file", "", "file with the key of the client certificate, in PEM")
	}
	flags.BoolVar(&o.Resume, "resume", false, "the target may have data: equal keys are passed over, keys that the source does not have are deleted")
	flags.BoolVar(&o.Follow, "follow", false, "copy the changes of the source until SIGINT (Ctrl-C), which begins the cut-over")
	flags.BoolVar(&cutOver, "cut-over", false, "like --follow, but begin the cut-over as soon as all keys have been copied")
	flags.DurationVar(&o.PauseSource, "pause-source", 0, "from the cut-over on the source holds writes back for this time, for instance 5m; 0 if you stop its clients")
	flags.IntVar(&o.Sample, "sample", defaultSample, "number of random keys that are compared value by value")
	return cmd
}

// errInterrupted says that the operator has ended a copy before its end.
var errInterrupted = errors.New("a signal has ended the copy")

// copySignals gives a context that ends with SIGTERM and a channel that is closed for the cut-over. The first SIGINT is
// the cut-over where the source is followed, and the end otherwise.
func copySignals(parent context.Context, follow, cutOver bool) (context.Context, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	moving := make(chan struct{})
	if cutOver {
		close(moving)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		waits := follow && !cutOver
		for {
			select {
			case <-ctx.Done():
				return
			case received := <-signals:
				if received != os.Interrupt || !waits {
					cancel(errInterrupted)
					return
				}
				close(moving)
				waits = false
			}
		}
	}()
	return ctx, moving, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
