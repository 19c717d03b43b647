package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The lines of the document between which the tables stand.
const (
	tablesBegin = "<!-- tables: begin (written by `make bench-report`) -->"
	tablesEnd   = "<!-- tables: end -->"
)

// report writes the tables into benchmarks.md beside the results, and the
// pictures into the folder images.
func report(path string) error {
	all, err := readResults(path)
	if err != nil {
		return err
	}
	document := strings.TrimSuffix(path, ".json") + ".md"
	content, err := os.ReadFile(document)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	head, rest, found := strings.Cut(string(content), tablesBegin)
	_, tail, found2 := strings.Cut(rest, tablesEnd)
	if !found || !found2 {
		return fmt.Errorf("%s must have the lines %q and %q", document, tablesBegin, tablesEnd)
	}
	text := head + tablesBegin + "\n\n" + all.markdown() + "\n" + tablesEnd + tail
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	for _, k := range kinds {
		runs := all.Faults[k.Name]
		if shown := typical(runs); shown >= 0 {
			picture := timeline(k, runs[shown])
			name := filepath.Join(filepath.Dir(path), "images", "bench-"+k.Name+".svg")
			if err := os.WriteFile(name, []byte(picture), 0o644); err != nil {
				return fmt.Errorf("write the picture: %w", err)
			}
		}
	}
	return nil
}

// markdown gives all tables.
func (r results) markdown() string {
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	say("Measured %s; %s.", r.Measured.Format("2006-01-02"), r.Machine)
	say("")
	r.faultTable(say)
	r.clientTable(say)
	r.heavyTable(say)
	r.returnTable(say)
	r.encryptedTable(say)
	if n := len(r.Installs); n > 0 {
		first := column(r.Installs, func(i install) float64 { return i.FirstWriteMS })
		all := column(r.Installs, func(i install) float64 { return i.ReadyMS })
		say("| from the start of `helm install`, images present (%d runs) | p50 | p95 | max |", n)
		say("| --- | --- | --- | --- |")
		say("| to the first acknowledged write | %s |", quantiles(first))
		say("| to all pods ready and agreed | %s |", quantiles(all))
		say("")
	}
	if r.Throughput != nil {
		ratios := column(r.Throughput.Rounds, func(r round) float64 { return r.Service / r.Bare })
		say("Throughput through the Service, as a ratio to plain `redis-server` with plain replicas on the same nodes in the same run: median %.3f, "+
			"from %.3f to %.3f in %d rounds (median %.0f requests/s through the Service).", quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1), len(ratios),
			quantile(column(r.Throughput.Rounds, func(r round) float64 { return r.Service }), 0.5))
		say("")
	}
	r.loadTable(say)
	r.crowdTable(say)
	r.scaleTable(say)
	if r.Launcher != nil {
		say("| launcher in a pod that is | resident memory | CPU idle | CPU under load |")
		say("| --- | --- | --- | --- |")
		for _, p := range r.Launcher.Pods {
			say("| %s | %.1f MiB | %.2f %% of a core | %.2f %% |", p.Role, p.ResidentMiB, p.IdleCPU, p.LoadCPU)
		}
		say("")
	}
	if r.Quiet != nil {
		say("Objects of the release that were written in %.0f quiet minutes: %d.", r.Quiet.Minutes, r.Quiet.Writes)
	}
	return text.String()
}

func (r results) faultTable(say func(string, ...any)) {
	say("| fault | runs | write gap p50 | p95 | max | goal p50, p95 | gap with WAIT 1, p50 | lost, in how many runs | lost with WAIT 1 | one label after, p50 | all rejoined after, p50 | API writes, p50 | on |")
	say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, k := range kinds {
		runs := r.Faults[k.Name]
		if len(runs) == 0 {
			continue
		}
		lost, inRuns, waitLost := 0, 0, 0
		for _, one := range runs {
			lost, waitLost = lost+one.Lost, waitLost+one.WaitLost
			if one.Lost > 0 {
				inRuns++
			}
		}
		goal := "none"
		if k.P50 > 0 {
			goal = seconds(milliseconds(k.P50)) + ", " + seconds(milliseconds(k.P95))
		}
		p50 := func(value func(run) float64) string { return seconds(quantile(column(runs, value), 0.5)) }
		say("| [%s](images/bench-%s.svg) | %d | %s | %s | %s | %d, in %d | %d | %s | %s | %.0f | %s |", k.Title, k.Name, len(runs),
			quantiles(column(runs, func(r run) float64 { return r.GapMS })), goal,
			p50(func(r run) float64 { return r.WaitGapMS }), lost, inRuns, waitLost,
			p50(func(r run) float64 { return r.LabelMS }), p50(func(r run) float64 { return r.RejoinedMS }),
			quantile(column(runs, func(r run) float64 { return float64(r.Writes) }), 0.5), runs[len(runs)-1].At.UTC().Format(time.DateOnly))
	}
	say("")
}

// quantiles gives p50, p95 and max as cells.
func quantiles(values []float64) string {
	return seconds(quantile(values, 0.5)) + " | " + seconds(quantile(values, 0.95)) + " | " + seconds(quantile(values, 1))
}

func seconds(ms float64) string { return fmt.Sprintf("%.2f s", ms/1000) }
