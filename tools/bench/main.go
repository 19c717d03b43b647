// Command bench measures what clients notice of faults, how long an
// installation takes, and what the launcher costs. It needs a kind cluster with
// the release on it, which `make up` makes, except for `bench scale`.
//
// Every fault happens a number of times while two clients write through one
// address: a plain one, and one that waits for a replica. Results are kept in a
// JSON file, and become Markdown tables and pictures with `bench report`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// bench is what all measurements need.
type bench struct {
	client  *probe.Client
	watcher *probe.Watcher
	release probe.Release
	// address is where the clients write, and sentinels where those ask that speak Sentinel, for the master of the name masterName.
	address, sentinels, masterName string
	// servers and pods are how many a complete release has.
	servers, pods                  int
	releaseName, chart, kubeconfig string
	dir                            string
}

// options are the flags.
type options struct {
	kubeconfig, namespace, release, address, selector, servers, service, image string
	chart, output, machine, sizes, sentinels, masterName                       string
	faults, clients, clientFaults                                              []string
	runs                                                                       int
	duration                                                                   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{Use: "bench", Short: "What clients notice of faults, and what the launcher costs", SilenceUsage: true, SilenceErrors: true}
	flags := root.PersistentFlags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the cluster; it must be named, faults are no fun elsewhere")
	flags.StringVar(&o.namespace, "namespace", "kube-public", "namespace of the release")
	flags.StringVar(&o.release, "release", "redis-ha", "name of the release")
	flags.StringVar(&o.selector, "selector", "", "labels of all pods (default app=redis-ha,release=RELEASE)")
	flags.StringVar(&o.servers, "servers", "", "labels of the pods that run servers (default SELECTOR,component=server)")
	flags.StringVar(&o.address, "address", "", "host:port that clients write to (default the cluster IP of -service)")
	flags.StringVar(&o.service, "service", "", "Service of the master whose endpoints are watched (default the release's; - for none)")
	flags.StringVar(&o.image, "image", "redis-ha:8.0.2-r1", "an image with bash that the nodes have")
	flags.StringVar(&o.chart, "chart", "../charts/redis-ha", "chart for installations and upgrades")
	flags.StringVar(&o.output, "output", "../docs/benchmarks.json", "file of the results; parts that are measured again are replaced")
	flags.StringVar(&o.machine, "machine", "", "where this is measured, in words; kept with the results")

	faults := measurement(&o, "faults", "Make faults happen while clients write", 20, measureFaults)
	faults.Flags().StringSliceVar(&o.faults, "faults", names(), "which")
	clients := measurement(&o, "clients", "Make faults happen while clients write that ask the sentinels for the master", 5, measureClients)
	clients.Flags().StringSliceVar(&o.clients, "clients", clientNames(), "which; all but go-redis need Node.js and npm on this machine")
	heavy := measurement(&o, "heavy", "Make faults happen while many clients write to much data; reinstalls the release", 5, measureHeavy)
	for _, command := range []*cobra.Command{clients, heavy} {
		command.Flags().StringSliceVar(&o.clientFaults, "faults", clientFaults, "which")
	}
	clients.Flags().StringVar(&o.sentinels, "sentinels", "", "host:port of the sentinels (default the cluster IP of the release's Service)")
	clients.Flags().StringVar(&o.masterName, "master-name", "mymaster", "name of the master at the sentinels")
	quiet := measurement(&o, "quiet", "Count writes to the API while nothing happens", 0, measureQuiet)
	quiet.Flags().DurationVar(&o.duration, "duration", time.Hour, "how long")
	scale := measurement(&o, "scale", "What launchers ask each other by the number of servers; on loopback addresses, without a cluster", 3, measureScale)
	scale.Flags().StringVar(&o.sizes, "sizes", "3,10,50", "numbers of servers")
	root.AddCommand(faults, clients, heavy, scale, quiet,
		measurement(&o, "install", "Time from helm install to the first write and to all pods ready; reinstalls the release", 20, measureInstalls),
		measurement(&o, "throughput", "Requests through the Service against plain replicated Redis in the same run", 5, measureThroughput),
		measurement(&o, "load", "A bulk load with and without a bound for the lag of the slaves; reinstalls the release", 3, measureLoad),
		measurement(&o, "crowd", "What faults cost thousands of clients, against the end of all connections in the same run", 5, measureCrowd),
		measurement(&o, "encrypted", "The same faults of the release and of an encrypted one beside it, in turns", 10, measureEncrypted),
		measurement(&o, "returns", "What a slave costs that comes back with 1 GB of data; reinstalls the release", 5, measureReturns),
		measurement(&o, "launcher", "Memory and CPU of the launchers, idle and under load", 0, measureLauncher),
		&cobra.Command{Use: "report", Short: "Write the tables and pictures of docs/benchmarks.md from the results", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return report(o.output) }})
	return root
}

