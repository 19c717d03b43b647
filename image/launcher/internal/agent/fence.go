package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// silentPause is the time between two attempts to replace a silent master.
const silentPause = 250 * time.Millisecond

// failOver replaces a dead or silent master. Between two attempts it waits 2 s, silentPause for a silent master, and record.OrderAge for an
// order to a sentinel. If this launcher cannot replace a dead master, it records the death, so that the successor may be labelled early, and tells
// a sentinel to fail over.
func (s *Server) failOver(ctx context.Context, o role.Observation, d role.Decision) error {
	pause := 2 * time.Second
	switch d.Action {
	case role.Nudge:
		pause = record.OrderAge
	case role.ReplaceSilent:
		pause = silentPause // sentinels that have voted for this launcher begin nothing by themselves
	}
	if time.Since(s.failedAt) < pause {
		return nil
	}
	s.failedAt = time.Now()
	done, reason := s.replaceAsLeader(ctx, o, d)
	if done {
		return reason
	}
	views := s.asker().QuickSentinels(ctx, s.api.Pods())
	var master netip.Addr
	foremost := o.Foremost()
	switch d.Action {
	case role.FailOver:
		master = s.config.PodIP
		if f := s.memory.Record.Fence; f != nil && f.UID == s.self.UID && f.By != "" && time.Since(f.At) < pause {
			return nil // a replica has just commanded it; two failovers would take the same epoch
		}
		limited, cancel := context.WithTimeout(ctx, succession.FenceTime)
		defer cancel()
		err := s.fenceForSentinel(limited, reason, record.Lost{Member: s.self, Reason: "redis-server has ended"})
		if errors.Is(err, errReplaced) {
			return err
		}
		if err != nil {
			s.log.Warn("the fence could not be recorded; the sentinels decide alone when the label moves", "error", err)
		}
	case role.ReplaceDead:
		// The record is the lock: who writes the fence commands the failover.
		master = d.Target
		if err := s.fenceForSentinel(ctx, reason, record.Lost{Member: s.memory.Record.Master, Reason: "its container has ended"}); err != nil {
			return err
		}
	default:
		// The sentinels find the master down, and have heard the last of its replicas' offsets.
		master, foremost = d.Target, nil
		if err := s.takeOrder(ctx); err != nil {
			s.failedAt = time.Now().Add(role.CalmTick - pause) // it is refused for a moment only
			return err
		}
	}
	sentinel, err := commandFailover(ctx, s.config, views, master, foremost)
	if errors.Is(err, succession.ErrFailoverRunning) {
		return nil
	}
	if err == nil {
		s.metrics.failovers.WithLabelValues(d.Action.String()).Inc()
		s.log.Info("failover commanded", "sentinel", sentinel, "reason", d.Reason)
	}
	return err
}

// fenceForSentinel writes a fence without a successor before a sentinel is told to fail over. reason is why this
// launcher cannot replace the master. If the API has just failed to record that, fenceForSentinel returns reason and does
// not ask the API again. If a replica may still obey an order of this launcher, it returns succession.ErrUnanswered: such a
// fence would give that replica the label.
func (s *Server) fenceForSentinel(ctx context.Context, reason error, lost record.Lost) error {
	switch {
	case errors.Is(reason, succession.ErrUnrecorded):
		return reason
	case !s.unansweredAt.IsZero() && time.Since(s.unansweredAt) < 30*time.Second:
		return succession.ErrUnanswered
	}
	return s.fence(ctx, lost)
}

// replaceAsLeader replaces a dead master by the sentinels' votes. If done is false, a sentinel can do it, and err says why.
func (s *Server) replaceAsLeader(ctx context.Context, o role.Observation, d role.Decision) (done bool, err error) {
	master := succession.Lost{Recorded: s.setRecord, PromotedSelf: s.labelPromoted}
	if s.memory.RecordKnown {
		master.Remembered = s.memory.Record
	}
	switch d.Action {
	case role.FailOver:
		master.Lost = record.Lost{Member: s.self, Reason: "redis-server has ended"}
		master.Replicas = o.Replicas(s.memory.ServedHistory)
	case role.ReplaceDead:
		master.Replicas = o.Replicas(o.Local.History.ID)
		master.Lost = record.Lost{Member: s.memory.Record.Master, Generation: s.memory.Record.Generation, Reason: "its container has ended"}
	case role.ReplaceSilent:
		master.Replicas = o.Replicas(o.Local.History.ID)
		master.Lost = record.Lost{Member: s.memory.Record.Master, Generation: s.memory.Record.Generation, Reason: "most sentinels find it down", Silent: true}
		master.Frozen = slices.ContainsFunc(o.Peers, func(p role.Peer) bool { return p.IP == d.Target && p.Launcher == role.Unknown })
	default:
		return false, nil
	}
	err = s.carrier().ReplaceLost(ctx, master)
	switch {
	case err != nil && master.Silent && !errors.Is(err, succession.ErrUnanswered):
		return true, s.leaveToSentinels(ctx, master.Lost, err)
	case err == nil:
		s.failedOnce, s.unansweredAt = false, time.Time{}
		s.metrics.failovers.WithLabelValues(d.Action.String()).Inc()
		return true, nil
	case errors.Is(err, succession.ErrFailoverRunning) || errors.Is(err, errReplaced):
		s.failedOnce = false
		s.log.Debug("another launcher or a sentinel replaces the dead master", "reason", err)
		s.memory.ReadAgain()
		return true, nil
	case errors.Is(err, succession.ErrUnanswered):
		s.failedOnce, s.unansweredAt = false, time.Now()
		return true, err
	case !errors.Is(err, succession.ErrNotElected) && !s.failedOnce:
		// The replica may have ended in this moment, or somebody has written the record.
		s.failedOnce, s.failedAt = true, time.Time{}
		return true, err
	}
	s.failedOnce = false
	s.log.Warn("a sentinel is told to replace the dead master", "reason", err)
	return false, err
}

