package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/defaults"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// liveDirectives are what the running Redis has of the directives that follow from the settings.
type liveDirectives struct {
	applied map[string]string           // what Redis was started with, or has taken; see redisconf.Live
	open    []redisconf.Change          // what it has not taken yet
	refused map[redisconf.Change]string // what it said to those that it refused

	mu       sync.Mutex
	defaults map[string]string // of Redis itself, as far as they are known
	asking   bool              // it is being asked
}

// started notes what Redis was started with.
func (d *liveDirectives) started(c config.Config) {
	d.applied, d.open, d.refused = redisconf.Live(c), nil, map[redisconf.Change]string{}
}

// startable is a configuration without the directives that Redis has just refused: it would not start with them. What it takes only at a
// start stays.
func (d *liveDirectives) startable(c config.Config) config.Config {
	c.ExtraConfig = slices.DeleteFunc(slices.Clone(c.ExtraConfig), func(line string) bool {
		name := strings.ToLower(strings.Fields(line)[0])
		for change, said := range d.refused {
			if change.Name == name && !onlyAtStart(said) {
				return true
			}
		}
		return false
	})
	return c
}

// onlyAtStart says whether Redis refuses a directive because it takes the directive only when it starts.
func onlyAtStart(said string) bool { return strings.Contains(said, "immutable") }

// pending says what Redis has not taken yet, each in a sentence. running: there is a Redis.
func (d *liveDirectives) pending(running bool) (out []string) {
	for _, change := range d.open {
		switch said, refused := d.refused[change]; {
		case refused && onlyAtStart(said):
			out = append(out, fmt.Sprintf("%s: Redis takes it only when it starts", change.Name))
		case refused:
			out = append(out, fmt.Sprintf("%s: Redis refuses %q: %s", change.Name, change.Value, said))
		case running:
			out = append(out, change.Name+": Redis has not taken it yet")
		}
	}
	return out
}

// applySettings has the running Redis follow the settings. Where Redis does not answer, the next turn tries again, and the loop waits for one
// answer only. What Redis has refused waits
// for another value, or for the next start.
func (s *Server) applySettings(ctx context.Context) {
	c, d := s.sized(), &s.directives
	if d.applied == nil {
		return // no Redis has been started
	}
	s.pacer.SetLimits(s.limits())
	d.open = redisconf.Changes(d.applied, redisconf.Live(c))
	maps.DeleteFunc(d.refused, func(change redisconf.Change, _ string) bool { return !slices.Contains(d.open, change) })
	silent := false
	d.open = slices.DeleteFunc(d.open, func(change redisconf.Change) bool {
		if _, refused := d.refused[change]; refused || silent {
			return false
		}
		taken, err := s.applyChange(ctx, c, change)
		silent = err != nil
		return taken
	})
}

// applyChange has the running Redis take one directive. It says whether Redis has. The error says that Redis does not answer.
func (s *Server) applyChange(ctx context.Context, c config.Config, change redisconf.Change) (taken bool, err error) {
	d := &s.directives
	told, known := d.defaultOf(change.Name)
	if change.NeedsDefaults(c) && !known {
		s.askDefaults(ctx, change.Name)
		return false, nil
	}
	value := change.Argument(c, told)
	switch err := s.local().Set(ctx, change.Name, value); {
	case err == nil:
	case redisnode.ReachOf(err) == redisnode.Answered:
		d.refused[change] = redisnode.Said(err)
		s.log.Error("Redis refuses a directive", "directive", change.Name, "value", value, "error", err)
		return false, nil
	default:
		s.log.Debug("Redis has not taken a directive yet", "directive", change.Name, "error", err)
		return false, err
	}
	if change.Reset {
		delete(d.applied, change.Name)
	} else {
		d.applied[change.Name] = change.Value
	}
	s.log.Info("Redis has taken a directive", "directive", change.Name, "value", value, "default", change.Reset)
	return true, nil
}

// defaultOf gives the default of a directive, if it is known.
func (d *liveDirectives) defaultOf(name string) (map[string]string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.defaults[name]
	return maps.Clone(d.defaults), known
}

// askDefaults asks Redis for the default of a directive, beside the loop. The loop looks again when it has answered.
func (s *Server) askDefaults(ctx context.Context, name string) {
	d := &s.directives
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asking {
		return
	}
	d.asking = true
	go func() {
		told, err := defaults.Ask(ctx, s.config.RedisServer, s.config.RunDir, []string{name})
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asking = false
		if err != nil {
			s.log.Warn("the default of a directive is not known; asking again", "directive", name, "error", err)
			return
		}
		if d.defaults == nil {
			d.defaults = map[string]string{}
		}
		d.defaults[name] = told[name]
	}()
}
