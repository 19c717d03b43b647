// Command launcher is PID 1 of the redis-ha image. It finds out whether its pod
// is a master, a slave or a sentinel, runs the right process, and keeps the pod
// label redis-role true.
//
// Exit codes: 0 the pod was told to terminate and has handed over; 1 it could
// not go on; 2 the environment is wrong (every problem is listed).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/image/launcher/internal/agent"
	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/internal/status"
	"github.com/redis-ha/redis-ha/image/launcher/internal/verify"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// version is set when the image is built.
var version = "development"

// The exit codes; see the package comment.
const (
	exitFailure     = 1
	exitEnvironment = 2
)

func main() {
	root := &cobra.Command{
		Use:           "launcher",
		Short:         "Runs this pod as master, slave or sentinel and keeps its label redis-role true",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
	}
	root.AddCommand(
		&cobra.Command{Use: "status", Short: "Prints all pods of the release with roles, offsets, lag and quorum", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return printStatus(cmd) }},
		verifyCommand(),
		copyCommand(),
		backupCommand(),
		restoreCommand(),
		promoteCommand(),
		&cobra.Command{Use: "version", Short: "Prints the version", Args: cobra.NoArgs,
			Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) }},
	)
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "launcher:", err)
		var problems *config.ProblemsError
		if errors.As(err, &problems) {
			os.Exit(exitEnvironment)
		}
		os.Exit(exitFailure)
	}
}

// openCertificate reads the certificate of the pod, and has the launcher's own connections encrypted with it. It is nil where nothing is
// encrypted.
func openCertificate(c *config.Config, log *slog.Logger) (*certificate.Keeper, error) {
	keeper, err := certificate.Open(c.TLS, log)
	encrypt(c, keeper)
	return keeper, err
}

// openKept is openCertificate for a command in a pod whose launcher runs.
func openKept(c *config.Config) error {
	keeper, err := certificate.OpenKept(c.TLS, c.RunDir, slog.New(slog.DiscardHandler))
	encrypt(c, keeper)
	return err
}

// encrypt has the launcher's own connections encrypted, unless keeper is nil.
func encrypt(c *config.Config, keeper *certificate.Keeper) {
	if keeper != nil {
		c.TLS.Links, c.TLS.Own, c.TLS.Server = keeper.Links(), keeper.Own(), keeper.Server()
		web.AskEncrypted(c.TLS.Links)
	}
}

// printStatus needs the environment of a pod of the release: kubectl exec gives it.
func printStatus(cmd *cobra.Command) error {
	c, err := config.FromEnviron(os.Environ())
	if err != nil {
		return err
	}
	if err := openKept(&c); err != nil {
		return err
	}
	passwords, err := password.Open(&c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	api, err := kube.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return status.Print(cmd.Context(), c, passwords, api, cmd.OutOrStdout())
}

// verifyCommand is what helm test runs.
func verifyCommand() *cobra.Command {
	var addresses verify.Addresses
	cmd := &cobra.Command{
		Use: "verify", Args: cobra.NoArgs,
		Short: "Writes through the master Service, reads through the slave Service, asks a sentinel (password in REDIS_PASS)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := config.TLSFromEnviron(os.Environ())
			if err != nil {
				return err
			}
			keeper, err := certificate.Open(files, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			access := verify.Access{Password: os.Getenv("REDIS_PASS")}
			if keeper != nil {
				access.TLS = keeper.Client()
			}
			return verify.Run(cmd.Context(), addresses, access, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&addresses.Master, "master", "", "host:port of the master Service")
	cmd.Flags().StringVar(&addresses.Slave, "slave", "", "host:port of the slave Service; left out if empty")
	cmd.Flags().StringVar(&addresses.Sentinel, "sentinel", "", "host:port of the sentinel Service; left out if empty")
	cmd.Flags().StringVar(&addresses.MasterName, "master-name", "mymaster", "name the sentinels know the master by")
	if err := cmd.MarkFlagRequired("master"); err != nil {
		panic(err)
	}
	return cmd
}

// gcPercent halves the garbage that is kept beside a heap of about 2 MiB, whose
// collection takes a millisecond now and then.
const gcPercent = 50

// run is the launcher's life as PID 1.
func run(ctx context.Context) error {
	debug.SetGCPercent(gcPercent)
	c, err := config.FromEnviron(os.Environ())
	if err != nil {
		return err
	}
	if err := c.CheckDirectories(); err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(c.LogLevel)
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	log.Info("launcher", "version", version, "pod", c.PodName, "ip", c.PodIP.String(), "sentinel", c.Sentinel)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := agent.NewMetrics(registry)
	certificates, err := openCertificate(&c, log)
	if err != nil {
		return err
	}
	passwords, err := password.Open(&c, log)
	if err != nil {
		return err
	}
	metrics.CountPasswords(registry, passwords)
	web.AskFrom(c.BindAddress)
	server := web.New(registry)
	if certificates != nil {
		if err := certificates.Keep(c.RunDir); err != nil {
			return err
		}
		server.Encrypt(certificates.Server())
		metrics.CountCertificate(registry, certificates)
		go certificates.Run(ctx)
	}
	if err := server.Serve(ctx, c.BindAddress, c.HTTPPort); err != nil {
		return err
	}
	api, err := kube.New(c, log)
	if err != nil {
		return err
	}
	server.SetRelease(api.InRelease)
	go process.CollectOrphans(ctx)
	follower := settings.Follow(os.Environ(), c, level, log)
	passwords.Follow(follower.Config)
	go follower.Run(ctx)
	stop := untilTerm(log)
	if c.Sentinel {
		return agent.NewSentinel(c, follower, certificates, passwords, api, server, metrics, log).Run(ctx, stop)
	}
	return agent.NewServer(c, follower, certificates, passwords, api, server, metrics, log).Run(ctx, stop)
}

// untilTerm gives a channel that is closed at the first TERM or INT. A second
// one ends the process at once.
func untilTerm(log *slog.Logger) <-chan struct{} {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	stop := make(chan struct{})
	go func() {
		<-signals
		close(stop)
		<-signals
		log.Warn("second signal: ending at once")
		os.Exit(exitFailure)
	}()
	return stop
}
