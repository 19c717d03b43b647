package writepause

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

const (
	// bound is how long a test waits for an event.
	bound     = 10 * time.Second
	downAfter = 3 * time.Second
)

// These are the commands that Redis hears.
var (
	connect = "hello 2" // the first command of each connection
	info    = "INFO server replication persistence"
	pause   = fmt.Sprintf("CLIENT PAUSE %d WRITE", role.PauseLimit(downAfter).Milliseconds())
	unpause = "CLIENT UNPAUSE"
)

// These are answers of Redis.
var (
	obeyed    = "+OK\r\n"
	refused   = "-ERR refused\r\n"
	isMaster  = fakeredis.Text("role:master\r\n")
	isReplica = fakeredis.Text("role:slave\r\n")
	silence   = ""
)

// These are plans of the loop.
var (
	serves     = role.Plan{Seen: role.Observation{Local: role.Local{Master: true}}}
	replaced   = role.Plan{Seen: serves.Seen, Pause: true}
	replicates = role.Plan{}
)

// label is the label that a test desires. No label is that of a launcher that is uncertain.
type label struct {
	mu      sync.Mutex
	desired string
	old     bool   // the look that the label follows from is too old
	asked   func() // called when a look of the Guard asks for the label; nil: nothing is called
}

func (l *label) want(desired string, old bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.desired, l.old = desired, old
}

// onQuestion has f called whenever a look of the Guard asks for the label.
func (l *label) onQuestion(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = f
}

func (l *label) Disown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.desired != "" && l.desired != role.Master {
		return false
	}
	l.desired = ""
	return true
}

func (l *label) Owned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired == role.Master
}

func (l *label) WantsMaster() bool {
	l.mu.Lock()
	asked, wants := l.asked, l.desired == role.Master && !l.old
	l.mu.Unlock()
	if asked != nil {
		asked()
	}
	return wants
}

// output is a log that a test reads.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) contains(s string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.text.String(), s)
}

// launcher is the Guard of a pod that is labelled master, with all that the Guard deals with. The API fails until a test says otherwise.
type launcher struct {
	*Guard
	t        *testing.T
	redis    *fakeredis.Server
	child    *process.Child // the process that is guarded at first
	label    *label
	disowned chan struct{}
	gone     atomic.Bool
	alerts   atomic.Int64
	log      *output
	api      atomic.Pointer[func(context.Context) error] // answers the questions to the API
	asked    atomic.Int64                                // how many these were
}

// startRedis starts a Redis that is master and does what it is told.
func startRedis(t *testing.T) *fakeredis.Server {
	t.Helper()
	return fakeredis.Start(t, map[string]string{"INFO": isMaster, "CLIENT": obeyed})
}

// prepare gives a launcher whose Guard does not run yet.
func prepare(t *testing.T, redis *fakeredis.Server, change ...func(*Settings)) *launcher {
	l := &launcher{t: t, redis: redis, child: &process.Child{}, label: &label{desired: role.Master}, disowned: make(chan struct{}), log: &output{}}
	l.answerAPI(func(context.Context) error { return errors.New("the API fails") })
	s := Settings{
		Redis: redis.Addr, DownAfter: func() time.Duration { return downAfter }, Lone: func() bool { return false }, Label: l.label, Disowned: l.disowned, Gone: l.gone.Load,
		AskAPI: func(ctx context.Context) error { l.asked.Add(1); return (*l.api.Load())(ctx) },
		Alert:  func() { l.alerts.Add(1) },
		Log:    slog.New(slog.NewTextHandler(l.log, nil)),
	}
	for _, c := range change {
		c(&s)
	}
	l.Guard = New(s)
	t.Cleanup(l.node.Close)
	l.guard(l.child)
	l.Follow(serves)
	return l
}

// run runs a Guard in a bubble of package synctest. The clock of the bubble goes forward only while every goroutine in the bubble waits. So
// a busy machine changes no time, and a long time is over at once. Redis is outside of the bubble, and a command to Redis takes no time.
func run(t *testing.T, test func(t *testing.T, l *launcher), change ...func(*Settings)) {
	t.Helper()
	redis := startRedis(t)
	synctest.Test(t, func(t *testing.T) {
		l := prepare(t, redis, change...)
		go l.Run(t.Context())
		synctest.Wait()
		test(t, l)
	})
}

// guard names the process whose writes may be paused.
func (l *launcher) guard(child *process.Child) { l.Guard.Guard(child) }

// answerAPI changes how questions to the API are answered.
func (l *launcher) answerAPI(answer func(context.Context) error) { l.api.Store(&answer) }

// disown tells the Guard that another pod has taken the label, and waits until the Guard has done what it does at once.
func (l *launcher) disown() {
	l.t.Helper()
	select {
	case l.disowned <- struct{}{}:
	case <-time.After(bound):
		require.FailNow(l.t, "the Guard did not take the news that the label is lost", "waited %v; Redis heard %q", bound, l.redis.Heard())
	}
	synctest.Wait()
}

// follow gives the Guard a plan, and waits until the Guard has done what it does at once.
func (l *launcher) follow(p role.Plan) {
	l.Follow(p)
	synctest.Wait()
}

// isolate lets the sentinels fall silent an hour ago.
func (l *launcher) isolate() {
	l.HeardSentinels(time.Now().Add(-time.Hour), false)
	l.HeardSentinels(time.Now(), true)
}

// cutOff lets the sentinels fall silent now.
func (l *launcher) cutOff() {
	l.HeardSentinels(time.Now(), false)
	l.HeardSentinels(time.Now(), true)
}

// count says how often Redis has heard a command.
func (l *launcher) count(command string) int {
	return len(slices.DeleteFunc(l.redis.Heard(), func(heard string) bool { return heard != command }))
}

// requireHeard requires that Redis has heard these commands. A command that came several times in a row counts once.
func (l *launcher) requireHeard(want ...string) {
	l.t.Helper()
	require.Equal(l.t, want, slices.Compact(l.redis.Heard()))
}

// await waits until Redis has heard a command so often.
func (l *launcher) await(command string, times int, why string) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return l.count(command) >= times }, bound, lookEvery, "waited for %s, %d times in all: %s", command, times, why)
}

// awaitRenewal waits until the pause is renewed, and requires that writes have not gone on before that.
func (l *launcher) awaitRenewal(why string) {
	l.t.Helper()
	before := l.count(unpause)
	l.await(pause, l.count(pause)+1, why)
	require.Equal(l.t, before, l.count(unpause), "writes must not go on: %s", why)
}

// awaitEnd waits until the Guard logs that a pause is over.
func (l *launcher) awaitEnd(until string) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return l.log.contains(fmt.Sprintf("until=%q", until)) }, bound, lookEvery, "waited for the log to say that a pause lasted until %s", until)
	synctest.Wait()
}
