package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/redis-ha/redis-ha/tools/internal/bulk"
)

// loadMemory is the memory limit of a server under the bulk load, whose data need about half of it.
const loadMemory = "4Gi"

// bounds are the values of servers.maxReplicationLag that are compared.
var bounds = []string{"0", "64Mi"}

// measureLoad loads much data into a new release, with and without a bound for the lag of the slaves, in turns.
func measureLoad(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		found := map[string][]bulk.Report{}
		for i := range o.runs {
			for _, bound := range bounds {
				if _, err := b.install(ctx, "--set", "resources.server.limits.memory="+loadMemory, "--set-string", "servers.maxReplicationLag="+bound); err != nil {
					return err
				}
				report, err := b.load(ctx)
				if err != nil {
					return fmt.Errorf("load %d with maxReplicationLag %s: %w", i+1, bound, err)
				}
				found[bound] = append(found[bound], report)
				fmt.Printf("load %d of %d, maxReplicationLag %s: %s\n", i+1, o.runs, bound, report)
			}
		}
		if _, err := b.install(ctx); err != nil {
			return err
		}
		return keep(o, func(all *results) { all.Loads = found })
	})
}

// load loads through the master Service, and waits until the release is whole again.
func (b *bench) load(ctx context.Context) (bulk.Report, error) {
	target, err := b.target(ctx)
	if err != nil {
		return bulk.Report{}, err
	}
	var addresses []string
	servers, _ := b.watcher.Pods()
	for _, pod := range servers {
		addresses = append(addresses, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(b.release.Port)))
	}
	report, err := b.client.Bulk(ctx, target, addresses)
	if err != nil {
		return report, err
	}
	return report, b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery)
}

// loadTable tells what each bound costs and keeps.
func (r results) loadTable(say func(string, ...any)) {
	if len(r.Loads) == 0 {
		return
	}
	say("| bulk load with `servers.maxReplicationLag` | runs | values/s, p50 | longest wait, p50 | max | greatest lag, p50 | max | refused, in all | without a slave, p50 | full copies, in all |")
	say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, bound := range bounds {
		loads := r.Loads[bound]
		of := func(value func(bulk.Report) float64) []float64 { return column(loads, value) }
		wait := of(func(r bulk.Report) float64 { return r.LongestMS })
		lag := of(func(r bulk.Report) float64 { return float64(r.GreatestLag) / (1 << 20) })
		var refused, copies int64
		for _, l := range loads {
			refused, copies = refused+l.Refused+l.Failed, copies+l.Copies
		}
		say("| %s | %d | %.0f | %s | %s | %.0f MiB | %.0f MiB | %d | %s | %d |", bound, len(loads),
			quantile(of(func(r bulk.Report) float64 { return float64(r.Acknowledged) / r.Seconds }), 0.5), seconds(quantile(wait, 0.5)), seconds(quantile(wait, 1)),
			quantile(lag, 0.5), quantile(lag, 1), refused, seconds(quantile(of(func(r bulk.Report) float64 { return r.AloneMS }), 0.5)), copies)
	}
	say("")
}
