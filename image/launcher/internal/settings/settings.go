// Package settings follows the settings of a launcher that change while it runs: the settings file, and the file of further directives. A
// ConfigMap holds both, and the kubelet replaces them about a minute after the ConfigMap has changed.
package settings

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

const (
	// readEvery is how often the files are read. They are small, and in memory.
	readEvery = time.Second
	// SettleTime is by when all launchers of a release have read a change. A kubelet looks at each pod, and at the ConfigMaps that it mounts, every
	// 60 to 90 s (syncFrequency, and half of it as jitter). The rest is for readEvery and for a busy machine.
	SettleTime = 2 * time.Minute
)

// State is what a launcher tells of its settings.
type State struct {
	// Version names the settings file that the launcher follows; see config.Config. Empty: it follows none.
	Version string `json:"version,omitempty"`
	// Pending are the settings that have not been applied yet, or cannot be, each in a sentence. Empty: all have been applied.
	Pending []string `json:"pending,omitempty"`
}

// Follower reads the files again and again. Its methods may be called from several goroutines.
type Follower struct {
	environ []string
	log     *slog.Logger
	level   *slog.LevelVar
	changed chan struct{}
	seen    []byte // the content that was read last
	taken   []byte // the content that was taken or refused last

	mu       sync.Mutex
	current  config.Config
	waits    wait
	problems []string
}

// Follow prepares a Follower. environ is the environment that c was read from. level is the log level, which the Follower sets.
func Follow(environ []string, c config.Config, level *slog.LevelVar, log *slog.Logger) *Follower {
	f := &Follower{environ: environ, log: log, level: level, changed: make(chan struct{}, 1), current: c}
	f.seen, _ = f.read() // it may differ from what c was read from: the first look takes it
	return f
}

// Config gives the present settings.
func (f *Follower) Config() config.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

// Changed tells that Config may have changed.
func (f *Follower) Changed() <-chan struct{} { return f.changed }

// Pending says what of the files does not count yet, or is refused.
func (f *Follower) Pending() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	pending := append([]string(nil), f.problems...)
	if !f.waits.until.IsZero() {
		pending = append(pending, fmt.Sprintf("a down-after of %v counts from %s on, when all launchers know it", f.waits.downAfter, f.waits.until.UTC().Format(time.TimeOnly+" MST")))
	}
	return pending
}

// Run follows the files until ctx ends. It returns at once if the launcher has none.
func (f *Follower) Run(ctx context.Context) {
	if f.Config().SettingsFile == "" {
		return
	}
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.look(time.Now())
		}
	}
}

// look reads the files. What they hold counts when two looks in a row have found the same: the kubelet may replace them between two reads, and
// another program may be writing.
func (f *Follower) look(now time.Time) {
	f.settle(now)
	content, err := f.read()
	stable := err == nil && bytes.Equal(content, f.seen)
	f.seen = content
	if err != nil {
		f.refuse([]string{err.Error()})
		f.taken = nil
		return
	}
	if stable && !bytes.Equal(content, f.taken) {
		f.taken = content
		f.take(now)
	}
}

// read gives the content of both files.
func (f *Follower) read() ([]byte, error) {
	c := f.Config()
	var all []byte
	for _, file := range []string{c.SettingsFile, c.ExtraConfigFile} {
		if file == "" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the settings: %w", err)
		}
		all = append(append(all, content...), 0)
	}
	return all, nil
}

// take has the content of the files count, or tells all that is wrong with it.
func (f *Follower) take(now time.Time) {
	c, err := config.FromEnviron(f.environ)
	if err != nil {
		var problems *config.ProblemsError
		if !errors.As(err, &problems) {
			problems = &config.ProblemsError{Problems: []string{err.Error()}}
		}
		f.refuse(problems.Problems)
		return
	}
	f.mu.Lock()
	same := c.SettingsVersion == f.current.SettingsVersion && slices.Equal(c.ExtraConfig, f.current.ExtraConfig)
	f.problems = nil
	c.DownAfter, f.waits = f.waits.staged(f.current.DownAfter, c.DownAfter, c.Sentinel, now)
	f.current = c
	f.mu.Unlock()
	if same {
		return
	}
	f.level.Set(c.LogLevel)
	f.log.Info("the settings have changed", "version", c.SettingsVersion, "servers", c.Servers, "sentinels", c.Sentinels, "quorum", c.Quorum,
		"down-after", c.DownAfter.String(), "failover-timeout", c.FailoverTimeout.String(), "min-replicas-to-write", c.MinReplicas,
		"min-replicas-max-lag", c.MinReplicasMaxLag.String(), "log level", c.LogLevel.String(), "directives", len(c.ExtraConfig))
	f.tell()
}

// refuse notes what is wrong with the files. The settings stay as they are.
func (f *Follower) refuse(problems []string) {
	f.mu.Lock()
	same := fmt.Sprint(f.problems) == fmt.Sprint(problems)
	f.problems = problems
	f.mu.Unlock()
	if !same {
		f.log.Error("the settings are refused; those before stay in force", "problems", problems)
		f.tell()
	}
}

// settle has a down-after count that has waited for its time.
func (f *Follower) settle(now time.Time) {
	f.mu.Lock()
	due := !f.waits.until.IsZero() && !now.Before(f.waits.until)
	if due {
		f.current.DownAfter, f.waits = f.waits.downAfter, wait{}
	}
	f.mu.Unlock()
	if due {
		f.log.Info("another down-after counts", "down-after", f.Config().DownAfter.String())
		f.tell()
	}
}

func (f *Follower) tell() {
	select {
	case f.changed <- struct{}{}:
	default: // it has been told
	}
}

// wait is a down-after that does not count yet. The zero value means that nothing waits.
type wait struct {
	downAfter time.Duration
	until     time.Time
}

// staged gives the down-after that counts now, after the files have changed, and the one that waits. A master that is cut off holds writes back
// before the sentinels find it down. So the launchers of servers must never go by a longer time than the sentinels: a longer time counts at
// once for sentinels, and a shorter one at once for servers. The other way round it waits until all launchers have read it.
func (w wait) staged(before, next time.Duration, sentinel bool, now time.Time) (time.Duration, wait) {
	switch {
	case next == before || sentinel == (next > before):
		return next, wait{}
	case next == w.downAfter:
		return before, w
	}
	return before, wait{downAfter: next, until: now.Add(SettleTime)}
}
