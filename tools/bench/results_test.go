package main

import (
	"encoding/xml"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

func TestQuantileIsTheNearestRank(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	assert.Equal(t, 3.0, quantile(values, 0.5))
	assert.Equal(t, 5.0, quantile(values, 0.95))
	assert.Equal(t, 1.0, quantile(values, 0))
	assert.Equal(t, 5.0, quantile(values, 1))
	assert.Equal(t, []float64{5, 1, 4, 2, 3}, values, "the values stay in their order")
	assert.True(t, math.IsNaN(quantile(nil, 0.5)))
}

func TestOneLabelIsCountedFromTheLastChange(t *testing.T) {
	label := func(ms int, pod, value string) probe.Entry {
		return probe.Entry{At: at(ms), Kind: probe.LabelKind, Pod: pod, Value: value}
	}
	for name, c := range map[string]struct {
		history []probe.Entry
		want    float64
	}{
		"the new one first":        {[]probe.Entry{label(300, "new", "master"), label(500, "old", ""), label(900, "old", "slave")}, 500},
		"the old one first":        {[]probe.Entry{label(300, "old", ""), label(700, "new", "master")}, 700},
		"two at the end":           {[]probe.Entry{label(300, "new", "master")}, -1},
		"none at the end":          {[]probe.Entry{label(300, "old", "")}, -1},
		"no change":                {nil, -1},
		"a slave is not a master":  {[]probe.Entry{label(100, "third", "slave")}, -1},
		"twice, and the last wins": {[]probe.Entry{label(1, "new", "master"), label(2, "old", ""), label(3, "third", "master"), label(4, "new", "")}, 4},
	} {
		assert.Equal(t, c.want, labelled(c.history, began, "old"), name)
	}
}

func someRun() run {
	return run{
		At: began, GapMS: 400, Gaps: []writer.Gap{{From: at(10), Milliseconds: 400}},
		History: []probe.Entry{
			{At: at(5), Kind: probe.RoleKind, Pod: "redis-server-old", Value: "none"},
			{At: at(200), Kind: probe.RoleKind, Pod: "redis-server-new", Value: "master"},
			{At: at(250), Kind: probe.LabelKind, Pod: "redis-server-new", Value: "master"},
			{At: at(280), Kind: probe.EndpointKind, Pod: "redis-server-new", Value: "in"},
			{At: at(300), Kind: probe.LabelKind, Pod: "redis-server-old", Value: ""},
			{At: at(330), Kind: probe.EndpointKind, Pod: "redis-server-old", Value: "out"},
			{At: at(330), Kind: probe.WriteKind, Pod: "redis-server-old", Value: "pod"},
		},
	}
}

func TestTimelineIsAPictureOfEverythingInTheRun(t *testing.T) {
	picture := timeline(kinds[0], someRun())
	decoder := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
	}
	for _, text := range []string{"client without a write", "label master, new", "label master, old", "behind the master Service, old", "role, new", "role, old"} {
		assert.Contains(t, picture, ">"+text+"<")
	}
}

func TestWhatWasBeforeTheFirstChangeIsDrawn(t *testing.T) {
	lanes := podLanes(someRun(), time.Second, probe.EndpointKind, "endpoint", func(v string) bool { return v == "in" })
	require.Len(t, lanes, 2)
	assert.Equal(t, lane{title: "endpoint, new", bars: []bar{{280 * time.Millisecond, time.Second, "in"}}}, lanes[0])
	assert.Equal(t, lane{title: "endpoint, old", bars: []bar{{0, 330 * time.Millisecond, "in"}}}, lanes[1])
}

func TestEveryFaultWithResultsHasALineAndAMeasureOfLoss(t *testing.T) {
	r := results{Machine: "somewhere", Faults: map[string][]run{"delete": {{GapMS: 100, Lost: 3, WaitLost: 1}, {GapMS: 700, Lost: 1}, someRun()}, "cut-off": {someRun()}}}
	text := r.markdown()
	assert.Contains(t, text, "| [master pod deleted](images/bench-delete.svg) | 3 | 0.40 s | 0.70 s | 0.70 s |")
	assert.Contains(t, text, "| 0.70 s | 0.06 s, 0.15 s |", "the goal")
	assert.Contains(t, text, "| 0.40 s | none |", "no goal")
	assert.Contains(t, text, "| 4, in 2 | 1 |", "writes lost, in how many runs, and with WAIT 1")
	assert.Contains(t, text, "| 2030-01-01 |", "when it was measured")
	assert.NotContains(t, text, "bench-freeze.svg", "what was not measured")
}

func TestOnlyTheMedianRunKeepsItsHistory(t *testing.T) {
	runs := thin([]run{{GapMS: 900, History: someRun().History}, someRun(), {GapMS: 100, History: someRun().History}})
	assert.Empty(t, runs[0].History)
	assert.NotEmpty(t, runs[1].History)
	assert.Empty(t, runs[2].History)
}

func TestResultsOfOtherPartsStayWhenOneIsMeasuredAgain(t *testing.T) {
	o := options{output: filepath.Join(t.TempDir(), "results.json"), machine: "here"}
	require.NoError(t, keep(o, func(all *results) { all.Faults["delete"] = []run{someRun()} }))
	require.NoError(t, keep(o, func(all *results) { all.Installs = []install{{FirstWriteMS: 5}} }))
	all, err := readResults(o.output)
	require.NoError(t, err)
	assert.Equal(t, "here", all.Machine)
	assert.Equal(t, []run{someRun()}, all.Faults["delete"])
	assert.Len(t, all.Installs, 1)
}

func TestRunWithoutANewLabelIsTheLatest(t *testing.T) {
	runs := []scaleRun{{Fault: "freeze", Seconds: 30.4, LabelMS: -1}, {Fault: "freeze", LabelMS: 300}, {Fault: "freeze", LabelMS: 200}}
	assert.Equal(t, "0.30 s", labelCell(runs, 0.5))
	assert.Equal(t, "more than 30 s", labelCell(runs, 1))
	assert.Equal(t, "-", labelCell([]scaleRun{{Fault: "quiet", LabelMS: -1}}, 1))
}
