package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tools/internal/crowd"
)

const (
	// crowdSize is how many clients there are.
	crowdSize = 4000
	// afterwards is how long the clients go on when the release is healthy again. Connections that a leaving pod passes on end
	// in that time.
	afterwards = 5 * time.Second
)

// crowdFault is what happens to many clients. The first one is what the others are compared with: the end of all connections, and
// nothing else.
type crowdFault struct {
	Name, Title string
	Do          func(ctx context.Context, b *bench, master *corev1.Pod) error
}

var crowdFaults = []crowdFault{
	{"client-kill", "`CLIENT KILL` of all", dropAll},
	{"delete", "master pod deleted", func(ctx context.Context, b *bench, master *corev1.Pod) error {
		_, err := deletePod(ctx, b, master)
		return err
	}},
	{"kill-redis", "`kill -9` of redis-server on the master", func(ctx context.Context, b *bench, master *corev1.Pod) error {
		return b.client.KillRedis(ctx, master)
	}},
}

// dropAll ends the connections of all clients. Redis keeps serving.
func dropAll(ctx context.Context, b *bench, master *corev1.Pod) error {
	script := `read -r REDISCLI_AUTH; export REDISCLI_AUTH; exec redis-cli -h "$1" CLIENT KILL TYPE normal SKIPME yes`
	return b.client.Run(ctx, script, master.Status.PodIP)
}

// measureCrowd makes faults happen while many clients write now and then.
func measureCrowd(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		found := map[string][]crowd.Report{}
		for i := range o.runs {
			for _, f := range crowdFaults {
				report, err := b.crowd(ctx, f)
				if err != nil {
					return fmt.Errorf("%s, run %d: %w", f.Name, i+1, err)
				}
				found[f.Name] = append(found[f.Name], report)
				fmt.Printf("%-11s %2d of %d: %s\n", f.Name, i+1, o.runs, report)
			}
		}
		return keep(o, func(all *results) { all.Crowds = found })
	})
}

// crowd makes one fault happen.
func (b *bench) crowd(ctx context.Context, f crowdFault) (crowd.Report, error) {
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
		return crowd.Report{}, err
	}
	target, err := b.target(ctx)
	if err != nil {
		return crowd.Report{}, err
	}
	clients, err := b.client.Crowd(ctx, target, crowdSize)
	if err != nil {
		return crowd.Report{}, err
	}
	defer clients.Abandon()
	time.Sleep(settled + rand.N(phase))
	master, err := b.watcher.Master()
	if err != nil {
		return crowd.Report{}, err
	}
	if err := f.Do(ctx, b, master); err != nil {
		return crowd.Report{}, fmt.Errorf("make the fault happen: %w", err)
	}
	time.Sleep(time.Second) // the release is healthy until the fault is noticed
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, afterwards, recovery); err != nil {
		return crowd.Report{}, err
	}
	return clients.Finish()
}

// crowdTable tells what each fault costs many clients.
func (r results) crowdTable(say func(string, ...any)) {
	base := r.Crowds[crowdFaults[0].Name]
	if len(base) == 0 {
		return
	}
	say("| %d clients that write twice a second | runs | longest gap of the median client, p50 | of the slowest, p50 | max | ratio to the first row, median and slowest | errors on a connection, p50 | time-outs, in all |", crowdSize)
	say("| --- | --- | --- | --- | --- | --- | --- | --- |")
	of := func(runs []crowd.Report, value func(crowd.Report) float64) float64 {
		return quantile(column(runs, value), 0.5)
	}
	median, slowest := func(r crowd.Report) float64 { return r.MedianGapMS }, func(r crowd.Report) float64 { return r.MaxGapMS }
	for _, f := range crowdFaults {
		runs := r.Crowds[f.Name]
		timeouts := 0
		for _, one := range runs {
			timeouts += one.Timeouts
		}
		say("| %s | %d | %s | %s | %s | %.2f, %.2f | %.0f | %d |", f.Title, len(runs), seconds(of(runs, median)), seconds(of(runs, slowest)), seconds(quantile(column(runs, slowest), 1)),
			of(runs, median)/of(base, median), of(runs, slowest)/of(base, slowest), of(runs, func(r crowd.Report) float64 { return float64(r.Ended) }), timeouts)
	}
	say("")
}
