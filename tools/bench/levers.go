package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lever is one means of a fast failover. A patch in the folder levers, named
// like it, switches it off.
type lever struct {
	// Name on the command line and of the patch.
	Name string
	// Title in the table.
	Title string
	// Faults are those that it is there for.
	Faults []string
}

// levers are all levers, in the order of the table.
var levers = []lever{
	{"crash-at-waitpid", "the launcher whose Redis has died orders the failover", []string{"kill-redis"}},
	{"dead-container-by-refusal", "a replica that finds nothing listening in the master's pod orders the failover", []string{"force-delete", "kill-launcher"}},
	{"watched-launcher", "a replica holds a connection to its master's launcher and looks closely when that ends", []string{"delete", "kill-launcher"}},
	{"one-sentinel", "one sentinel is told to fail over, instead of all", []string{"delete", "kill-redis"}},
	{"early-label", "the successor of a fenced master is labelled before the sentinels name it", []string{"delete", "kill-redis", "force-delete", "kill-launcher"}},
	{"label-order", "the successor is labelled before the old master loses its label", []string{"delete", "kill-redis"}},
	{"late-connections", "connections that still arrive at the old master's pod are passed on", []string{"delete", "kill-redis"}},
	{"looking-often", "a look every 25 ms instead of 200 ms while a failover goes on", []string{"delete", "kill-redis", "force-delete", "kill-launcher"}},
	{"memory-backed-sentinel", "sentinels keep their state in memory", []string{"delete", "kill-redis"}},
	{"sentinel-intervals", "sentinels work at shorter intervals than their own", []string{"freeze", "node-lost"}},
	{"lost-master-first", "the label is taken off a lost master before it is replaced", []string{"freeze", "node-lost"}},
	{"silent-master-first", "the label is taken off a silent master before the sentinels find it down", []string{"freeze", "node-lost"}},
	{"writes-held-back", "a master whose label another pod takes holds writes back", []string{"cut-off-from-sentinels"}},
	{"label-of-an-elected-replica", "an elected replica is labelled before the sentinels name it", []string{"freeze"}},
}

// leverRuns are the write gaps of a plain client at one fault, in milliseconds.
type leverRuns struct {
	Fault string `json:"fault"`
	// Off is the lever that was switched off; empty where all were on.
	Off  string    `json:"off,omitempty"`
	Gaps []float64 `json:"gapsMilliseconds"`
	Lost int       `json:"lost"`
}

// leverNames are the names of all levers.
func leverNames() []string {
	var found []string
	for _, l := range levers {
		found = append(found, l.Name)
	}
	return found
}

// measureLevers measures those of the chosen faults that the chosen levers are
// there for, first as the chart and the image are, and then with each lever off.
// At the end all are on again.
func measureLevers(ctx context.Context, o options) error {
	if err := o.checkFaults(); err != nil {
		return err
	}
	var chosen []lever
	faults := map[string]bool{}
	for _, l := range levers {
		if slices.Contains(o.levers, l.Name) {
			chosen = append(chosen, l)
			for _, fault := range l.Faults {
				faults[fault] = slices.Contains(o.faults, fault)
			}
		}
	}
	if len(chosen) != len(o.levers) {
		return fmt.Errorf("unknown lever among %s: choose from %s", strings.Join(o.levers, ", "), strings.Join(leverNames(), ", "))
	}
	present, err := filepath.Abs("..")
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		if err := b.deploy(ctx, present); err != nil {
			return err
		}
		for _, k := range kinds {
			if !faults[k.Name] {
				continue
			}
			if err := b.measureWithout(ctx, o, k, ""); err != nil {
				return err
			}
		}
		for _, l := range chosen {
			if err := b.measureLever(ctx, o, l, present); err != nil {
				return fmt.Errorf("without %s: %w; `make image` and a rollout restart bring it back", l.Name, err)
			}
		}
		return b.deploy(ctx, present)
	})
}

