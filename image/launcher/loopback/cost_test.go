package loopback

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

var (
	costServers   = flag.String("cost", "", "measure what launchers ask, for these numbers of servers, as 3,10,50; without it one window shows that the measurement works")
	costRuns      = flag.Int("cost-runs", 3, "how often each")
	costLaunchers = flag.Int("cost-launchers", 10, "how many servers have a launcher; all others have a Redis alone, since all launchers of 50 servers would wait for each other on two cores")
	costOutput    = flag.String("cost-output", "", "file for the results, in JSON")
)

const (
	// costCalm is how long a cluster is left alone before each window: the seconds of frequent looks are over then.
	costCalm = 6 * time.Second
	// costPatience is how long a window lasts at most where no other pod is labelled.
	costPatience = 30 * time.Second
	// costSecond is the time between two readings of all counters.
	costSecond = time.Second
	// costReaders is how many launchers are read at the same time.
	costReaders = 8
)

// costFault is what happens at the begin of a window, and how long launchers are counted from then on at least.
type costFault struct {
	name   string
	window time.Duration
	begin  func(master *pod)
	end    func(master *pod)
	moves  bool // another pod becomes master
	ends   bool // the launcher of the master ends, and is not counted
}

var costFaults = []costFault{
	{name: "quiet", window: 10 * time.Second, begin: func(*pod) {}, end: func(*pod) {}},
	{name: "kill-redis", window: 5 * time.Second, begin: (*pod).killRedis, end: func(*pod) {}, moves: true},
	{name: "kill-container", window: 5 * time.Second, begin: func(p *pod) { p.hold(); p.kill() }, end: (*pod).run, moves: true, ends: true},
	{name: "freeze", window: 8 * time.Second, begin: (*pod).freezeRedis, end: (*pod).thawRedis, moves: true},
}

// asked counts what one launcher asks, by the process that it asks. Rates are per second.
type asked struct {
	Own      float64 `json:"own"`      // its own Redis or sentinel
	Servers  float64 `json:"servers"`  // the Redis of other pods
	Sentinel float64 `json:"sentinel"` // sentinels of other pods
	Statuses float64 `json:"statuses"` // other launchers
}

func (a asked) all() float64 { return a.Own + a.Servers + a.Sentinel + a.Statuses }

// costRun is one window.
type costRun struct {
	Servers   int     `json:"servers"`
	Launchers int     `json:"launchers"` // how many of the servers have one
	Fault     string  `json:"fault"`
	Seconds   float64 `json:"seconds"` // length of the window
	// LabelMS is the time in milliseconds from the fault until another pod is the only one labelled master; -1: none is.
	LabelMS float64 `json:"labelMS"`
	// Median and Most are the questions of the server's launcher with the median and with the most questions, in the window.
	Median asked `json:"median"`
	Most   asked `json:"most"`
	// PeakMedian is the rate of the launcher with the median in its own busiest second.
	PeakMedian asked `json:"peakMedian"`
	// SentinelMedian are the questions of the sentinel's launcher with the median, in the window.
	SentinelMedian asked `json:"sentinelMedian"`
	// API are the requests of all launchers in the window, by verb and resource.
	API map[string]int `json:"api"`
	// LauncherCPU is the CPU time in seconds of all launchers in the window.
	LauncherCPU float64 `json:"launcherCPUSeconds"`
	// Busy is the share of the machine's CPU time that was used in the window, from 0 to 1, by whomever.
	Busy float64 `json:"machineBusy"`
}

// TestCostAsItGrows is a measurement: what launchers ask while nothing happens and in a failover, by the number of servers.
func TestCostAsItGrows(t *testing.T) {
	if *costServers == "" {
		t.Parallel()
		c := startLarge(t, 4, 3)
		run := c.cost(costFaults[1])
		if run.LabelMS < 0 || run.Median.all() == 0 || run.Median.Servers == 0 || run.Median.Statuses == 0 || len(run.API) == 0 {
			t.Errorf("a failover without a new label or without questions: %+v", run)
		}
		return
	}
	var runs []costRun
	for _, text := range strings.Split(*costServers, ",") {
		servers, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("-cost: %v", err)
		}
		t.Run(text, func(t *testing.T) {
			c := startLarge(t, servers, *costLaunchers)
			for range *costRuns {
				for _, fault := range costFaults {
					run := c.cost(fault)
					t.Logf("%+v", run)
					runs = append(runs, run)
					keepCosts(t, runs)
				}
			}
		})
	}
}

// startLarge makes a cluster whose servers beyond the first ones have no launchers.
func startLarge(t *testing.T, servers, launchers int) *cluster {
	t.Helper()
	c := newCluster(t, options{servers: servers, unguarded: true, environment: map[string]string{"LAUNCHER_LOG_LEVEL": "info"}})
	for range min(servers, launchers) {
		c.addServer().run()
	}
	for range c.options.sentinels {
		c.addSentinel().run()
	}
	if bare := servers - launchers; bare > 0 {
		c.addBare(bare, c.converge())
	}
	return c
}

