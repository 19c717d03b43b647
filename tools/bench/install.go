package main

import (
	"context"
	"fmt"
	"time"
)

// install is one installation, from the start of helm install.
type install struct {
	FirstWriteMS float64 `json:"firstWriteMilliseconds"`
	ReadyMS      float64 `json:"readyMilliseconds"`
}

// measureInstalls installs the release again and again.
func measureInstalls(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		installs := []install{}
		for i := range o.runs {
			one, err := b.install(ctx)
			if err != nil {
				return fmt.Errorf("installation %d: %w", i+1, err)
			}
			installs = append(installs, one)
			fmt.Printf("install %2d of %d: first write after %5.0f ms, all ready after %5.0f ms\n", i+1, o.runs, one.FirstWriteMS, one.ReadyMS)
		}
		return keep(o, func(all *results) { all.Installs = installs })
	})
}

// install replaces the release by a new one. args are further arguments of helm install.
func (b *bench) install(ctx context.Context, args ...string) (install, error) {
	if err := b.helm(ctx, "uninstall", b.releaseName, "--ignore-not-found", "--wait", "--timeout", "3m"); err != nil {
		return install{}, err
	}
	if err := b.awaitGone(ctx); err != nil {
		return install{}, err
	}
	start := time.Now()
	if err := b.helm(ctx, append([]string{"install", b.releaseName, b.chart}, args...)...); err != nil {
		return install{}, err
	}
	target, err := b.target(ctx)
	if err != nil {
		return install{}, err
	}
	w, err := b.client.Write(ctx, target, 0, interval, recovery)
	if err != nil {
		return install{}, err
	}
	defer w.Abandon()
	if err := w.Advance(ctx, 1, recovery); err != nil {
		return install{}, err
	}
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, 0, recovery); err != nil {
		return install{}, err
	}
	one := install{ReadyMS: milliseconds(time.Since(start))}
	report, err := w.Finish()
	if err != nil {
		return one, err
	}
	one.FirstWriteMS = milliseconds(report.FirstAt.Sub(start))
	return one, nil
}

// awaitGone waits until no pod of the release is left.
func (b *bench) awaitGone(ctx context.Context) error {
	for deadline := time.Now().Add(recovery); ; time.Sleep(50 * time.Millisecond) {
		servers, others := b.watcher.Pods()
		if len(servers)+len(others) == 0 {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("waited %s for the pods of the old release to go: %d are there", recovery, len(servers)+len(others))
		}
	}
}
