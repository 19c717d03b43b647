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
	attempt := succession.Lost{Lost: lost, Remembered: s.lastRecord()}
	attempt.Recorded, attempt.PromotedSelf = s.attend(s.memory, p.Seen)
	s.beside(func() func() {
		err := carrier.ReplaceLost(ctx, attempt)
		return func() { s.replaced(ctx, p, lost, err) }
	})
}

// replaced takes the end of an attempt to replace a lost master. err is the error of the attempt.
func (s *Server) replaced(ctx context.Context, p role.Plan, lost role.Lost, err error) {
	end := succession.Ending(err)
	tell := s.memory.EndAttempt(end, time.Now())
	level := slog.LevelDebug
	switch {
	case tell:
		s.log.Warn("a sentinel is told to replace the dead master", "reason", err)
		s.tellSentinel(ctx, p, lost, err)
		return
	case end == role.Replaced:
		s.metrics.failovers.WithLabelValues(p.Action.String()).Inc()
		return
	case end == role.Unanswered || end == role.Failed && !lost.Silent:
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

// tellSentinel has a sentinel replace a dead master that this launcher cannot replace, beside the loop. It records the death, so that the
// successor may be labelled early. It waits until all sentinels know what the replicas hold.
func (s *Server) tellSentinel(ctx context.Context, p role.Plan, lost role.Lost, reason error) {
	carrier, known := s.carrier(), s.lastRecord()
	ask, mayObey := s.asker(), s.memory.Attempts.MayStillObey(time.Now())
	informed := time.After(role.InformedAfter)
	s.beside(func() func() {
		err := s.fenceForSentinel(ctx, carrier, known, lost.Lost, reason, mayObey)
		if err != nil && lost.UID == s.self.UID && !errors.Is(err, errReplaced) {
			s.log.Warn("the fence could not be recorded; the sentinels decide alone when the label moves", "error", err)
			err = nil
		}
		var name string
		if err == nil {
			select {
			case <-informed:
			case <-ctx.Done():
			}
			var ip netip.Addr
			if ip, err = lost.Address(); err == nil {
				name, err = commandFailover(ctx, s.config, ask.QuickSentinels(ctx, s.api.Pods()), ip)
			}
		}
		return func() {
			s.memory.Attempts = s.memory.Attempts.Told()
			s.told(p, name, err)
		}
	})
}

// fenceForSentinel writes a fence without a successor before a sentinel is told to replace a master. reason is why this launcher cannot
// replace the master. If the API has just failed to record that, fenceForSentinel returns reason and does not ask the API again. If a
// replica may still obey an order of this launcher, it returns succession.ErrUnanswered: such a fence would give that replica the label.
func (s *Server) fenceForSentinel(ctx context.Context, c succession.Carrier, known record.Record, lost record.Lost, reason error, mayObey bool) error {
	switch {
	case errors.Is(reason, succession.ErrUnrecorded):
		return reason
	case mayObey:
		return succession.ErrUnanswered
	}
	ctx, cancel := context.WithTimeout(ctx, succession.FenceTime)
	defer cancel()
	written, err := c.Rewrite(ctx, known, func(r record.Record) (record.Record, bool, error) {
		return r.FenceForSentinel(lost, s.self, time.Now())
	})
	if err == nil && written.Version != "" {
		s.wrote(written)
	}
	return err
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
		name, err := commandFailover(ctx, s.config, ask.QuickSentinels(ctx, s.api.Pods()), p.Target)
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
