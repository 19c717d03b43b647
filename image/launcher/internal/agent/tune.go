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
func (s *Server) tune(ctx context.Context, o role.Observation) {
	node := s.local()
	s.prioritise(ctx, o.Local)
	if !o.Local.Master {
		if s.applied != 0 {
			if err := node.Set(ctx, "min-replicas-to-write", 0); err == nil {
				s.applied = 0
			}
		}
		return
	}
	if s.stopping {
		return
	}
	agreed, ok := o.Agreed()
	majority := ok && agreed == s.config.PodIP && time.Since(s.observed.viewsAt) < 2*calmTick
	if majority && s.applied >= 0 && s.applied <= o.Local.Online && o.Local.Online < s.config.MinReplicas {
		return // alone, allowed to be, and still the master
	}
	fresh := o.Local.Online < s.config.MinReplicas && s.fresh(ctx)
	n, known := role.MinReplicas(s.config.MinReplicas, o.Local.Online, majority, fresh, o.Local.MasterFor)
	if !known || n == s.applied {
		return
	}
	if err := node.Set(ctx, "min-replicas-to-write", n); err != nil {
		s.log.Debug("min-replicas-to-write could not be set", "error", err)
		return
	}
	s.log.Info("min-replicas-to-write set", "to", n, "replicas online", o.Local.Online)
	s.applied = n
}

// prioritise lets Sentinel promote a replica in sync, and nobody else. A master gets
// priority 0 as well: when it is replaced it becomes a replica that keeps its own offset
// until it has a copy of the new master's data, and Sentinel goes by the offset.
func (s *Server) prioritise(ctx context.Context, local role.Local) {
	if !local.Master {
		s.priority = s.observed.info.Priority // Redis tells it of a replica only
	}
	priority := redisconf.BootPriority
	if local.Synced && !s.stopping {
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

// fresh says whether the API answered within the last second and has this pod
// as the master. It is asked only of a master that lacks replicas.
func (s *Server) fresh(ctx context.Context) bool {
	if time.Since(s.freshAt) < calmTick {
		return s.freshOK
	}
	record, err := s.api.Record(ctx)
	s.freshAt, s.freshOK = time.Now(), err == nil && record.Master.UID == s.self.UID
	if err == nil {
		s.observed.setRecord(record)
	}
	return s.freshOK
}

// publish tells the probes and the peers how this pod is.
func (s *Server) publish(o role.Observation) {
	held := s.observed.held // a look that Redis did not answer in time changes nothing of what it holds
	s.web.SetStatus(role.Status{
		UID: s.self.UID, State: s.decided.State.String(), Claimed: s.claimed, Synced: held.InSync, Copied: held.Copied, Passing: s.passing != nil && s.passing.taking(),
		Standing: s.observed.worth.Standing, Reason: s.decided.Reason, Rule: s.decided.Rule, Lacks: s.lacks,
	})
	health := web.Health{Ready: s.notReady(o)}
	if s.child != nil && since(s.observed.answeredAt) > hungAfter && !o.Local.Loading {
		health.Live = "redis-server has not answered for " + hungAfter.String()
	}
	s.web.SetHealth(health)
}

// notReady says why the pod should get no traffic; empty when it should.
func (s *Server) notReady(o role.Observation) string {
	switch {
	case !o.Local.Running:
		return s.decided.Reason
	case o.Local.Full && s.observed.served && !s.observed.held.Copied:
		return "" // it serves those clients that it has
	case !o.Local.Answering && o.Self.Label == role.Master && since(s.observed.answeredAt) < masterSilent:
		// Nobody asks whether a master is ready: its Services follow the label.
		// Telling it would spend kube-proxy's sync just when the label moves.
		return ""
	case !o.Local.Answering:
		return "redis-server does not answer"
	case o.Local.Loading:
		return "redis-server is loading its data"
	case o.Local.Master && s.decided.Label != role.MasterLabel && s.decided.Label != role.HoldLabel:
		return s.decided.Reason
	case !o.Local.Master && !o.Local.Synced && !s.observed.served:
		return "the first synchronisation is not finished"
	case o.Local.Copied && s.observed.info.RewriteFailed && !s.observed.info.Rewriting:
		return "the data are not in the append-only file yet: its rewrite failed (see the log of redis-server for memory or disk), and Redis tries again"
	case o.Local.Copied:
		return "the data are not in the append-only file yet: its first rewrite is running"
	case !o.Local.Master && o.Local.LinkDown > replicaGone:
		return "the link to the master has been down for over " + replicaGone.String()
	}
	return ""
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
