package agent

import (
	"context"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// tune sets what follows the role: how many replicas a master needs to accept
// writes, and whether Sentinel may promote a replica.
func (s *Server) tune(ctx context.Context, p role.Plan) {
	s.prioritise(ctx, p)
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

// publish tells the probes and the peers how this pod is.
func (s *Server) publish(o role.Observation) {
	held := s.memory.Held // a look that Redis did not answer in time changes nothing of what it holds
	s.web.SetStatus(role.Status{
		UID: s.self.UID, State: s.memory.Decided.State.String(), Claimed: s.memory.Claimed, Synced: held.InSync, Copied: held.Copied, Passing: s.passing != nil && s.passing.taking(),
		Standing: s.memory.Worth.Standing, Reason: s.memory.Decided.Reason, Rule: s.memory.Decided.Rule, Lacks: s.lacks,
	})
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
