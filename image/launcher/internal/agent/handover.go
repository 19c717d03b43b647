package agent

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// pollEvery is how often nodes are asked while writes are paused.
const pollEvery = 5 * time.Millisecond

// labelWait is how long a master that has handed over waits for its successor's
// label before it takes its own away.
const labelWait = 2 * time.Second

// leave is one turn of a terminating pod; true: Redis has been stopped, exit.
func (s *Server) leave(ctx context.Context) bool {
	m := &s.observed
	if s.child == nil {
		return s.leaveAfterDeath(ctx)
	}
	o := s.observation(s.observeLocal(ctx), s.api.Pods())
	leaving := role.DecideLeaving(o, time.Since(m.stopAt), s.config.ShutdownBudget)
	if leaving.Step != role.StayOn {
		// Who else is leaving must be known as of now: pods go in groups.
		s.refreshTerminating(ctx, o.Peers)
		leaving = role.DecideLeaving(o, time.Since(m.stopAt), s.config.ShutdownBudget)
	}
	if leaving.Step == role.HandOver && len(s.choosersAmong(ctx, m.views, leaving.Successors)) == 0 {
		leaving.Step, leaving.Reason = role.StayOn, errNoChooser.Error()
	}
	s.noteLeaving(leaving.Reason)
	switch leaving.Step {
	case role.StayOn:
		return false
	case role.HandOver:
		if time.Since(s.handOverAt) < time.Second {
			return false
		}
		s.handOverAt = time.Now()
		if !s.sentinelsKnow(ctx, o.Peers) {
			s.log.Info("leaving", "reason", "waiting for the sentinels to know a replica that stays")
			return false
		}
		if err := s.handOver(ctx, leaving.Successors); err != nil {
			s.metrics.handOvers.WithLabelValues("aborted").Inc()
			s.handOverAt = time.Now() // writes go on for a second, however long they were paused
			s.log.Warn("the hand-over was aborted; this pod serves on", "error", err)
			return false
		}
		s.metrics.handOvers.WithLabelValues("done").Inc()
		return true
	}
	s.log.Info("stopping redis-server", "reason", leaving.Reason)
	s.stopRedis()
	return true
}

// leaveAfterDeath is one turn of a terminating pod whose Redis does not run; true: exit.
// A Redis that died as master is failed over first, as in a pod that stays.
func (s *Server) leaveAfterDeath(ctx context.Context) bool {
	if s.diedAsMaster.IsZero() {
		return true
	}
	o := s.observation(role.Local{}, s.api.Pods())
	leaving := role.DecideLeavingAfterDeath(o, time.Since(s.observed.stopAt), s.config.ShutdownBudget)
	s.noteLeaving(leaving.Reason)
	switch leaving.Step {
	case role.StayOn:
		return false
	case role.PassOn:
		s.moveClients(ctx, netip.AddrPortFrom(leaving.Successors[0], uint16(s.config.RedisPort)))
	}
	return true
}

// noteLeaving logs why a terminating pod stays or leaves, when the reason changes.
func (s *Server) noteLeaving(reason string) {
	if reason != s.leavingReason {
		s.leavingReason = reason
		s.log.Info("leaving", "reason", reason)
	}
}

// sentinelsKnow says whether every sentinel that answers knows a replica that
// stays. A new pod is known to them a second or two after it has synchronised;
// before that they would promote one that is leaving.
func (s *Server) sentinelsKnow(ctx context.Context, peers []role.Peer) bool {
	staying := map[netip.Addr]bool{}
	for _, p := range peers {
		staying[p.IP] = !p.Terminating && p.LinkUp
	}
	for _, v := range s.observed.views {
		if v.Reach != role.Answered || !v.HasMaster {
			continue
		}
		known, err := v.node.KnownReplicas(ctx, s.config.MasterName)
		found := err != nil
		for _, replica := range known {
			found = found || staying[replica.Addr.Addr()] && !replica.Down && replica.Priority > 0
		}
		if !found {
			return false
		}
	}
	return true
}

