package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// The measures of a timeline, in pixels.
const (
	timelineWidth = 960
	marginLeft    = 250
	marginRight   = 30
	laneHeight    = 26
	headHeight    = 60
)

// colours of a timeline, by what a bar says.
var colours = map[string]string{
	"gap": "#d1242f", "master": "#b4420a", "held": "#e8a06e", "slave": "#b9d3fb", "linked": "#1f5fbf", "in": "#6a3fa0", "none": "#d8dee6",
}

// bar is a span of a lane.
type bar struct {
	from, to time.Duration
	value    string
}

// lane is a line of the picture.
type lane struct {
	title string
	bars  []bar
}

// timeline draws one run: the client's gaps, the label, the endpoints and the
// roles, on one time axis that begins with the fault.
func timeline(k kind, r run) string {
	end := horizon(r)
	lanes := []lane{{title: "client without a write", bars: gapBars(r, end)}}
	for _, group := range []struct {
		kind  probe.Kind
		title string
		show  func(value string) bool
	}{
		{probe.LabelKind, "label master", func(v string) bool { return v == "master" }},
		{probe.EndpointKind, "behind the master Service", func(v string) bool { return v == "in" }},
		{probe.RoleKind, "role", func(v string) bool { return v != "" }},
	} {
		lanes = append(lanes, podLanes(r, end, group.kind, group.title, group.show)...)
	}
	return draw(k.Title, lanes, end)
}

// horizon is the time that the picture shows: a little more than the last change
// of label or endpoint, or the gap.
func horizon(r run) time.Duration {
	last := time.Duration(0)
	for _, g := range r.Gaps {
		last = max(last, g.From.Sub(r.At)+time.Duration(g.Milliseconds)*time.Millisecond)
	}
	for _, e := range r.History {
		if e.Kind == probe.LabelKind && e.Value == "master" || e.Kind == probe.EndpointKind {
			last = max(last, e.At.Sub(r.At))
		}
	}
	return last + last/6 + 300*time.Millisecond
}

func gapBars(r run, end time.Duration) []bar {
	var bars []bar
	for _, g := range r.Gaps {
		from := g.From.Sub(r.At)
		bars = append(bars, bar{max(0, from), min(end, from+time.Duration(g.Milliseconds)*time.Millisecond), "gap"})
	}
	return bars
}

// podLanes gives a lane for each pod that a kind of entry is about. What was the
// case before the first entry is what the first entry ended.
func podLanes(r run, end time.Duration, kind probe.Kind, title string, show func(string) bool) []lane {
	byPod := map[string][]probe.Entry{}
	for _, e := range r.History {
		if e.Kind == kind && e.Pod != "" && e.At.Sub(r.At) < end {
			byPod[e.Pod] = append(byPod[e.Pod], e)
		}
	}
	var pods []string
	for pod := range byPod {
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b string) int { return byPod[a][0].At.Compare(byPod[b][0].At) })
	var lanes []lane
	for _, pod := range pods {
		l := lane{title: title + ", " + shortName(pod)}
		value, from := before0(kind, byPod[pod][0].Value), time.Duration(0)
		for _, e := range byPod[pod] {
			at := e.At.Sub(r.At)
			if show(value) {
				l.bars = append(l.bars, bar{from, at, value})
			}
			value, from = e.Value, at
		}
		if show(value) {
			l.bars = append(l.bars, bar{from, end, value})
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// before0 is what must have been the case before the first change.
func before0(kind probe.Kind, first string) string {
	switch {
	case kind == probe.EndpointKind && first == "out":
		return "in"
	case kind == probe.LabelKind && first == "":
		return "master"
	default:
		return ""
	}
}

// shortName is the end of a pod's name, which differs from pod to pod.
func shortName(pod string) string { return pod[strings.LastIndex(pod, "-")+1:] }

func draw(title string, lanes []lane, end time.Duration) string {
	height := headHeight + len(lanes)*laneHeight + 60
	x := func(t time.Duration) float64 {
		return marginLeft + float64(timelineWidth-marginLeft-marginRight)*t.Seconds()/end.Seconds()
	}
	var s strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	say(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#1f2733">`, timelineWidth, height, timelineWidth, height)
	plain := strings.ReplaceAll(title, "`", "")
	say(`<title>%s</title><rect width="100%%" height="100%%" fill="#ffffff"/>`, html.EscapeString(plain))
	say(`<text x="14" y="26" font-size="16" font-weight="bold">%s</text><text x="14" y="44" fill="#3f4a5a">the run with the median gap; 0 s is the fault</text>`, html.EscapeString(plain))
	bottom := headHeight + len(lanes)*laneHeight
	for t := time.Duration(0); t <= end; t += tick(end) {
		say(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#e3e8ee"/><text x="%.1f" y="%d" text-anchor="middle">%.1f s</text>`, x(t), headHeight, x(t), bottom, x(t), bottom+16, t.Seconds())
	}
	for i, l := range lanes {
		y := headHeight + i*laneHeight
		say(`<text x="14" y="%d">%s</text>`, y+17, html.EscapeString(l.title))
		for _, b := range l.bars {
			say(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, x(b.from), y+5, max(1.5, x(b.to)-x(b.from)), laneHeight-10, colours[b.value])
		}
	}
	legend := []struct{ value, text string }{{"gap", "no acknowledged write"}, {"master", "master"}, {"held", "master without writes"}, {"slave", "slave, not connected"}, {"linked", "connected slave"}, {"none", "no answer"}, {"in", "endpoint"}}
	left := 14
	for _, l := range legend {
		say(`<rect x="%d" y="%d" width="14" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`, left, bottom+32, colours[l.value], left+20, bottom+42, l.text)
		left += 30 + 7*len(l.text)
	}
	say("</svg>")
	return s.String()
}

// tick is the distance of the lines of the axis: at most a dozen.
func tick(end time.Duration) time.Duration {
	for _, step := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second} {
		if end/step <= 12 {
			return step
		}
	}
	return 30 * time.Second
}