// keepCosts writes the results so far.
func keepCosts(t *testing.T, runs []costRun) {
	t.Helper()
	if *costOutput == "" {
		return
	}
	content, err := json.MarshalIndent(runs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*costOutput, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cost makes one fault happen and counts until its window is over.
func (c *cluster) cost(fault costFault) costRun {
	c.t.Helper()
	master := c.converge()
	time.Sleep(costCalm)
	counted := slices.DeleteFunc(c.all(), func(p *pod) bool { return p.current() == nil || fault.ends && p == master })
	busy, readings := machineTime(c.t), []map[*pod]reading{c.read(counted)}
	began := time.Now()
	fault.begin(master)
	label := -1.0
	for time.Since(began) < fault.window || fault.moves && label < 0 && time.Since(began) < costPatience {
		time.Sleep(costSecond)
		readings = append(readings, c.read(counted))
		label = labelledAfter(c.api.RoleChanges(), began, master.name)
	}
	spent := machineTime(c.t).since(busy)
	run := costRun{Servers: c.options.servers, Launchers: min(c.options.servers, *costLaunchers), Fault: fault.name, Seconds: time.Since(began).Seconds(), Busy: spent, LabelMS: label, API: map[string]int{}}
	for _, request := range c.api.Requests(began) {
		run.API[request.Verb+" "+request.Resource]++
	}
	run.count(readings)
	fault.end(master)
	return run
}

// labelledAfter gives the milliseconds until another pod is the only one labelled master; -1 if none is.
func labelledAfter(changes []fakeapi.RoleChange, began time.Time, old string) float64 {
	labelled := map[string]bool{}
	for _, change := range changes {
		delete(labelled, change.Pod)
		if change.Role == "master" {
			labelled[change.Pod] = true
		}
		if change.At.After(began) && len(labelled) == 1 && !labelled[old] {
			return float64(change.At.Sub(began).Microseconds()) / 1000
		}
	}
	return -1
}

// count fills in what the readings of a window tell.
func (r *costRun) count(readings []map[*pod]reading) {
	var servers, sentinels, peaks []asked
	last := readings[len(readings)-1]
	for p, first := range readings[0] {
		total := last[p].asked.minus(first.asked)
		r.LauncherCPU += last[p].cpu - first.cpu
		if p.sentinel {
			sentinels = append(sentinels, total)
			continue
		}
		servers = append(servers, total)
		var peak asked
		for i := range readings[1:] {
			before, after := readings[i][p], readings[i+1][p]
			rate := after.asked.minus(before.asked).per(after.at.Sub(before.at))
			if rate.all() > peak.all() {
				peak = rate
			}
		}
		peaks = append(peaks, peak)
	}
	for _, list := range [][]asked{servers, sentinels, peaks} {
		slices.SortFunc(list, func(a, b asked) int { return cmp.Compare(a.all(), b.all()) })
	}
	r.Median, r.Most = servers[len(servers)/2], servers[len(servers)-1]
	r.PeakMedian, r.SentinelMedian = peaks[len(peaks)/2], sentinels[len(sentinels)/2]
}

func (a asked) minus(b asked) asked {
	return asked{a.Own - b.Own, a.Servers - b.Servers, a.Sentinel - b.Sentinel, a.Statuses - b.Statuses}
}

func (a asked) per(span time.Duration) asked {
	s := span.Seconds()
	return asked{a.Own / s, a.Servers / s, a.Sentinel / s, a.Statuses / s}
}

// reading is what the metrics of one launcher say at a time.
type reading struct {
	at    time.Time
	asked asked
	cpu   float64 // seconds
}

// read reads the counters of the pods' launchers.
func (c *cluster) read(pods []*pod) map[*pod]reading {
	var mu sync.Mutex
	var group sync.WaitGroup
	found, slots := map[*pod]reading{}, make(chan struct{}, costReaders)
	for _, p := range pods {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r, err := p.read()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.t.Errorf("read the metrics of %s: %v", p.name, err)
			}
			found[p] = r
		})
	}
	group.Wait()
	return found
}

// read reads the counters of the pod's launcher.
func (p *pod) read() (reading, error) {
	response, err := http.Get(p.url("/metrics"))
	if err != nil {
		return reading{}, err
	}
	defer response.Body.Close()
	r := reading{at: time.Now()}
	counters := map[string]*float64{
		`redis_ha_questions_total{to="own"}`: &r.asked.Own, `redis_ha_questions_total{to="server"}`: &r.asked.Servers,
		`redis_ha_questions_total{to="sentinel"}`: &r.asked.Sentinel, `redis_ha_status_questions_total`: &r.asked.Statuses,
		`process_cpu_seconds_total`: &r.cpu,
	}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if counter, ok := counters[name]; ok {
			if *counter, err = strconv.ParseFloat(value, 64); err != nil {
				return reading{}, fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	return r, nil
}

// cpuTime is the CPU time of the machine since it started, in ticks of the kernel.
type cpuTime struct{ all, idle float64 }

// machineTime reads /proc/stat; see proc(5).
func machineTime(t *testing.T) cpuTime {
	t.Helper()
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	var now cpuTime
	for i, text := range strings.Fields(line)[1:9] {
		n, _ := strconv.ParseFloat(text, 64)
		now.all += n
		if i == 3 || i == 4 { // idle and iowait
			now.idle += n
		}
	}
	return now
}

// since gives the share of the time since before that was used.
func (c cpuTime) since(before cpuTime) float64 {
	return 1 - (c.idle-before.idle)/(c.all-before.all)
}