// measureLever switches a lever off and measures its faults.
func (b *bench) measureLever(ctx context.Context, o options, l lever, repository string) error {
	dir := filepath.Join(b.dir, l.Name)
	if err := exportWithout(ctx, l, repository, dir); err != nil {
		return err
	}
	if err := b.deploy(ctx, dir); err != nil {
		return err
	}
	for _, k := range kinds {
		if slices.Contains(l.Faults, k.Name) && slices.Contains(o.faults, k.Name) {
			if err := b.measureWithout(ctx, o, k, l.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// exportWithout writes the commit of a repository into a new folder, with a
// lever switched off.
func exportWithout(ctx context.Context, l lever, repository, dir string) error {
	patch, err := filepath.Abs(filepath.Join("bench", "levers", l.Name+".patch"))
	if err != nil {
		return fmt.Errorf("find the patch: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for the sources: %w", err)
	}
	archive := dir + ".tar"
	if err := show(ctx, repository, "git", "archive", "--output", archive, "HEAD"); err != nil {
		return err
	}
	if err := show(ctx, dir, "tar", "-xf", archive); err != nil {
		return err
	}
	return show(ctx, dir, "git", "apply", patch)
}

// deploy builds the image of a folder with the sources, and replaces all pods by
// ones of that image and of the folder's chart.
func (b *bench) deploy(ctx context.Context, sources string) error {
	fmt.Printf("building and deploying %s ...\n", sources)
	if err := show(ctx, filepath.Join(sources, "tools"), "go", "run", "./cluster", "image"); err != nil {
		return err
	}
	start := time.Now()
	err := b.helm(ctx, "upgrade", b.releaseName, filepath.Join(sources, "charts", "redis-ha"), "--reuse-values",
		"--set-string", fmt.Sprintf("podAnnotations.bench=run-%d", start.UnixNano()))
	if err != nil {
		return err
	}
	for deadline := start.Add(recovery); ; time.Sleep(100 * time.Millisecond) {
		// The sentinels are as much part of what is measured.
		servers, others := b.watcher.Pods()
		if allNew(append(servers, others...), start) {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("waited %s for the pods to be replaced", recovery)
		}
	}
	return b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery)
}

// measureWithout makes a fault happen some times and keeps the gaps.
func (b *bench) measureWithout(ctx context.Context, o options, k kind, off string) error {
	found := leverRuns{Fault: k.Name, Off: off}
	for i := range o.runs {
		r, err := b.once(ctx, k)
		if err != nil {
			return fmt.Errorf("%s, run %d: %w", k.Name, i+1, err)
		}
		rest(ctx, k.Rest)
		found.Gaps = append(found.Gaps, r.GapMS)
		found.Lost += r.Lost
		fmt.Printf("%-14s %2d of %d, off: %s: gap %5.0f ms, lost %d\n", k.Name, i+1, o.runs, off, r.GapMS, r.Lost)
	}
	return keep(o, func(all *results) {
		all.Levers = slices.DeleteFunc(all.Levers, func(r leverRuns) bool { return r.Fault == found.Fault && r.Off == found.Off })
		all.Levers = append(all.Levers, found)
	})
}

// show runs a program in a folder with its output on this program's.
func show(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Stdout, command.Stderr = dir, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "GOWORK=off")
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s in %s: %w", name, strings.Join(args, " "), dir, err)
	}
	return nil
}

// leverTable compares the gaps with each lever on and off.
func (r results) leverTable(say func(string, ...any)) {
	measured := func(fault, off string) *leverRuns {
		for i := range r.Levers {
			if r.Levers[i].Fault == fault && r.Levers[i].Off == off {
				return &r.Levers[i]
			}
		}
		return nil
	}
	if len(r.Levers) == 0 {
		return
	}
	say("| lever | fault | write gap p50, max with all levers | p50, max without this one | longer by (p50) | lost without it | runs |")
	say("| --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range levers {
		for _, fault := range l.Faults {
			on, off := measured(fault, ""), measured(fault, l.Name)
			if on == nil || off == nil {
				continue
			}
			median := func(runs *leverRuns) float64 { return quantile(runs.Gaps, 0.5) }
			cell := func(runs *leverRuns) string { return seconds(median(runs)) + ", " + seconds(quantile(runs.Gaps, 1)) }
			say("| %s | %s | %s | %s | %s, x %.1f | %d | %d, %d |", l.Title, fault, cell(on), cell(off),
				seconds(median(off)-median(on)), median(off)/median(on), off.Lost, len(on.Gaps), len(off.Gaps))
		}
	}
	say("")
}
