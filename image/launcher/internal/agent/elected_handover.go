package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// successor is the replica that becomes master in the place of this one.
type successor struct {
	succession.Successor
	pausedAt time.Time // when the first write pause of this master began, or was about to
}

// carrier gives what replaces a master in the name of this pod.
func (s *Server) carrier() succession.Carrier { return succession.New(s.asker(), s.api, s.self) }

// promoteElected promotes the first of some replicas. views are fresh. It writes the hand-over and the replica into the record, if the API answers, asks the
// sentinels to elect this launcher, pauses writes, waits until the replica has everything, and promotes it. After an
// error writes may still be paused. After succession.ErrUnanswered the replica may be master.
func (s *Server) promoteElected(ctx context.Context, node *redisnode.Node, replicas []netip.Addr, views []observe.SentinelView) (successor, error) {
	c := s.carrier()
	chosen, err := c.Pod(replicas[0])
	if err != nil {
		return successor{}, err
	}
	if observe.FailingOver(views) {
		return successor{}, succession.ErrFailoverRunning
	}
	recorded, err := s.recordHandOver(ctx, chosen.UID, s.namedBy(views))
	if err != nil {
		return successor{}, err
	}
	next := successor{Successor: c.Successor(s.config.PodIP, chosen.IP, views)}
	switch err := c.Campaign(ctx, &next.Successor); {
	case err == nil:
		s.log.Info("elected to hand over", "epoch", next.Epoch, "to", chosen.Name)
	case errors.Is(err, succession.ErrNotElected) && recorded:
		next.GoUnvoted(true)
		s.log.Warn("handing over without the votes of the sentinels", "epoch", next.Epoch, "to", chosen.Name, "reason", err)
	default:
		return successor{}, err
	}
	s.guard.Guard(nil)
	next.pausedAt = time.Now()
	if err := s.pauseAt(ctx, node, next); err != nil {
		return successor{}, err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), promotionWait)
	defer cancel()
	return next, c.Promote(limited, s.pausing(node), next.Successor, s.labelled)
}

// recordHandOver writes the hand-over and the successor's UID into the record; see fenceFor. recorded is false if the API does not record them,
// or if the sentinels name this pod and the record names another. The votes of the sentinels then keep others from replacing this master, and
// the sentinels decide alone when the label moves.
func (s *Server) recordHandOver(ctx context.Context, successor string, named bool) (recorded bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, succession.FenceTime)
	defer cancel()
	err = s.fenceFor(ctx, successor, named)
	if err == nil || errors.Is(err, errReplaced) || errors.Is(err, kube.ErrChanged) {
		return err == nil, err
	}
	s.log.Warn("the hand-over could not be recorded; the sentinels decide alone when the label moves", "error", err)
	return false, nil
}

// pausing gives what pauses the writes of a node.
func (s *Server) pausing(node *redisnode.Node) func(context.Context) error {
	limit := role.PauseLimit(s.live().DownAfter)
	return func(ctx context.Context) error { return node.PauseWrites(ctx, limit) }
}

// namedBy says whether a majority of the sentinels names this pod.
func (s *Server) namedBy(views []observe.SentinelView) bool {
	named, ok := role.Observation{Sentinels: s.live().Sentinels, Views: observe.Views(views)}.Agreed()
	return ok && named == s.config.PodIP
}

// pauseTries is how often writes are paused anew because the pause may have ended before the replica had
// everything, as on a machine without CPU time.
const pauseTries = 3

// pauseAt pauses writes at an offset that the replica has reached, and makes sure that the sentinels have
// not replaced this master. When it returns nil, the rest of the pause is the whole limit.
func (s *Server) pauseAt(ctx context.Context, node *redisnode.Node, next successor) error {
	limit := role.PauseLimit(s.live().DownAfter)
	for range pauseTries {
		paused := time.Now()
		if err := node.PauseWrites(ctx, limit); err != nil {
			return fmt.Errorf("pause writes: %w", err)
		}
		if err := s.awaitCaughtUp(ctx, limit/2, node, next.Addr); err != nil {
			return err
		}
		// A vote does not keep a sentinel from a failover that somebody orders.
		if err := s.carrier().StillElected(ctx, next.Successor, 0); err != nil {
			return err
		}
		if err := node.PauseWrites(ctx, limit); err != nil {
			return fmt.Errorf("renew the pause: %w", err)
		}
		if time.Since(paused) < limit {
			return nil // no write was executed in between
		}
	}
	return fmt.Errorf("the pause of %v ended %d times before the replica %v had everything", limit, pauseTries, next.Addr)
}

// awaitCaughtUp waits until a replica has everything that this master, whose writes are paused, has.
func (s *Server) awaitCaughtUp(ctx context.Context, limit time.Duration, node *redisnode.Node, addr netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	info, err := node.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the offset to reach: %w", err)
	}
	for offset := info.Offset; ; {
		info, err := s.links.To(addr.Addr(), s.config.RedisPort).Info(ctx)
		if err == nil && info.LinkUp && info.MasterAddr.Addr() == s.config.PodIP && info.Offset >= offset {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replica %v did not catch up within half of the pause", addr)
		case <-time.After(pollEvery):
		}
	}
}
