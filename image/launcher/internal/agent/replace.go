package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// beside runs a task beside the loop, and has the loop call what the task returns. A task does not use what belongs to the loop.
func (s *Server) beside(task func() (then func())) {
	go func() { s.finished <- task() }()
}

// replace begins an attempt to replace a master, beside the loop. The plan has allowed the attempt; see role.Attempts.
func (s *Server) replace(ctx context.Context, p role.Plan) {
	lost, replaces := s.memory.LostMaster(p.Seen, p.Decision)
	if !replaces {
		s.orderFailover(ctx, p)
		return
	}
	carrier := s.carrier()
	attempt := succession.Lost{Lost: lost, Remembered: s.lastRecord(), Unvoted: s.memory.Attempts.Unvoted()}
	attempt.Recorded, attempt.PromotedSelf = s.attend(s.memory, p.Seen)
	s.beside(func() func() {
		err := carrier.ReplaceLost(ctx, attempt)
		return func() { s.replaced(ctx, p, lost, err) }
	})
}

// replaced takes the end of an attempt to replace a lost master. err is the error of the attempt.
func (s *Server) replaced(ctx context.Context, p role.Plan, lost role.Lost, err error) {
	end := succession.Ending(err)
	s.memory.EndAttempt(end, time.Now())
	level := slog.LevelDebug
	switch {
	case end == role.Replaced:
		s.metrics.failovers.WithLabelValues(p.Action.String()).Inc()
		return
	case end == role.Unanswered || (end == role.Failed || end == role.NotElected) && !lost.Silent:
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "this launcher has not replaced the master", "master", lost.Name, "reason", err)
}

// attend gives what an attempt calls when it has written the record, and when it has promoted this pod. They work with a copy of the
// memory, and tell the loop. The pod is labelled at once, if the decision is to label it. The loop would do the same, after it has waited
// for the answers of the lost master.
func (s *Server) attend(memory role.Memory, seen role.Observation) (recorded func(record.Record), promoted func(context.Context)) {
	settings := s.settings()
	recorded = func(r record.Record) {
		memory.SetRecord(r, time.Now())
		s.wrote(r)
	}
	promoted = func(ctx context.Context) {
		defer alert(s.alerts)
		ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
		defer cancel()
		began := time.Now()
		info, err := s.local().Info(ctx)
		if err != nil {
			return
		}
		facts := role.Facts{Began: began, Self: seen.Self, PodsKnown: seen.PodsKnown, Settings: settings, Own: s.own(info), Answers: role.Answers{Peers: seen.Peers}}
		if d := role.Decide(memory.Observe(facts, time.Now())); d.Label == role.MasterLabel {
			s.labels.Want(role.Master, info.RunID, began)
		}
	}
	return recorded, promoted
}

// orderFailover records that this replica tells a sentinel to replace a master that is down, and tells the sentinel, beside the loop. The sentinels
// have heard the last of the offsets of the replicas.
func (s *Server) orderFailover(ctx context.Context, p role.Plan) {
	carrier, known, ask := s.carrier(), s.lastRecord(), s.asker()
	s.beside(func() func() {
		written, err := carrier.OrderFailover(ctx, known)
		if err != nil {
			return func() {
				s.memory.EndAttempt(role.TooSoon, time.Now())
				s.told(p, "", err)
			}
		}
		s.wrote(written)
		name, err := commandFailover(ctx, s.live(), ask.QuickSentinels(ctx, s.api.Pods()), p.Target)
		return func() {
			s.memory.EndAttempt(role.Ordered, time.Now())
			s.told(p, name, err)
		}
	})
}

// told logs that a sentinel was told to replace a master, or why none was.
func (s *Server) told(p role.Plan, sentinel string, err error) {
	switch {
	case err == nil:
		s.metrics.failovers.WithLabelValues(p.Action.String()).Inc()
		s.log.Info("failover commanded", "sentinel", sentinel, "reason", p.Reason)
	case errors.Is(err, succession.ErrFailoverRunning):
		s.log.Debug("no failover is commanded", "reason", err)
	default:
		s.log.Warn("no sentinel was told to replace the master; looking again", "error", err)
	}
}

// callOff ends the failovers of a master that sentinels lead, and the sentinels
// with them: their launchers start them again, with all they should know.
func (s *Server) callOff(ctx context.Context, master netip.Addr) {
	for _, v := range s.views {
		if v.FailingOver && v.Master == master {
			v.Node.Shutdown(ctx)
			s.memory.Attempts = s.memory.Attempts.AtOnce() // the next one need not wait for it
			s.log.Info("failover called off", "sentinel", v.Pod.Name)
		}
	}
}
