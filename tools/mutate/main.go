// Command mutate measures the tests of the rendered chart: it changes one line of the chart at a time and runs them on the
// result. A change that no test notices survives; it needs a test, or a reason in survivors.yaml.
//
// Every line of a template is removed in turn, every boolean and number of a template is flipped, and so is every value of
// values.yaml. A chart that no longer renders counts as noticed. The goldens do not count: they notice everything and demand nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// wanted is the part of the mutants that must be killed, in percent.
const wanted = 95

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := mutate(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "mutate: %v\n", err)
		os.Exit(1)
	}
}

func mutate(ctx context.Context) error {
	only := flag.String("only", "", "regular expression: only mutants with a name like this, and no score")
	list := flag.Bool("list", false, "list the mutants and change nothing")
	parallel := flag.Int("parallel", runtime.GOMAXPROCS(0), "mutants at a time")
	flag.Parse()
	choice, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -only: %w", err)
	}
	reasons, err := explained()
	if err != nil {
		return err
	}
	root, err := render.Root()
	if err != nil {
		return err
	}
	chart := filepath.Join(root, "charts", "redis-ha")
	all, err := mutants(chart)
	if err != nil {
		return err
	}
	if err := known(all, reasons); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return !choice.MatchString(m.name()) })
	if *list {
		for _, m := range all {
			fmt.Println(m.name())
		}
		return nil
	}
	r := &run{chart: chart, killers: map[string][]string{}, total: len(all)}
	if err := r.all(ctx, root, all, *parallel); err != nil {
		return err
	}
	return r.report(all, reasons, *only == "")
}

// known refuses reasons for mutants that the chart does not have.
func known(all []mutant, reasons map[string]string) error {
	var problems []error
	names := map[string]bool{}
	for _, m := range all {
		names[m.name()] = true
	}
	for name := range reasons {
		if !names[name] {
			problems = append(problems, fmt.Errorf("tools/mutate/survivors.yaml explains %q, which is no line of the chart: remove the entry, or name it as `make mutate` does", name))
		}
	}
	return errors.Join(problems...)
}

// run is one measurement.
type run struct {
	chart string
	tests *suite
	total int

	mu        sync.Mutex
	done      int
	survivors []mutant
	killers   map[string][]string // by file: tests that have killed a mutant of it, the last one first
}

// all runs the tests on every mutant, some at a time.
func (r *run) all(ctx context.Context, root string, all []mutant, parallel int) error {
	temporary, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return fmt.Errorf("make a folder for the mutants: %w", err)
	}
	defer os.RemoveAll(temporary)
	fmt.Fprintln(os.Stderr, "compiling the tests")
	if r.tests, err = build(ctx, root, temporary); err != nil {
		return err
	}
	killer, err := r.tests.run(ctx, r.chart, "-test.skip="+notRules)
	if err != nil {
		return err
	}
	if killer != "" {
		return fmt.Errorf("the tests fail on the chart as it is (%s): make `go test ./tests/render/...` pass first", killer)
	}
	work, ctx := errgroup.WithContext(ctx)
	queue := make(chan mutant)
	work.Go(func() error {
		defer close(queue)
		for _, m := range all {
			select {
			case queue <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range parallel {
		work.Go(func() error {
			for m := range queue {
				if err := r.one(ctx, temporary, m); err != nil {
					return fmt.Errorf("%s: %w", m.name(), err)
				}
			}
			return nil
		})
	}
	return work.Wait()
}

// one runs the tests on one mutant, in a folder of its own since a chart is read once per folder.
func (r *run) one(ctx context.Context, temporary string, m mutant) error {
	dir, err := os.MkdirTemp(temporary, "chart-")
	if err != nil {
		return fmt.Errorf("make a folder for the mutant: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(r.chart)); err != nil {
		return fmt.Errorf("copy the chart: %w", err)
	}
	original, err := os.ReadFile(filepath.Join(r.chart, filepath.FromSlash(m.file)))
	if err != nil {
		return fmt.Errorf("read the file to change: %w", err)
	}
	if err := m.write(dir, original); err != nil {
		return fmt.Errorf("write the mutant: %w", err)
	}
	r.mu.Lock()
	likely := slices.Clone(r.killers[m.file])
	r.mu.Unlock()
	started := time.Now()
	killer, err := r.tests.kill(ctx, dir, likely)
	if err != nil {
		return err
	}
	r.note(m, killer, time.Since(started))
	return nil
}

// note keeps what became of a mutant, and shows it.
func (r *run) note(m mutant, killer string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	if killer == "" {
		r.survivors = append(r.survivors, m)
		fmt.Fprintf(os.Stderr, "%d/%d SURVIVED %s, line %d (%.1f s)\n", r.done, r.total, m.name(), m.number, took.Seconds())
		return
	}
	fmt.Fprintf(os.Stderr, "%d/%d killed by %s: %s (%.1f s)\n", r.done, r.total, killer, m.name(), took.Seconds())
	if killer == "rendering" || killer == "a panic" {
		return
	}
	others := slices.DeleteFunc(r.killers[m.file], func(name string) bool { return name == killer })
	r.killers[m.file] = append([]string{killer}, others...)
}

// report prints the score and tells whether it is good enough.
func (r *run) report(all []mutant, reasons map[string]string, whole bool) error {
	names := map[string]bool{}
	for _, m := range all {
		names[m.name()] = true
	}
	var survivors []string
	slices.SortFunc(r.survivors, func(a, b mutant) int { return slices.Index(all, a) - slices.Index(all, b) })
	for _, m := range r.survivors {
		survivors = append(survivors, m.name())
	}
	unexplained, unused := verdict(survivors, names, reasons)
	var problems []error
	for _, name := range unexplained {
		problems = append(problems, fmt.Errorf("no test notices %q: write one, or explain it in tools/mutate/survivors.yaml", name))
	}
	for _, name := range unused {
		problems = append(problems, fmt.Errorf("a test notices %q: remove it from tools/mutate/survivors.yaml", name))
	}
	killed := len(all) - len(survivors)
	score := 100 * float64(killed) / float64(max(1, len(all)))
	fmt.Printf("%d mutants, %d killed, %d survived, %d of these explained: score %.1f %%\n", len(all), killed, len(survivors), len(survivors)-len(unexplained), score)
	if whole && score < wanted {
		problems = append(problems, fmt.Errorf("the score is %.1f %%, at least %d %% are wanted", score, wanted))
	}
	return errors.Join(problems...)
}
