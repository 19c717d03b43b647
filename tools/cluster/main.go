// Command cluster creates a kind cluster with redis-ha on it, and removes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
)

// options are the flags that all commands share.
type options struct {
	name        string
	engine      string
	workers     int
	kubeconfig  string
	nodeImage   string
	variant     string
	onlyCluster bool
	recreate    bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted: run the same command again to continue, or `make down` to clean up")
		}
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	var opts options
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A kind cluster with redis-ha on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&opts.name, "name", "redis-ha", "name of the cluster")
	flags.StringVar(&opts.engine, "engine", engine.Auto, "container engine: auto, docker or podman")
	flags.IntVar(&opts.workers, "workers", 3, "number of worker nodes")
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster (default .cache/kubeconfig in the repository)")

	flags.StringVar(&opts.variant, "variant", "redis", "server in the image: redis or valkey")

	up := &cobra.Command{
		Use:   "up",
		Short: "Create or reuse the cluster, install the chart and show a failover",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), opts) },
	}
	up.Flags().BoolVar(&opts.onlyCluster, "only-cluster", false, "stop when the cluster is ready and has the image")
	up.Flags().BoolVar(&opts.recreate, "recreate", false, "remove an existing cluster first, even a healthy one")
	up.Flags().StringVar(&opts.nodeImage, "node-image", nodeImageAuto, "node image: auto, published, local, or the name of an image")

	root.AddCommand(up,
		&cobra.Command{
			Use:   "down",
			Short: "Remove the cluster and everything that runs for it; caches stay",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return down(cmd.Context(), opts) },
		},
		&cobra.Command{
			Use:   "kubeconfig",
			Short: "Write the kubeconfig of the running cluster and print its path",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return kubeconfig(cmd.Context(), opts) },
		},
		&cobra.Command{
			Use:   "image",
			Short: "Build the Redis image and load it into the cluster if there is one",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return image(cmd.Context(), opts) },
		},
		&cobra.Command{
			Use:   "tools",
			Short: "Build kubectl, helm, helm4, ct and kind, link them into .cache/bin, and install what the tests run",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return hostTools(cmd.Context(), opts) },
		},
	)
	return root
}
