package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

const (
	// heavyWriters is how many clients write without a pause.
	heavyWriters = 16
	// heavyMemory is the memory limit of a server. Redis may use three quarters of it, and the data are a third.
	heavyMemory = "3Gi"
	// heavyValues is how many values of 1 KB are set before. Their keys are random among a hundred times as many, so that few are equal.
	heavyValues = 1_000_000
)

// heavyRun is what one fault did to many clients.
type heavyRun struct {
	// At is when the fault began.
	At time.Time `json:"at"`
	// MedianGapMS and SlowestGapMS are of the longest time that a client had no acknowledged write, among all clients.
	MedianGapMS  float64 `json:"medianGapMilliseconds"`
	SlowestGapMS float64 `json:"slowestGapMilliseconds"`
	// Lost is how many of the acknowledged writes of all clients were not there at the end.
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
}

// measureHeavy installs a release with more memory for the faults, and the default release afterwards.
func measureHeavy(ctx context.Context, o options) error {
	if err := checkNames("fault", o.clientFaults, clientFaults); err != nil {
		return err
	}
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		_, err := b.install(ctx, "--set", "resources.server.limits.memory="+heavyMemory)
		if err == nil {
			err = b.heavyFaults(ctx, o)
		}
		_, back := b.install(ctx)
		return errors.Join(err, back)
	})
}

// heavyFaults fills the release, makes the faults happen, and keeps the results of each.
func (b *bench) heavyFaults(ctx context.Context, o options) error {
	if err := b.fill(ctx); err != nil {
		return fmt.Errorf("fill the release: %w", err)
	}
	starts := slices.Repeat([]start{b.writes(0, 0)}, heavyWriters)
	for _, fault := range o.clientFaults {
		var runs []heavyRun
		for i := range o.runs {
			s, err := b.strike(ctx, kindNamed(fault), starts...)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", fault, i+1, err)
			}
			one := heavyRunOf(s.at, s.reports)
			runs = append(runs, one)
			fmt.Printf("%-10s %2d of %d: gap %5.0f ms (median client), %5.0f ms (slowest), lost %d of %d, rejoined after %.1f s\n",
				fault, i+1, o.runs, one.MedianGapMS, one.SlowestGapMS, one.Lost, one.Acknowledged, s.rejoined.Seconds())
		}
		if err := keep(o, func(all *results) { all.Heavy[fault] = runs }); err != nil {
			return err
		}
	}
	return nil
}

// fill sets heavyValues values.
func (b *bench) fill(ctx context.Context) error {
	target, err := b.target(ctx)
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(target, ":")
	_, err = b.redisBenchmark(ctx, host, port, "-n", strconv.Itoa(heavyValues), "-c", "50", "-P", "16", "-r", strconv.Itoa(100*heavyValues), "-d", "1024")
	return err
}

// heavyRunOf sums up what the clients saw.
func heavyRunOf(at time.Time, reports []writer.Report) heavyRun {
	gaps := column(reports, func(r writer.Report) float64 { return float64(r.LongestGapMilliseconds) })
	one := heavyRun{At: at, MedianGapMS: quantile(gaps, 0.5), SlowestGapMS: quantile(gaps, 1)}
	for _, r := range reports {
		one.Acknowledged, one.Lost = one.Acknowledged+r.Acknowledged, one.Lost+r.Lost
	}
	return one
}

// heavyTable tells what many clients notice.
func (r results) heavyTable(say func(string, ...any)) {
	if len(r.Heavy) == 0 {
		return
	}
	say("| %d clients without a pause, 1 GB of data | runs | write gap of the median client, p50 | max | of the slowest, p50 | max | lost, of how many | on |", heavyWriters)
	say("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, fault := range clientFaults {
		runs := r.Heavy[fault]
		if len(runs) == 0 {
			continue
		}
		lost, acknowledged := 0, 0
		for _, one := range runs {
			lost, acknowledged = lost+one.Lost, acknowledged+one.Acknowledged
		}
		median := column(runs, func(r heavyRun) float64 { return r.MedianGapMS })
		slowest := column(runs, func(r heavyRun) float64 { return r.SlowestGapMS })
		say("| %s | %d | %s | %s | %s | %s | %d of %d | %s |", kindNamed(fault).Title, len(runs), seconds(quantile(median, 0.5)), seconds(quantile(median, 1)),
			seconds(quantile(slowest, 0.5)), seconds(quantile(slowest, 1)), lost, acknowledged, runs[len(runs)-1].At.UTC().Format(time.DateOnly))
	}
	say("")
}
