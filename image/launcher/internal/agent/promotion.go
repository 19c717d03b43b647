package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

const (
	// promotionWait is how long a promotion that a sentinel has accepted is waited
	// for; it takes 0.1 to 0.3 s.
	promotionWait = 5 * time.Second
	// leaderPoll is the pause between two looks at the sentinel that promotes, and at
	// how much of the pause is left.
	leaderPoll = 50 * time.Millisecond
	// promotionLag is how long after the end of its sentinel a promotion may still
	// be seen: the order to the replica was on its way.
	promotionLag = 200 * time.Millisecond
)

// errFailoverEnded: nobody replaces this master any more, and nobody has.
var errFailoverEnded = errors.New("the failover ended without a promotion")

// errNoChooser: a hand-over now would promote a replica that lacks something.
var errNoChooser = errors.New("no sentinel would promote a replica in sync for certain: they go by what they have heard in the last second")

// promoteSuccessor pauses writes, waits for the successors to have everything,
// and has a sentinel promote one of them. When that sentinel ends first, as one
// may that is being replaced itself, the next is told. With an error writes may
// still be paused.
func (s *Server) promoteSuccessor(ctx context.Context, node *redisnode.Node, successors []netip.Addr) (netip.Addr, error) {
	limit := role.PauseLimit(s.config.DownAfter)
	for began := time.Now(); ; {
		if err := node.PauseWrites(ctx, limit); err != nil {
			return netip.Addr{}, fmt.Errorf("pause writes: %w", err)
		}
		sentinel, views, err := s.commandPromotion(ctx, limit-100*time.Millisecond, node, successors)
		switch {
		case errors.Is(err, succession.ErrFailoverRunning):
			// What were written now would be lost when it succeeds.
			s.log.Info("waiting for a failover that nobody here has ordered", "reason", err)
		case err != nil:
			return netip.Addr{}, err
		default:
			s.log.Info("failover commanded", "sentinel", sentinel, "reason", "hand-over")
		}
		successor, err := s.awaitPromotion(node, s.carrier().OtherServers(), successors, sentinel, views)
		if !errors.Is(err, errFailoverEnded) || time.Since(began) > promotionWait {
			return successor, err
		}
		s.log.Warn("another sentinel is asked to promote", "instead of", sentinel, "error", err)
	}
}

// commandPromotion waits for the successors to have everything and tells one of
// the sentinels, of which it also gives the views, to promote one of them. With
// succession.ErrFailoverRunning one has been told by somebody else.
func (s *Server) commandPromotion(ctx context.Context, limit time.Duration, node *redisnode.Node, successors []netip.Addr) (string, []observe.SentinelView, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	info, err := node.Info(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("read the offset to reach: %w", err)
	}
	if err := s.awaitOffset(ctx, successors, info.Offset); err != nil {
		return "", nil, err
	}
	views := s.asker().Sentinels(ctx, s.api.Pods())
	if observe.FailingOver(views) {
		return "", views, succession.ErrFailoverRunning
	}
	right := s.choosersAmong(ctx, views, successors)
	if len(right) == 0 {
		return "", views, errNoChooser
	}
	sentinel, err := tellOne(ctx, s.config, right, s.config.PodIP)
	return sentinel, views, err
}

// choosersAmong are the sentinels that would promote one of these replicas for certain.
func (s *Server) choosersAmong(ctx context.Context, views []observe.SentinelView, replicas []netip.Addr) []observe.SentinelView {
	return knowing(ctx, s.config, views, func(known []sentinel.KnownReplica) bool { return sentinel.ChoosesAmong(known, replicas) })
}

// awaitOffset waits until every successor has reached the offset: which of them
// is promoted is the sentinel's choice, made on what it knew a second ago.
func (s *Server) awaitOffset(ctx context.Context, successors []netip.Addr, offset int64) error {
	for {
		behind := 0
		for _, ip := range successors {
			info, err := s.links.To(ip, s.config.RedisPort).Info(ctx)
			if err != nil || info.Offset < offset || !info.LinkUp {
				behind++
			}
		}
		if behind == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d replica(s) did not catch up within the pause", behind, len(successors))
		case <-time.After(pollEvery):
		}
	}
}