// labelPromoted labels this pod, which its launcher has just made master, if the decision is to label it. The next look would do the
// same, after it has waited for the answers of the lost master.
func (s *Server) labelPromoted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	s.turnAt = time.Now()
	if d := role.Decide(s.lookAgain(ctx)); d.Label == role.MasterLabel {
		s.label(d)
	}
}

// leaveToSentinels takes back the fence of a silent master that this launcher does not replace. The sentinels replace it, unless it
// answers again.
func (s *Server) leaveToSentinels(ctx context.Context, silent record.Lost, reason error) error {
	s.memory.ReadAgain()
	if _, fenced := s.memory.Record.Withdraw(silent, s.self); !fenced {
		s.log.Debug("the silent master is not replaced by this launcher", "reason", reason)
		return nil
	}
	s.log.Info("the sentinels are left to replace the silent master", "reason", reason)
	for {
		err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) {
			next, changed := r.Withdraw(silent, s.self)
			return next, changed, nil
		})
		if !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}

// callOff ends the failovers of a master that sentinels lead, and the sentinels
// with them: their launchers start them again, with all they should know.
func (s *Server) callOff(ctx context.Context, master netip.Addr) {
	for _, v := range s.views {
		if v.FailingOver && v.Master == master {
			v.Node.Shutdown(ctx)
			s.failedAt = time.Time{} // the next one need not wait for it
			s.log.Info("failover called off", "sentinel", v.Pod.Name)
		}
	}
}

// fence records that a master accepts no writes any more, if it is the recorded master. Only one launcher can fence the master of
// another pod.
func (s *Server) fence(ctx context.Context, lost record.Lost) error {
	return s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) {
		return r.FenceForSentinel(lost, s.self, time.Now())
	})
}

// rewrite changes the record once. It returns kube.ErrChanged if somebody has written the record since it was read. The record is
// read only where the remembered record is old, or does not allow the change: each request to the API lengthens a failover.
func (s *Server) rewrite(ctx context.Context, change func(record.Record) (next record.Record, changed bool, err error)) error {
	if s.memory.RecordKnown {
		next, changed, err := change(s.memory.Record)
		if err == nil && changed {
			if err = s.writeRecord(ctx, next); !errors.Is(err, kube.ErrChanged) {
				return err
			}
		}
	}
	read, err := s.api.Record(ctx)
	if err != nil {
		return err
	}
	next, changed, err := change(read)
	if err != nil || !changed {
		return err
	}
	return s.writeRecord(ctx, next)
}

// writeRecord writes the record, and remembers it.
func (s *Server) writeRecord(ctx context.Context, next record.Record) error {
	written, err := s.api.WriteRecord(ctx, next)
	if err == nil {
		s.setRecord(written)
	}
	return err
}

// setRecord takes a record that this launcher has written.
func (s *Server) setRecord(r record.Record) { s.memory.SetRecord(r, time.Now()) }

// takeOrder records that this replica tells a sentinel to replace a master that is down.
func (s *Server) takeOrder(ctx context.Context) error {
	err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) {
		next, err := r.OrderFailover(s.self, time.Now())
		return next, true, err
	})
	if err != nil {
		return fmt.Errorf("record the order to replace the master: %w", err)
	}
	return nil
}

// errReplaced: another pod has become master, or somebody is replacing this one.
var errReplaced = record.ErrReplaced

// fenceFor records that this master promotes a successor in its place. named says that a majority of the
// sentinels names this pod. With errReplaced somebody else replaces this master, or has replaced it.
// With succession.ErrNotElected the record cannot tell, and a sentinel can promote.
func (s *Server) fenceFor(ctx context.Context, successor string, named bool) error {
	err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) {
		next, err := r.HandOver(s.self, successor, named, time.Now())
		return next, true, err
	})
	switch {
	case err == nil || errors.Is(err, errReplaced):
		return err
	case errors.Is(err, kube.ErrChanged):
		return fmt.Errorf("record the hand-over: %w", err)
	default:
		return fmt.Errorf("%w: record the hand-over: %w", succession.ErrNotElected, err)
	}
}

// unfence takes the fence back when the hand-over did not happen. With errReplaced the record names another
// master.
func (s *Server) unfence(ctx context.Context) error {
	for {
		err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) { return r.Unfence(s.self, time.Now()) })
		if !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}
