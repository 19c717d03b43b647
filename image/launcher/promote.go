package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/promote"
)

// defaultPause is how long the external master holds writes back: the cut-over takes about two seconds, and the clients get the new address in
// the rest.
const defaultPause = time.Minute

// promoteCommand needs the environment of a server pod: kubectl exec gives it.
func promoteCommand() *cobra.Command {
	var o promote.Options
	cmd := &cobra.Command{
		Use: "promote", Args: cobra.NoArgs,
		Short: "Cuts over from the external master: writes there wait, and a server of the release becomes master with everything",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.FromEnviron(os.Environ())
			if err != nil {
				return err
			}
			if err := openKept(&c); err != nil {
				return err
			}
			if _, err := password.Open(&c, slog.New(slog.DiscardHandler)); err != nil {
				return err
			}
			api, err := kube.New(c, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return promote.Run(ctx, c, api, o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what is in the way")
	cmd.Flags().DurationVar(&o.Pause, "pause-source", defaultPause, "how long the external master holds writes back; 0 if you have stopped its clients")
	return cmd
}