// watchPromotion tells which of the servers is made master. A server counts if it is one of the successors, or
// was seen as a replica in sync since. A master of the past that wakes up does not count.
func (s *Server) watchPromotion(ctx context.Context, servers, successors []netip.Addr) <-chan netip.Addr {
	promoted := make(chan netip.Addr, len(servers))
	for _, ip := range servers {
		go func() {
			for inSync := slices.Contains(successors, ip); ctx.Err() == nil; {
				info, err := s.links.To(ip, s.config.RedisPort).Info(ctx)
				if err == nil && info.Master && inSync {
					promoted <- ip
					return
				}
				inSync = inSync || err == nil && info.LinkUp && info.MasterAddr.Addr() == s.config.PodIP
				select {
				case <-ctx.Done():
				case <-time.After(pollEvery):
				}
			}
		}()
	}
	return promoted
}

// awaitPromotion waits for one of the successors to be master. From the command
// on a promotion may come at any time, so the pause is renewed meanwhile, even
// if the sentinels take this server for down in the end: that leads to the same.
// When its time is up and another sentinel is replacing this master, as they do
// where the first has crashed, it waits once more: what were written now would
// be lost a moment later.
func (s *Server) awaitPromotion(node *redisnode.Node, servers, successors []netip.Addr, sentinel string, views []observe.SentinelView) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*promotionWait)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		if awaitFailoverEnd(ctx, s.config, views, sentinel) {
			close(ended)
		}
	}()
	promoted := s.watchPromotion(ctx, servers, successors)
	limit := role.PauseLimit(s.config.DownAfter)
	began, renewed := time.Now(), time.Time{} // what is left of the first pause is not known here
	for {
		if time.Since(renewed) > limit/4 {
			renewed = time.Now()
			_ = node.PauseWrites(ctx, limit)
		}
		if ctx.Err() != nil || time.Since(began) > promotionWait && failoverState(ctx, s.config, views, sentinel) != failoverRuns {
			return netip.Addr{}, fmt.Errorf("no replica was promoted within %v, though a failover had begun (told: %q)", time.Since(began).Round(100*time.Millisecond), sentinel)
		}
		select {
		case ip := <-promoted:
			return ip, nil
		case <-ended:
			select {
			case ip := <-promoted:
				return ip, nil
			default:
			}
			return netip.Addr{}, fmt.Errorf("sentinel %s: %w", sentinel, errFailoverEnded)
		case <-ctx.Done():
		case <-time.After(leaderPoll):
		}
	}
}

// awaitFailoverEnd waits until the failover has been over for promotionLag; false
// when ctx ended before.
func awaitFailoverEnd(ctx context.Context, c config.Config, views []observe.SentinelView, told string) bool {
	over := time.Now()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(leaderPoll):
		}
		switch {
		case failoverState(ctx, c, views, told) != failoverOver:
			over = time.Now()
		case time.Since(over) >= promotionLag:
			return true
		}
	}
}

// progress is what the sentinels tell of a failover that a sentinel was told to do.
type progress int

const (
	// failoverUnclear: the sentinel that was told does not answer, and no other sentinel replaces this master.
	failoverUnclear progress = iota
	// failoverRuns: a sentinel is replacing this master.
	failoverRuns
	// failoverOver: the sentinel that was told has ended, or has given up and still names this master. No other
	// sentinel replaces this master.
	failoverOver
)

// failoverState asks these sentinels how the failover of this master goes.
func failoverState(ctx context.Context, c config.Config, views []observe.SentinelView, told string) progress {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	var mu sync.Mutex
	found := failoverUnclear
	observe.Each(slices.Clone(views), func(v *observe.SentinelView) {
		master, known, err := v.Node.Master(ctx, c.MasterName)
		mu.Lock()
		defer mu.Unlock()
		own := known && master.Addr.Addr() == c.PodIP
		switch {
		case err == nil && own && master.FailingOver:
			found = failoverRuns
		case v.Pod.Name != told || found == failoverRuns:
		case err == nil && own, observe.ReachOf(err) == role.Refused:
			found = failoverOver
		}
	})
	return found
}
