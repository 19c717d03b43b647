package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// questions counts what one launcher asks, by the process that it asks.
type questions struct {
	Own      float64 `json:"own"`
	Servers  float64 `json:"servers"`
	Sentinel float64 `json:"sentinel"`
	Statuses float64 `json:"statuses"`
}

func (q questions) all() float64 { return q.Own + q.Servers + q.Sentinel + q.Statuses }

// scaleRun is one window of the measurement of image/launcher/loopback, whose type costRun explains the values.
type scaleRun struct {
	Servers        int            `json:"servers"`
	Launchers      int            `json:"launchers"`
	Fault          string         `json:"fault"`
	Seconds        float64        `json:"seconds"`
	LabelMS        float64        `json:"labelMS"`
	Median         questions      `json:"median"`
	Most           questions      `json:"most"`
	PeakMedian     questions      `json:"peakMedian"`
	SentinelMedian questions      `json:"sentinelMedian"`
	API            map[string]int `json:"api"`
	LauncherCPU    float64        `json:"launcherCPUSeconds"`
	Busy           float64        `json:"machineBusy"`
}

// writes are the requests to the API that change something.
func (r scaleRun) writes() (n int) {
	for call, count := range r.API {
		if verb, _, _ := strings.Cut(call, " "); verb == "patch" || verb == "update" || verb == "create" {
			n += count
		}
	}
	return n
}

// requests are all requests to the API.
func (r scaleRun) requests() (n int) {
	for _, count := range r.API {
		n += count
	}
	return n
}

// scaleFaults are the windows, in the order of the table.
var scaleFaults = []struct{ name, title string }{
	{"quiet", "quiet"}, {"kill-redis", "`kill -9` of redis-server on the master"}, {"kill-container", "container of the master gone"},
	{"freeze", "redis-server frozen (SIGSTOP)"},
}

// measureScale runs the measurement of the loopback tests, which need redis-server and no cluster.
func measureScale(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "redis-ha-scale-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	output := filepath.Join(dir, "scale.json")
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=2h", "-v", "-run=^TestCostAsItGrows$", "./image/launcher/loopback/",
		"-cost="+o.sizes, "-cost-runs="+strconv.Itoa(o.runs), "-cost-output="+output)
	test.Dir, test.Env, test.Stdout, test.Stderr = "..", append(os.Environ(), "GOWORK=off"), os.Stdout, os.Stderr
	if err := test.Run(); err != nil {
		return fmt.Errorf("measure on loopback: %w", err)
	}
	content, err := os.ReadFile(output)
	if err != nil {
		return fmt.Errorf("read what was measured: %w", err)
	}
	var found []scaleRun
	if err := json.Unmarshal(content, &found); err != nil {
		return fmt.Errorf("read what was measured: %w", err)
	}
	return keep(o, func(all *results) { all.Scale = found })
}

// scaleTable tells what launchers ask.
func (r results) scaleTable(say func(string, ...any)) {
	if len(r.Scale) == 0 {
		return
	}
	say("| servers, of these with a launcher | what happens | runs | one label after, p50 | max | questions of the median launcher in its busiest second, p50 | of these to other servers | " +
		"in the window | of the busiest launcher | requests to the API by all, in the window | of these writes | CPU of all launchers | machine busy |")
	say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, servers := range sizes(r.Scale) {
		for _, fault := range scaleFaults {
			var runs []scaleRun
			for _, one := range r.Scale {
				if one.Servers == servers && one.Fault == fault.name {
					runs = append(runs, one)
				}
			}
			if len(runs) > 0 {
				say("| %d, %d | %s | %d | %s |", servers, runs[0].Launchers, fault.title, len(runs), scaleCells(runs))
			}
		}
	}
	say("")
}

// sizes are the numbers of servers, in the order in which they were measured.
func sizes(runs []scaleRun) (found []int) {
	for _, one := range runs {
		if len(found) == 0 || found[len(found)-1] != one.Servers {
			found = append(found, one.Servers)
		}
	}
	return found
}

// scaleCells are the figures of one row.
func scaleCells(runs []scaleRun) string {
	p50 := func(value func(scaleRun) float64) float64 { return quantile(column(runs, value), 0.5) }
	return fmt.Sprintf("%s | %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f s | %.0f %%", labelCell(runs, 0.5), labelCell(runs, 1),
		p50(func(r scaleRun) float64 { return r.PeakMedian.all() }), p50(func(r scaleRun) float64 { return r.PeakMedian.Servers + r.PeakMedian.Statuses }),
		p50(func(r scaleRun) float64 { return r.Median.all() }), p50(func(r scaleRun) float64 { return r.Most.all() }),
		p50(func(r scaleRun) float64 { return float64(r.requests()) }), p50(func(r scaleRun) float64 { return float64(r.writes()) }),
		p50(func(r scaleRun) float64 { return r.LauncherCPU }), 100*p50(func(r scaleRun) float64 { return r.Busy }))
}

// labelCell is a quantile of the time to a new label; a run without one counts as later than all others.
func labelCell(runs []scaleRun, q float64) string {
	if runs[0].Fault == scaleFaults[0].name {
		return "-"
	}
	ms := quantile(column(runs, func(r scaleRun) float64 {
		if r.LabelMS < 0 {
			return math.Inf(1)
		}
		return r.LabelMS
	}), q)
	if math.IsInf(ms, 1) {
		return fmt.Sprintf("more than %.0f s", math.Floor(runs[0].Seconds))
	}
	return seconds(ms)
}
