package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logTail is how many lines of each launcher's log a failure shows; the files
// have all of them.
const logTail = 25

// dumpIfFailed tells all about the release if the test fails.
func (r *release) dumpIfFailed(t *testing.T) {
	start := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.dump(start))
		}
	})
}

// dump is the state of a release, for people: pods, labels, endpoints, events,
// what Redis and the sentinels say, and the ends of the logs.
func (r *release) dump(start time.Time) string {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	var text strings.Builder
	for _, args := range []string{
		"get pods -o wide -L redis-role,podIP,runID -l " + r.selector(),
		"get endpointslices -l release=" + r.name,
		"get leases -l release=" + r.name + " -o custom-columns=NAME:.metadata.name,SPEC:.spec,RECORD:.metadata.annotations",
		"get persistentvolumeclaims",
		"get events --sort-by=.lastTimestamp",
	} {
		out, err := output(ctx, "kubectl", append(strings.Fields(args), "--namespace", r.namespace)...)
		fmt.Fprintf(&text, "\n$ kubectl %s\n%s", args, lastLines(out, 60))
		if err != nil {
			fmt.Fprintf(&text, "%v\n", err)
		}
	}
	if v, err := r.look(ctx); err != nil {
		fmt.Fprintf(&text, "\nRedis and Sentinel: %v\n", err)
	} else {
		text.WriteString(v.redisText())
	}
	if r.watcher == nil {
		return text.String()
	}
	fmt.Fprintf(&text, "\nwhat happened since %s:\n%s", start.Format("15:04:05.000"), r.watcher.history(start))
	text.WriteString(r.watcher.logs(start))
	return text.String()
}

// redisText tells what each process says of itself.
func (v *view) redisText() string {
	var text strings.Builder
	text.WriteString("\nRedis and Sentinel say:\n")
	for _, pod := range v.pods {
		a := v.answers[pod.Status.PodIP]
		fmt.Fprintf(&text, "  %s %s:", pod.Name, pod.Status.PodIP)
		for _, field := range []string{
			"role", "connected_slaves", "slave0", "slave1", "slave2", "master_host", "master_link_status", "master_replid", "master_repl_offset",
			"slave_repl_offset", "run_id", "ip", "flags", "num-slaves", "num-other-sentinels", "config-epoch", "failover-state",
		} {
			if a[field] != "" {
				fmt.Fprintf(&text, " %s=%s", field, a[field])
			}
		}
		text.WriteString("\n")
	}
	return text.String()
}

// logs shows the end of each log that grew since a moment.
func (w *watcher) logs(since time.Time) string {
	files, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nlogs of all pods, those that are gone included, are in %s; their ends:\n", w.dir)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Before(since) {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fmt.Fprintf(&text, "\n== %s\n%s", filepath.Base(file), lastLines(string(content), logTail))
	}
	return text.String()
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}
