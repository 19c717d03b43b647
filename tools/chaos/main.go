// Command chaos makes random faults happen to a release while clients write, and
// checks after each that the release has recovered by itself and has kept what it
// promises. The same seed gives the same faults.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// options are the flags.
type options struct {
	kubeconfig, namespace, release, image, history string
	duration                                       time.Duration
	seed                                           uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	root := &cobra.Command{Use: "chaos", Short: "Random faults, and a check after each", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) }}
	flags := root.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the cluster; it must be named")
	flags.StringVar(&o.namespace, "namespace", "kube-public", "namespace of the release")
	flags.StringVar(&o.release, "release", "redis-ha", "name of the release")
	flags.StringVar(&o.image, "image", "redis-ha:8.0.2-r1", "an image with bash that the nodes have")
	flags.DurationVar(&o.duration, "duration", 10*time.Minute, "how long; the last round is finished")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the faults")
	flags.StringVar(&o.history, "history", "", "file for what happened, one line of JSON a round")
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	client, err := probe.Connect(o.kubeconfig, o.image, "redis-ha-chaos")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "redis-ha-chaos-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	selector := "app=redis-ha,release=" + o.release
	release := probe.Release{
		Namespace: o.namespace, Selector: selector, Servers: selector + ",component=server",
		MasterService: o.release + "-redis-ha-master-svc", Port: 6379,
	}
	c := &chaos{client: client, namespace: o.namespace, release: o.release}
	if c.address, err = client.MasterAddress(ctx, release); err != nil {
		return err
	}
	fmt.Println("preparing a client in the cluster ...")
	if err := c.client.Start(ctx, ".", dir); err != nil {
		return err
	}
	defer func() { _ = c.client.Remove(context.WithoutCancel(ctx)) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.watcher, err = probe.Watch(ctx, c.client, release)
	if err != nil {
		return err
	}
	servers, others := c.watcher.Pods()
	c.serverCount, c.podCount = len(servers), len(servers)+len(others)
	if err := c.removeKeys(ctx); err != nil {
		return err
	}
	return c.rounds(ctx, o)
}

// removeKeys removes what writers have left that were interrupted. Their keys expire
// after an hour, and servers with fewer keys are what is looked for.
func (c *chaos) removeKeys(ctx context.Context) error {
	const script = `read -r REDISCLI_AUTH; test -z "$REDISCLI_AUTH" || export REDISCLI_AUTH
redis-cli -h "$1" -p "$2" --scan --pattern 'writer:*' </dev/null | while read -r key; do echo "UNLINK $key"; done | redis-cli -h "$1" -p "$2" >/dev/null`
	host, port, err := net.SplitHostPort(c.address)
	if err != nil {
		return fmt.Errorf("read the address of the master's Service: %w", err)
	}
	if err := c.client.Run(ctx, script, host, port); err != nil {
		return fmt.Errorf("remove the keys of earlier runs: %w", err)
	}
	return nil
}

// rounds plays rounds until the time is over or one finds a problem.
func (c *chaos) rounds(ctx context.Context, o options) error {
	fmt.Printf("seed %d\n", o.seed)
	planner, deadline := newPlanner(o.seed), time.Now().Add(o.duration)
	total := outcome{}
	for number := 1; time.Now().Before(deadline); number++ {
		steps := planner.round()
		found, err := c.round(ctx, steps)
		if err := keepHistory(o.history, found); err != nil {
			return err
		}
		total.add(found)
		if err != nil {
			c.explain(found.At)
			return fmt.Errorf("round %d (%v): %w\nrepeat it with --seed %d", number, steps, err, o.seed)
		}
		fmt.Printf("round %3d: gap %5.1f s, %d of %d acknowledged writes lost, %d of %d with WAIT 1, %4.1f s to recovery: %v\n", number,
			found.Gap.Seconds(), found.Lost, found.Acknowledged, found.WaitLost, found.WaitAcknowledged, found.Recovery.Seconds(), steps)
	}
	fmt.Printf("no problem with seed %d: %d of %d acknowledged writes lost, all of them with a master that died; %d of %d with WAIT 1; longest gap %.1f s\n",
		o.seed, total.Lost, total.Acknowledged, total.WaitLost, total.WaitAcknowledged, total.Gap.Seconds())
	return nil
}

// keepHistory adds a round to the file of what happened.
func keepHistory(path string, found outcome) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep the history: %w", err)
	}
	return errors.Join(json.NewEncoder(file).Encode(found), file.Close())
}