// refreshTerminating reads from the API which of the peers are leaving.
func (s *Server) refreshTerminating(ctx context.Context, peers []role.Peer) {
	live, err := s.api.LivePods(ctx)
	if err != nil {
		return
	}
	stays := map[string]bool{}
	for _, pod := range live {
		stays[pod.UID] = !pod.Terminating
	}
	for i := range peers {
		peers[i].Terminating = !stays[peers[i].UID]
	}
}

// handOver makes one of the successors master without losing a write: writes
// are paused, the successors catch up, a sentinel promotes one, and Redis is
// stopped here with the writes still paused, so that none of them is carried
// out: their clients see the connection close and send them again. From then
// on connections that arrive here are passed on to the successor.
func (s *Server) handOver(ctx context.Context, successors []netip.Addr) error {
	began := time.Now()
	if err := s.fence(ctx, s.self.UID, "hand-over"); err != nil {
		s.log.Warn("the fence could not be recorded; the label follows the sentinels", "error", err)
	}
	node := s.local()
	s.hold.guard(nil)
	successor, err := s.promoteSuccessor(ctx, node, successors)
	if err != nil {
		s.hold.guard(s.child)
		if s.losesWrites() {
			alert(s.hold.ordered)
		}
		s.unfence(ctx) // before writes go on
		return errors.Join(err, s.resumeWrites(ctx))
	}
	// Demote first: should stopping take longer than the pause, what comes meets a replica.
	target := netip.AddrPortFrom(successor, uint16(s.config.RedisPort))
	if err := node.Follow(ctx, target); err != nil {
		s.log.Warn("the old master could not be demoted; it is stopped at once", "error", err)
	}
	node.Shutdown(ctx)
	s.stopRedis()
	s.log.Info("handed over", "to", successor.String(), "took", time.Since(began).Round(time.Millisecond).String())
	s.decided = role.Decision{State: role.Stopped, Reason: "handed over to " + successor.String()}
	s.moveClients(ctx, target)
	return nil
}

// resumeWrites lets writes go on after a hand-over that was aborted, unless they are held back.
func (s *Server) resumeWrites(ctx context.Context) error {
	return s.hold.tell(s.child, func() error {
		if s.losesWrites() {
			return nil
		}
		return s.local().Unpause(ctx)
	})
}

// losesWrites says whether what this master accepts now may be lost: the pod has lost the
// label master or is gone, or another server is being made master.
func (s *Server) losesWrites() bool {
	return !s.labels.owned() || s.api.Gone() || s.hold.doomed.Load()
}

// moveClients moves the label to the successor and, until the Services have
// followed, passes connections that still arrive here on to it.
func (s *Server) moveClients(ctx context.Context, successor netip.AddrPort) {
	left := s.config.ShutdownBudget - time.Since(s.observed.stopAt)
	ctx, cancel := context.WithTimeout(ctx, max(0, left-time.Second))
	defer cancel()
	s.passing = s.pass(ctx, successor, labelWait+lateEndpoints)
	s.publish(role.Observation{})
	s.moveLabel(ctx, successor.Addr())
	select {
	case <-s.passing.done:
	case <-time.After(lateEndpoints):
		s.passing.end()
	}
}

// moveLabel waits for the successor to be labelled, then clears the own label:
// in this order clients always have an address.
func (s *Server) moveLabel(ctx context.Context, successor netip.Addr) {
	deadline := time.After(labelWait)
	for !s.labelled(successor) {
		select {
		case <-s.api.Changed():
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			s.log.Warn("the successor is not labelled yet; clearing the own label all the same")
			s.clearLabel(ctx)
			return
		}
	}
	s.clearLabel(ctx)
}

// labelled says whether a pod with this address has the label master.
func (s *Server) labelled(ip netip.Addr) bool {
	for _, pod := range s.api.Pods() {
		if pod.IP == ip && pod.Role == role.Master {
			return true
		}
	}
	return false
}

func (s *Server) clearLabel(ctx context.Context) {
	s.labels.want("", "", time.Now())
	deadline := time.Now().Add(labelWait)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if s.labels.done() {
			return
		}
		time.Sleep(pollEvery)
	}
}
