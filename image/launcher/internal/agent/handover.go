package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// pollEvery is how often nodes are asked while writes are paused.
const pollEvery = succession.PollEvery

// labelWait is how long a master that has handed over waits for its successor's
// label before it takes its own away.
const labelWait = 2 * time.Second

// leave is one turn of a terminating pod; true: Redis has been stopped, exit.
func (s *Server) leave(ctx context.Context) bool {
	if s.memory.Attempts.Running() || s.leaveReplacing() {
		return false // the sentinels and the replicas are told at its end
	}
	if s.child == nil {
		return s.leaveAfterDeath(ctx)
	}
	o := s.lookAgain(ctx)
	leaving := role.DecideLeaving(o, time.Since(s.stopAt), s.config.ShutdownBudget)
	var views []observe.SentinelView
	var known [][]netip.Addr
	asked := false
	if leaving.Step == role.HandOver && !s.memory.HandsOver(time.Now()) {
		return false
	}
	if leaving.Step != role.StayOn {
		// Who else is leaving must be known as of now: pods go in groups. The API and the sentinels are asked at the same time.
		var questions sync.WaitGroup
		questions.Go(func() { s.refreshTerminating(ctx, o.Peers) })
		if asked = leaving.Step == role.HandOver; asked {
			questions.Go(func() {
				views = s.asker().Sentinels(ctx, s.api.Pods())
				known = s.askKnown(ctx, views)
			})
		}
		questions.Wait()
		leaving = role.DecideLeaving(o, time.Since(s.stopAt), s.config.ShutdownBudget)
	}
	s.noteLeaving(leaving)
	switch leaving.Step {
	case role.StayOn:
		return false
	case role.HandOver:
		if !asked {
			return false // a moment ago this pod was to leave without a hand-over
		}
		s.memory.HandedOver(time.Now())
		if !role.SentinelsKnow(known, o.Peers) {
			s.log.Info("leaving", "reason", "waiting for the sentinels to know a replica that stays")
			return false
		}
		if err := s.handOver(ctx, leaving, views); err != nil {
			s.metrics.handOvers.WithLabelValues("aborted").Inc()
			s.memory.HandedOver(time.Now()) // writes go on for a second, however long they were paused
			s.log.Warn("the hand-over was aborted; this pod serves on", "error", err)
			return false
		}
		s.metrics.handOvers.WithLabelValues("done").Inc()
		return true
	}
	if !o.Local.Master && s.promotedMeanwhile(ctx) {
		return false
	}
	s.log.Info("stopping redis-server", "reason", leaving.Reason)
	s.saveCopy(ctx, o)
	s.stopRedis()
	if s.passing != nil {
		ctx, cancel := s.untilExit(ctx)
		defer cancel()
		s.passing.finish(ctx)
	}
	return true
}

// promotedMeanwhile pauses the writes of a leaving replica, and says whether the replica has become master since the last look. A master that
// leaves, too, may promote it at any moment. Without the pause it would accept writes until its Redis ends, and no other server would have
// them. The pause ends with Redis. A replica that has become master stays, and its writes go on.
func (s *Server) promotedMeanwhile(ctx context.Context) bool {
	exit, cancel := s.untilExit(ctx)
	defer cancel()
	end, _ := exit.Deadline()
	node := s.local()
	s.guard.Guard(nil)
	if err := node.PauseWrites(exit, time.Until(end)); err != nil {
		s.log.Debug("the writes of the leaving replica cannot be paused", "error", err)
		return false
	}
	info, err := node.Info(exit)
	if err != nil || !info.Master {
		return false
	}
	s.log.Info("this replica has become master as it was leaving: it stays for now")
	s.guard.Guard(s.child)
	s.guard.Pause()
	if err := s.guard.Resume(ctx, s.child); err != nil {
		s.log.Warn("the writes of the new master stay paused until the pod ends", "error", err)
	}
	return true
}

// lookAgain asks the own Redis, and joins the answer with what the last look has found.
func (s *Server) lookAgain(ctx context.Context) role.Observation {
	facts := s.begin(ctx)
	facts.Peers = s.plan.Seen.Peers
	return s.memory.Observe(facts, time.Now())
}

