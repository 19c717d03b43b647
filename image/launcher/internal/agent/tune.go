package agent

import (
	"cmp"
	"context"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// tune sets what follows the role and the memory limit: how many replicas a master needs to accept
// writes, whether Sentinel may promote a replica, the sizes of memory and buffers, and the append-only file.
func (s *Server) tune(ctx context.Context, p role.Plan) {
	s.prioritise(ctx, p)
	s.resize(ctx)
	s.appendAgain(ctx, p.Seen)
	s.applySettings(ctx)
	s.tuneReads(ctx, p.Seen)
	if !p.SetMinReplicas {
		return
	}
	if err := s.local().Set(ctx, "min-replicas-to-write", p.MinReplicas); err != nil {
		s.log.Debug("min-replicas-to-write could not be set", "error", err)
		return
	}
	if p.Seen.Local.Master {
		s.log.Info("min-replicas-to-write set", "to", p.MinReplicas, "replicas online", p.Seen.Local.Online)
	}
	s.memory.MinReplicas = p.MinReplicas
}

// prioritise lets Sentinel promote a replica in sync, and nobody else. A master gets
// priority 0 as well: when it is replaced it becomes a replica that keeps its own offset
// until it has a copy of the new master's data, and Sentinel goes by the offset.
func (s *Server) prioritise(ctx context.Context, p role.Plan) {
	if !p.Seen.Local.Master {
		s.priority = s.info.Priority // Redis tells it of a replica only
	}
	priority := redisconf.BootPriority
	if p.Promotable {
		priority = redisconf.Priority
	}
	if s.priority == priority {
		return
	}
	if err := s.local().Set(ctx, "replica-priority", priority); err != nil {
		s.log.Debug("replica-priority could not be set", "error", err)
		return
	}
	s.priority = priority
}

// sized is the configuration with the memory limit that Redis follows.
func (s *Server) sized() config.Config {
	c := s.live()
	if s.limit > 0 {
		c.MemoryLimit = s.limit
	}
	return c
}

// toldLimit is the memory limit of this container in bytes, as the kubelet has applied it last. 0 means that the API does not tell it, or
// that nothing is sized by it.
func (s *Server) toldLimit() int64 {
	if s.config.MemoryLimit == 0 {
		return 0
	}
	for _, pod := range s.api.Pods() {
		if pod.UID == s.self.UID {
			return pod.MemoryLimit
		}
	}
	return 0
}

// resize has Redis follow the memory limit of a container that was resized in place. After an error the next turn tries again.
func (s *Server) resize(ctx context.Context) {
	before, limit := s.sized(), s.toldLimit()
	if limit == 0 || limit == before.MemoryLimit {
		return
	}
	var pairs []any
	for _, d := range redisconf.Resized(before, limit) {
		pairs = append(pairs, d.Name, d.Value)
	}
	if len(pairs) > 0 {
		if err := s.local().SetAll(ctx, pairs...); err != nil {
			s.log.Debug("Redis does not follow the new memory limit yet", "error", err)
			return
		}
	}
	s.limit = limit
	s.log.Info("the memory limit has changed", append([]any{"from", before.MemoryLimit, "to", limit}, pairs...)...)
}

// publish tells the probes and the peers how this pod is.
func (s *Server) publish(o role.Observation) {
	held := s.memory.Held // a look that Redis did not answer in time changes nothing of what it holds
	s.web.SetStatus(ServerStatus{Settings: s.settingsState(), Certificate: s.certificateState(), Password: toldOf(s.passwords, s.unauthorized), Status: role.Status{
		UID: s.self.UID, State: s.memory.Decided.State.String(), Claimed: s.memory.Claimed, Synced: held.InSync, Copied: held.Copied, Passing: s.passing != nil && s.passing.taking(),
		Standing: s.memory.Worth.Standing, Volume: s.self.Volume, Reason: s.memory.Decided.Reason, Rule: s.memory.Decided.Rule, Lacks: s.lacks, Restore: cmp.Or(s.restoreNote, s.replacing.note()),
	}})
	health := web.Health{Ready: s.memory.NotReady(o, time.Now())}
	if s.child != nil {
		health.Live = s.memory.Hung(o, time.Now())
	}
	s.web.SetHealth(health)
}

// watchdog makes the liveness probe fail when the loop has stopped turning.
type watchdog struct {
	timer *time.Timer
}

func newWatchdog(w *web.Server) *watchdog {
	return &watchdog{timer: time.AfterFunc(stuckAfter, func() {
		w.SetHealth(web.Health{Live: "the launcher's loop is stuck", Ready: "the launcher's loop is stuck"})
	})}
}

func (w *watchdog) turn() { w.timer.Reset(stuckAfter) }
func (w *watchdog) stop() { w.timer.Stop() }
