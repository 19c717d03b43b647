package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/tools/internal/nodewriter"
	"github.com/redis-ha/redis-ha/tools/internal/probe"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

const (
	// sentinelPort is the port of the sentinels' Service.
	sentinelPort = 26379
	// nodeFolder is where the writer for Node.js is in the client's pod, below /client.
	nodeFolder = "nodewriter"
	// goRedis is the library that needs no Node.js.
	goRedis = "go-redis"
)

// nodePackages are the names in the npm registry of the libraries for Node.js.
var nodePackages = map[string]string{"ioredis": "ioredis", "node-redis": "redis"}

// clientFaults are the faults that clients of the sentinels and many clients meet.
var clientFaults = []string{"delete", "kill-redis"}

// clientRun is what one client saw of one fault.
type clientRun struct {
	// At is when the fault began.
	At time.Time `json:"at"`
	// Version is that of the library.
	Version string `json:"version"`
	// GapMS is the longest time without an acknowledged write.
	GapMS float64 `json:"gapMilliseconds"`
	// Lost is how many of the acknowledged writes were not there at the end.
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	// Errors are the errors that the application got, by what they say.
	Errors map[string]int `json:"errors,omitempty"`
}

// clientNames are all libraries, in the order of the table.
func clientNames() []string {
	return append([]string{goRedis}, slices.Sorted(maps.Keys(nodePackages))...)
}

// checkClients refuses libraries that do not exist, and those that this machine cannot run.
func (o options) checkClients() error {
	if err := checkNames("client", o.clients, clientNames()); err != nil {
		return err
	}
	for _, name := range o.clients {
		if name == goRedis {
			continue
		}
		if err := nodewriter.Check(); err != nil {
			return fmt.Errorf("the client %s cannot run (--clients %s leaves it out): %w", name, goRedis, err)
		}
	}
	return nil
}

// clientVersions gives the versions of the libraries.
func clientVersions() (map[string]string, error) {
	versions, err := nodewriter.Versions()
	if err != nil {
		return nil, err
	}
	found := map[string]string{goRedis: redis.Version()}
	for name, inRegistry := range nodePackages {
		found[name] = versions[inRegistry]
	}
	return found, nil
}

// measureClients makes faults happen while the chosen clients write at once, so that all see the same fault.
func measureClients(ctx context.Context, o options) error {
	if err := errors.Join(checkNames("fault", o.clientFaults, clientFaults), o.checkClients()); err != nil {
		return err
	}
	versions, err := clientVersions()
	if err != nil {
		return err
	}
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		if slices.ContainsFunc(o.clients, func(name string) bool { return name != goRedis }) {
			if err := b.bringNode(ctx); err != nil {
				return err
			}
		}
		var starts []start
		for _, name := range o.clients {
			starts = append(starts, b.asks(name))
		}
		for _, fault := range o.clientFaults {
			found := map[string][]clientRun{}
			for i := range o.runs {
				s, err := b.strike(ctx, kindNamed(fault), starts...)
				if err != nil {
					return fmt.Errorf("%s, run %d, clients %s: %w", fault, i+1, strings.Join(o.clients, ", "), err)
				}
				for n, name := range o.clients {
					one := clientRunOf(s.at, versions[name], s.reports[n])
					found[name] = append(found[name], one)
					fmt.Printf("%-10s %2d of %d, %-10s: gap %5.0f ms, lost %d of %d, errors %v\n", fault, i+1, o.runs, name, one.GapMS, one.Lost, one.Acknowledged, one.Errors)
				}
			}
			if err := keep(o, func(all *results) { all.keepClients(fault, found) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// bringNode brings the writer for Node.js into the cluster.
func (b *bench) bringNode(ctx context.Context) error {
	dir := filepath.Join(b.dir, nodeFolder)
	if err := nodewriter.Pack(ctx, dir); err != nil {
		return fmt.Errorf("pack the clients for Node.js: %w", err)
	}
	return b.client.CopyFolder(ctx, dir, nodeFolder)
}

// asks starts a client of the sentinels' Service.
func (b *bench) asks(library string) start {
	return func(ctx context.Context) (*probe.Writer, error) {
		sentinels, err := b.sentinelAddress(ctx)
		if err != nil {
			return nil, err
		}
		if library == goRedis {
			return b.client.WriteWith(ctx, "writer", "-address", sentinels, "-master", b.masterName, "-interval", interval.String(),
				"-duration", (2 * recovery).String(), "-until-stdin-ends", "-progress")
		}
		host, port, err := net.SplitHostPort(sentinels)
		if err != nil {
			return nil, fmt.Errorf("read the address of the sentinels: %w", err)
		}
		pause := strconv.FormatInt(interval.Milliseconds(), 10)
		return b.client.WriteWith(ctx, nodeFolder+"/"+nodewriter.Start, library, host, port, b.masterName, pause)
	}
}

// sentinelAddress is where clients ask the sentinels.
func (b *bench) sentinelAddress(ctx context.Context) (string, error) {
	if b.sentinels != "" {
		return b.sentinels, nil
	}
	return b.client.ServiceAddress(ctx, b.release.Namespace, b.releaseName+"-redis-ha-sentinel", sentinelPort)
}

// clientRunOf sums up what a client saw.
func clientRunOf(at time.Time, version string, report writer.Report) clientRun {
	return clientRun{At: at, Version: version, GapMS: float64(report.LongestGapMilliseconds), Acknowledged: report.Acknowledged, Lost: report.Lost, Errors: report.FailureKinds}
}

// keepClients replaces the runs of a fault of the clients that were measured.
func (r *results) keepClients(fault string, runs map[string][]clientRun) {
	if r.Clients == nil {
		r.Clients = map[string]map[string][]clientRun{}
	}
	for name := range runs {
		if r.Clients[name] == nil {
			r.Clients[name] = map[string][]clientRun{}
		}
		r.Clients[name][fault] = runs[name]
	}
}

// clientTable tells what clients of the sentinels notice.
func (r results) clientTable(say func(string, ...any)) {
	if len(r.Clients) == 0 {
		return
	}
	say("| client that asks the sentinels | fault | runs | write gap p50 | max | lost, of how many | errors that the application got, in all | on |")
	say("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, name := range clientNames() {
		for _, fault := range clientFaults {
			runs := r.Clients[name][fault]
			if len(runs) == 0 {
				continue
			}
			last := runs[len(runs)-1]
			lost, acknowledged, said := 0, 0, map[string]int{}
			for _, one := range runs {
				lost, acknowledged = lost+one.Lost, acknowledged+one.Acknowledged
				for text, n := range one.Errors {
					said[text] += n
				}
			}
			gaps := column(runs, func(r clientRun) float64 { return r.GapMS })
			say("| %s %s | %s | %d | %s | %s | %d of %d | %s | %s |", name, last.Version, kindNamed(fault).Title, len(runs),
				seconds(quantile(gaps, 0.5)), seconds(quantile(gaps, 1)), lost, acknowledged, errorCell(said), last.At.UTC().Format(time.DateOnly))
		}
	}
	say("")
}

// errorCell is a cell with the number of errors, and what they say.
func errorCell(said map[string]int) string {
	all, texts := 0, []string{}
	for _, text := range slices.Sorted(maps.Keys(said)) {
		all += said[text]
		texts = append(texts, fmt.Sprintf("%d × `%s`", said[text], strings.NewReplacer("|", "/", "`", "'", "\n", " ").Replace(text)))
	}
	if all == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", all, strings.Join(texts, ", "))
}
