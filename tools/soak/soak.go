package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// longestRun and shortestRun bound how long one run of a test is to take. A run draws all its cases from one seed.
	longestRun, shortestRun = 20 * time.Second, 2 * time.Second
	// roundsWanted is how often every test is to have a turn in the time that there is.
	roundsWanted = 3
	// growth bounds how many times more cases a run draws than the run before it.
	growth = 20
	// shrinkTime is how long rapid may make a failing case smaller.
	shrinkTime = 30 * time.Second
	// patience is how much longer than all that a run may take; longer is a hang.
	patience = 5 * time.Minute
	// progressEvery is how often a run that is under way is told of.
	progressEvery = 10 * time.Second
)

// soak runs one test at a time.
type soak struct {
	properties []*property
	seeds      *seeds
	deadline   time.Time
	runTime    time.Duration // of one run
}

func newSoak(properties []*property, o options, deadline time.Time) *soak {
	runTime := min(longestRun, max(shortestRun, o.duration/time.Duration(2*roundsWanted*len(properties))))
	return &soak{properties: properties, seeds: newSeeds(o.seed), deadline: deadline, runTime: runTime}
}

// seeds are the seeds of all runs; they follow from one.
type seeds struct{ source *rand.PCG }

func newSeeds(first uint64) *seeds { return &seeds{source: rand.NewPCG(first, 0)} }

// next gives a seed that is not 0, which would ask rapid to choose one.
func (s *seeds) next() uint64 { return max(1, s.source.Uint64()) }

// rounds runs the tests in turn until the time is over or a case fails.
func (s *soak) rounds(ctx context.Context) error {
	for time.Now().Before(s.deadline) {
		p, began := next(s.properties), time.Now()
		if err := s.run(ctx, p); err != nil {
			return err
		}
		p.used += time.Since(began)
	}
	total := 0
	for _, p := range s.properties {
		fmt.Printf("%8d cases passed: %s\n", p.passed, p.name())
		total += p.passed
	}
	fmt.Printf("no case of %d failed\n", total)
	return nil
}

// next is the test whose turn it is: the simulated release has half of the time, and the others the same time each.
func next(properties []*property) *property {
	var simulated, other *property
	var others time.Duration
	for _, p := range properties {
		if p.test == release {
			simulated = p
			continue
		}
		others += p.used
		if other == nil || p.used < other.used {
			other = p
		}
	}
	if other == nil || simulated != nil && simulated.used <= others {
		return simulated
	}
	return other
}

// run draws cases for a test from a new seed.
func (s *soak) run(ctx context.Context, p *property) error {
	seed, checks := s.seeds.next(), p.checks
	arguments := []string{"-test.v", "-test.run=^" + p.test + "$", "-test.timeout=" + (longestRun*growth + shrinkTime + patience).String(),
		fmt.Sprintf("-rapid.seed=%d", seed), "-rapid.shrinktime=" + shrinkTime.String()}
	if checks > 0 {
		arguments = append(arguments, fmt.Sprintf("-rapid.checks=%d", checks))
	}
	fmt.Printf("seed %d for %s\n", seed, p.name())
	ctx, cancel := context.WithTimeout(ctx, time.Until(s.deadline)+longestRun+shrinkTime+patience)
	defer cancel()
	command := exec.CommandContext(ctx, p.binary, arguments...)
	command.Dir = p.dir
	began := time.Now()
	output, err := withProgress(command, func() {
		fmt.Printf("  %v with seed %d, %v to go\n", time.Since(began).Round(time.Second), seed, time.Until(s.deadline).Round(time.Second))
	})
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s with seed %d was ended after %v: %w", p.name(), seed, time.Since(began).Round(time.Second), ctx.Err())
	case errors.As(err, &exit):
		return failure(p, seed, checks, string(output))
	case err != nil:
		return fmt.Errorf("run %s: %w", p.name(), err)
	}
	passed := passedIn(string(output))
	if passed == 0 {
		return fmt.Errorf("%s passed, but does not tell of a case: look at\n%s", p.name(), tail(string(output)))
	}
	if p.least == 0 {
		p.least = passed
	}
	p.passed += passed
	p.checks = max(p.least, nextChecks(passed, time.Since(began), min(s.runTime, time.Until(s.deadline))))
	fmt.Printf("  %d cases passed in %v\n", passed, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// withProgress runs a command and calls tell every progressEvery while it runs.
func withProgress(command *exec.Cmd, tell func()) ([]byte, error) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				tell()
			}
		}
	}()
	return command.CombinedOutput()
}

// nextChecks is how many cases fit into wanted, after some that took a time.
func nextChecks(checks int, took, wanted time.Duration) int {
	fit := float64(checks) * wanted.Seconds() / max(took, time.Millisecond).Seconds()
	return max(1, min(int(fit), growth*checks))
}

var passedLine = regexp.MustCompile(`\[rapid\] OK, passed (\d+) tests`)

// passedIn is how many cases passed in a run; a test may draw cases for several subtests, and the largest number counts.
func passedIn(output string) (passed int) {
	for _, m := range passedLine.FindAllStringSubmatch(output, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			passed = max(passed, n)
		}
	}
	return passed
}

var (
	failedFile = regexp.MustCompile(`-rapid\.failfile=("[^"]+")`)
	failedSeed = regexp.MustCompile(`\(or -rapid\.seed=(\d+)\)`)
)

// failure tells of a failing case: the seed, the command that repeats it, and the file that keeps it.
func failure(p *property, seed uint64, checks int, output string) error {
	repeat := fmt.Sprintf("-rapid.seed=%d", seed)
	if checks > 0 {
		repeat += fmt.Sprintf(" -rapid.checks=%d", checks)
	}
	if m := failedSeed.FindStringSubmatch(output); m != nil {
		repeat = fmt.Sprintf("-rapid.seed=%s -rapid.checks=1", m[1]) // rapid names the seed of the case itself
	}
	kept := "rapid kept no file"
	if m := failedFile.FindStringSubmatch(output); m != nil {
		if path, err := strconv.Unquote(m[1]); err == nil {
			kept = filepath.Join(p.dir, path)
		}
	}
	why := "a new case fails"
	if kept != "rapid kept no file" && failedSeed.FindString(output) == "" {
		why = "a case that an earlier run kept still fails; mend it, or remove its file"
	}
	return fmt.Errorf("%s: %s, seed %d\nrepeat it in the root of the repository: GOWORK=off go test %s -run '^%s$' -args %s\nkept: %s\n%s",
		p.name(), why, seed, p.pkg, p.test, repeat, kept, tail(output))
}

// tail gives the first and the last lines of a long output; all of it is in the file that keeps the case.
func tail(output string) string {
	const head, end = 5, 25
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) <= head+end {
		return strings.Join(lines, "\n")
	}
	return strings.Join(lines[:head], "\n") + "\n...\n" + strings.Join(lines[len(lines)-end:], "\n")
}
