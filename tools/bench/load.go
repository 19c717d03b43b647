package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/redis-ha/redis-ha/tools/internal/lag"
)

const (
	// loadMemory is the memory limit of a server under the bulk load, whose data need about half of it.
	loadMemory = "4Gi"
	// loadRequests is how many values of 1 KB are set.
	loadRequests = 1_500_000
)

// bounds are the values of servers.maxReplicationLag that are compared: none, the default, and less than slaves are behind on a busy machine.
var bounds = []string{"0", "64Mi", "8Mi"}

// load is one bulk load.
type load struct {
	// PerSecond is how many values were set in a second; LongestMS the longest time until one was answered.
	PerSecond float64 `json:"perSecond"`
	LongestMS float64 `json:"longestMilliseconds"`
	// Lag is what became of the slaves meanwhile.
	Lag lag.Report `json:"lag"`
}

// measureLoad loads much data into a new release, with and without a bound for the lag of the slaves, in turns.
func measureLoad(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		found := map[string][]load{}
		for i := range o.runs {
			for _, bound := range bounds {
				if _, err := b.install(ctx, "--set", "resources.server.limits.memory="+loadMemory, "--set-string", "servers.maxReplicationLag="+bound); err != nil {
					return err
				}
				one, err := b.load(ctx)
				if err != nil {
					return fmt.Errorf("load %d with maxReplicationLag %s: %w", i+1, bound, err)
				}
				found[bound] = append(found[bound], one)
				fmt.Printf("load %d of %d, maxReplicationLag %s: %.0f values a second, longest wait %.0f ms, %s\n", i+1, o.runs, bound, one.PerSecond, one.LongestMS, one.Lag)
			}
		}
		if _, err := b.install(ctx); err != nil {
			return err
		}
		return keep(o, func(all *results) { all.Loads = found })
	})
}

// load loads through the master Service, and waits until the release is whole again.
func (b *bench) load(ctx context.Context) (load, error) {
	target, err := b.target(ctx)
	if err != nil {
		return load{}, err
	}
	host, port, _ := strings.Cut(target, ":")
	var addresses []string
	servers, _ := b.watcher.Pods()
	for _, pod := range servers {
		addresses = append(addresses, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(b.release.Port)))
	}
	watched, err := b.client.Lag(ctx, addresses)
	if err != nil {
		return load{}, err
	}
	defer watched.Abandon()
	// As many as the client can: 50 connections with 16 values each under way.
	set, err := b.redisBenchmark(ctx, host, port, "-n", strconv.Itoa(loadRequests), "-c", "50", "-P", "16", "-r", strconv.Itoa(10*loadRequests), "-d", "1024")
	if err != nil {
		return load{}, err
	}
	one := load{PerSecond: set.PerSecond, LongestMS: set.LongestMS}
	if one.Lag, err = watched.Finish(); err != nil {
		return one, err
	}
	return one, b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery)
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
		of := func(value func(load) float64) []float64 { return column(loads, value) }
		wait := of(func(l load) float64 { return l.LongestMS })
		greatest := of(func(l load) float64 { return float64(l.Lag.Greatest) / (1 << 20) })
		var refused, copies int64
		for _, l := range loads {
			refused, copies = refused+l.Lag.Refused, copies+l.Lag.Copies
		}
		say("| %s | %d | %.0f | %s | %s | %.0f MiB | %.0f MiB | %d | %s | %d |", bound, len(loads), quantile(of(func(l load) float64 { return l.PerSecond }), 0.5),
			seconds(quantile(wait, 0.5)), seconds(quantile(wait, 1)), quantile(greatest, 0.5), quantile(greatest, 1), refused,
			seconds(quantile(of(func(l load) float64 { return l.Lag.AloneMS }), 0.5)), copies)
	}
	say("")
}