// untilExit gives the time that this pod has before it must exit.
func (s *Server) untilExit(ctx context.Context) (context.Context, context.CancelFunc) {
	left := s.config.ShutdownBudget - time.Since(s.stopAt)
	return context.WithTimeout(ctx, max(0, left-time.Second))
}

// leaveAfterDeath is one turn of a terminating pod whose Redis does not run; true: exit.
// A Redis that died as master is failed over first, as in a pod that stays.
func (s *Server) leaveAfterDeath(ctx context.Context) bool {
	if s.memory.Died().IsZero() {
		if s.passing != nil { // its clients are moving already
			s.moveClients(ctx, s.passing.target)
		}
		return true
	}
	o := s.lookAgain(ctx)
	leaving := role.DecideLeavingAfterDeath(o, time.Since(s.stopAt), s.config.ShutdownBudget)
	s.noteLeaving(leaving)
	switch leaving.Step {
	case role.StayOn:
		return false
	case role.PassOn:
		s.moveClients(ctx, netip.AddrPortFrom(leaving.Successors[0], uint16(s.config.RedisPort)))
	}
	return true
}

// noteLeaving logs why a terminating pod stays or leaves, when the reason changes.
func (s *Server) noteLeaving(d role.Leaving) {
	if d.Reason != s.leavingReason {
		s.leavingReason = d.Reason
		s.log.Info("leaving", "rule", d.Rule, "reason", d.Reason)
	}
}