// measurement is the command of one measurement. It has a flag --runs with its own default, unless runs is 0.
func measurement(o *options, use, short string, runs int, do func(ctx context.Context, o options) error) *cobra.Command {
	command := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	if runs > 0 {
		command.Flags().IntVar(&runs, "runs", runs, "how often each")
	}
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		o.runs = runs
		return do(cmd.Context(), *o)
	}
	return command
}

func names() []string {
	var found []string
	for _, k := range kinds {
		found = append(found, k.Name)
	}
	return found
}

// checkNames refuses names of faults or clients that do not exist.
func checkNames(what string, chosen, known []string) error {
	for _, name := range chosen {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown %s %q: choose from %s", what, name, strings.Join(known, ", "))
		}
	}
	return nil
}

// withBench prepares the cluster for measurements and cleans up after them.
func withBench(ctx context.Context, o options, do func(ctx context.Context, b *bench) error) error {
	client, err := probe.Connect(o.kubeconfig, o.image, "redis-ha-bench")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "redis-ha-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{
		client:  client,
		address: o.address, sentinels: o.sentinels, masterName: o.masterName, releaseName: o.release, chart: o.chart, kubeconfig: o.kubeconfig, dir: dir,
		release: probe.Release{Namespace: o.namespace, Selector: o.selector, Servers: o.servers, MasterService: o.service, Port: 6379},
	}
	b.defaults(o.release)
	fmt.Println("preparing a client in the cluster ...")
	if err := b.client.Start(ctx, ".", dir); err != nil {
		return err
	}
	defer func() { _ = b.client.Remove(context.WithoutCancel(ctx)) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if b.watcher, err = probe.Watch(ctx, b.client, b.release); err != nil {
		return err
	}
	servers, others := b.watcher.Pods()
	b.servers, b.pods = len(servers), len(servers)+len(others)
	return do(ctx, b)
}

// target is where the clients write: an address of the cluster's own, so that the
// loss of a node with a DNS server on it is not measured as well.
func (b *bench) target(ctx context.Context) (string, error) {
	if b.address != "" {
		return b.address, nil
	}
	return b.client.MasterAddress(ctx, b.release)
}

// defaults are those of the chart's own release.
func (b *bench) defaults(release string) {
	set := func(value *string, fallback string) {
		if *value == "" {
			*value = fallback
		}
	}
	set(&b.release.Selector, "app=redis-ha,release="+release)
	set(&b.release.Servers, b.release.Selector+",component=server")
	set(&b.release.MasterService, release+"-redis-ha-master-svc")
	if b.release.MasterService == "-" {
		b.release.MasterService = ""
	}
	b.chart, _ = filepath.Abs(b.chart)
}

// measureFaults makes the chosen faults happen and keeps the results after each.
func measureFaults(ctx context.Context, o options) error {
	if err := checkNames("fault", o.faults, names()); err != nil {
		return err
	}
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		for _, k := range kinds {
			if !slices.Contains(o.faults, k.Name) {
				continue
			}
			runs := []run{}
			for i := range o.runs {
				r, err := b.once(ctx, k)
				if err != nil {
					return fmt.Errorf("%s, run %d: %w", k.Name, i+1, err)
				}
				runs = append(runs, r)
				rest(ctx, k.Rest)
				fmt.Printf("%-14s %2d of %d: gap %5.0f ms (WAIT 1: %5.0f), lost %d (%d), one label after %5.0f ms, rejoined after %5.0f ms, %d writes to the API\n",
					k.Name, i+1, o.runs, r.GapMS, r.WaitGapMS, r.Lost, r.WaitLost, r.LabelMS, r.RejoinedMS, r.Writes)
			}
			if err := keep(o, func(all *results) { all.Faults[k.Name] = thin(runs) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}

// thin keeps the history of the median run only, which the picture shows.
func thin(runs []run) []run {
	shown := typical(runs)
	for i := range runs {
		if i != shown {
			runs[i].History, runs[i].Gaps = nil, nil
		}
	}
	return runs
}

// typical gives the run with the median gap.
func typical(runs []run) int {
	median := quantile(column(runs, func(r run) float64 { return r.GapMS }), 0.5)
	return slices.IndexFunc(runs, func(r run) bool { return r.GapMS == median })
}

// keep changes the file of the results.
func keep(o options, change func(*results)) error {
	all, err := readResults(o.output)
	if err != nil {
		return err
	}
	change(&all)
	all.Measured = time.Now().UTC().Truncate(time.Second)
	if o.machine != "" {
		all.Machine = o.machine
	}
	return all.write(o.output)
}