// askKnown asks the sentinels that name a master which of its replicas they would promote. A sentinel that does not answer any more is
// left out.
func (s *Server) askKnown(ctx context.Context, views []observe.SentinelView) (lists [][]netip.Addr) {
	var mu sync.Mutex
	observe.Each(views, func(v *observe.SentinelView) {
		if v.Reach != role.Answered || !v.HasMaster {
			return
		}
		known, err := v.Node.KnownReplicas(ctx, s.config.MasterName)
		if err != nil {
			return
		}
		promotable := []netip.Addr{}
		for _, replica := range known {
			if !replica.Down && replica.Priority > 0 {
				promotable = append(promotable, replica.Addr.Addr())
			}
		}
		mu.Lock()
		defer mu.Unlock()
		lists = append(lists, promotable)
	})
	return lists
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

// handOver makes one of the successors master without losing a write. The sentinels elect this
// launcher, writes are paused, a successor catches up and is promoted, and the sentinels are told.
// Redis is stopped here with the writes still paused, so that none of them is carried
// out: their clients see the connection close and send them again. From then
// on connections that arrive here are passed on to the successor. Where the volume stays,
// Redis becomes a replica of the successor instead, without clients, and saves its data while the clients move.
func (s *Server) handOver(ctx context.Context, leaving role.Leaving, views []observe.SentinelView) error {
	began := time.Now()
	node := s.local()
	next, err := s.replaceSelf(ctx, node, leaving, views)
	if err != nil {
		return errors.Join(err, s.abortHandOver(ctx, errors.Is(err, succession.ErrUnanswered)))
	}
	promoted := time.Now()
	s.guard.SetUnanswered(false)
	target := next.Addr
	var told sync.WaitGroup
	if next.Epoch > 0 {
		told.Go(func() { s.carrier().TellOthers(context.WithoutCancel(ctx), next.Successor) })
	}
	defer told.Wait() // see succession.Carrier.TellOthers
	var saving <-chan struct{}
	if s.stopListening(ctx, node) {
		s.passing = s.pass(ctx, target, passingTime)
		s.publish(role.Observation{})
		if s.dropClients(ctx, node) {
			saving = s.saveAfterHandOver(ctx, s.plan.Seen, target)
		}
	}
	if saving == nil {
		// A killed Redis carries out nothing more, however long its end takes. The successor has everything, and clients wait, so
		// Redis is not given the time to write its file to the disk.
		s.endRedis(syscall.SIGKILL)
	}
	took := func(from, to time.Time) string { return to.Sub(from).Round(time.Millisecond).String() }
	s.log.Info("handed over", "to", target.Addr().String(), "took", took(began, time.Now()), "paused", took(next.pausedAt, promoted), "stopping", took(promoted, time.Now()))
	s.memory.Decided = role.Decision{State: role.Stopped, Rule: "handed-over", Reason: "handed over to " + target.Addr().String()}
	s.moveClients(ctx, target)
	if saving != nil {
		<-saving
		s.endRedis(syscall.SIGKILL)
	}
	return nil
}

// stopListening has Redis take no more connections, for no longer than part of the write pause.
func (s *Server) stopListening(ctx context.Context, node *redisnode.Node) bool {
	ctx, cancel := context.WithTimeout(ctx, role.PauseLimit(s.live().DownAfter)/4)
	defer cancel()
	err := node.Set(ctx, s.config.TLS.Port(), 0)
	if err != nil {
		s.log.Debug("redis-server does not stop listening before it ends", "error", err)
	}
	return err == nil
}

// dropClients has Redis end the connections of its clients. The clients connect again at once, and are passed on. A kill alone would
// not end a connection while a process that Redis has forked holds a copy of it, and such a process may stand still in a write to
// the disk.
func (s *Server) dropClients(ctx context.Context, node *redisnode.Node) bool {
	ctx, cancel := context.WithTimeout(ctx, role.PauseLimit(s.live().DownAfter)/4)
	defer cancel()
	err := node.DropClients(ctx)
	if err != nil {
		s.log.Debug("redis-server does not end its clients' connections before it ends", "error", err)
	}
	return err == nil
}

// abortHandOver takes the fence back and lets writes go on. A replica that was told to become master and has
// not answered takes the label by the fence when it goes on. So writes do not go on while the fence is there.
func (s *Server) abortHandOver(ctx context.Context, unanswered bool) error {
	s.guard.SetUnanswered(unanswered)
	s.guard.Guard(s.child)
	s.guard.Pause()
	err := s.unfence(ctx)
	switch {
	case errors.Is(err, errReplaced):
		s.guard.SetUnanswered(true)
		return err
	case err != nil && unanswered:
		return fmt.Errorf("the fence could not be taken back, and writes are held back: %w", err)
	case err != nil:
		s.log.Warn("the fence could not be taken back; it ends by itself", "error", err)
	}
	s.guard.SetUnanswered(false)
	return s.guard.Resume(ctx, s.child)
}

// replaceSelf promotes a successor. Where a sentinel is replacing this master already, it waits for that.
func (s *Server) replaceSelf(ctx context.Context, node *redisnode.Node, leaving role.Leaving, views []observe.SentinelView) (successor, error) {
	next, err := s.promoteElected(ctx, node, leaving.Candidates, views)
	if !errors.Is(err, succession.ErrFailoverRunning) {
		return next, err
	}
	// What were written now would be lost when it succeeds.
	s.log.Info("waiting for a failover that nobody here has ordered", "reason", err)
	paused := time.Now()
	s.guard.Guard(nil)
	ip, err := s.awaitPromotion(node, s.carrier().OtherServers(), leaving.Successors, answeredOnce(views, s.asker().Sentinels(ctx, s.api.Pods())))
	return successor{succession.Successor{Addr: netip.AddrPortFrom(ip, uint16(s.config.RedisPort))}, paused}, err
}

// moveClients moves the label to the successor. It passes connections that still arrive here on to the successor until the
// Services have followed, and then ends them one after the other.
func (s *Server) moveClients(ctx context.Context, successor netip.AddrPort) {
	ctx, cancel := s.untilExit(ctx)
	defer cancel()
	if s.passing == nil || !s.passing.taking() {
		s.passing = s.pass(ctx, successor, passingTime)
	}
	s.publish(role.Observation{})
	s.moveLabel(ctx, successor.Addr())
	select {
	case <-s.passing.ended:
	case <-ctx.Done():
	case <-time.After(lateEndpoints):
	}
	s.passing.finish(ctx)
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
	s.labels.Want("", "", time.Now())
	deadline := time.Now().Add(labelWait)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if s.labels.Done() {
			return
		}
		time.Sleep(pollEvery)
	}
}
