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
)

const (
	// promotionWait is how long the promotion of a sentinel that replaces this master is waited
	// for; it takes 0.1 to 0.3 s.
	promotionWait = 5 * time.Second
	// leaderPoll is the pause between two looks at the sentinel that promotes, and at
	// how much of the pause is left.
	leaderPoll = 50 * time.Millisecond
	// promotionLag is how long after the end of a failover its promotion may still
	// be seen: the order to the replica was on its way.
	promotionLag = 200 * time.Millisecond
)

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

// awaitPromotion waits for one of the successors to be master, while a sentinel replaces this master. A promotion may come
// at any time, so awaitPromotion renews the write pause meanwhile, even if the sentinels take this server for down in the end: that leads to
// the same. It gives up when no sentinel replaces this master any more, and at the latest after twice promotionWait.
func (s *Server) awaitPromotion(node *redisnode.Node, servers, successors []netip.Addr, views []observe.SentinelView) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*promotionWait)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		if awaitFailoverEnd(ctx, s.live(), views) {
			close(ended)
		}
	}()
	promoted := s.watchPromotion(ctx, servers, successors)
	limit := role.PauseLimit(s.live().DownAfter)
	began, renewed := time.Now(), time.Time{} // what is left of the first pause is not known here
	for {
		if time.Since(renewed) > limit/4 {
			renewed = time.Now()
			_ = node.PauseWrites(ctx, limit)
		}
		if ctx.Err() != nil || time.Since(began) > promotionWait && failoverState(ctx, s.live(), views) != failoverRuns {
			return netip.Addr{}, fmt.Errorf("no replica was promoted within %v, though a failover had begun", time.Since(began).Round(100*time.Millisecond))
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
			return netip.Addr{}, errors.New("the failover that had begun ended without a promotion")
		case <-ctx.Done():
		case <-time.After(leaderPoll):
		}
	}
}

// awaitFailoverEnd waits until no sentinel has replaced this master for promotionLag. It returns false if ctx ends before.
func awaitFailoverEnd(ctx context.Context, c config.Config, views []observe.SentinelView) bool {
	over := time.Now()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(leaderPoll):
		}
		switch {
		case failoverState(ctx, c, views) != failoverOver:
			over = time.Now()
		case time.Since(over) >= promotionLag:
			return true
		}
	}
}

// answeredOnce gives the sentinels as they are now. A sentinel that answered before, and does not now, counts as a sentinel that has answered: it
// may be replacing this master.
func answeredOnce(before, now []observe.SentinelView) []observe.SentinelView {
	for i := range now {
		did := slices.ContainsFunc(before, func(v observe.SentinelView) bool { return v.Pod.UID == now[i].Pod.UID && v.Reach == role.Answered })
		if did && now[i].Reach == role.Unknown {
			now[i].Reach = role.Answered
		}
	}
	return now
}

// progress is what the sentinels tell of a failover of this master.
type progress int

const (
	// failoverUnclear: a sentinel does not answer any more or names another master, and no sentinel replaces this master.
	failoverUnclear progress = iota
	// failoverRuns: a sentinel is replacing this master.
	failoverRuns
	// failoverOver: every sentinel that has answered has ended, or names this master and does not replace it.
	failoverOver
)

// failoverState asks the sentinels that may be alive how the failover of this master goes. A sentinel that has never answered, as on a lost node,
// is not waited for.
func failoverState(ctx context.Context, c config.Config, views []observe.SentinelView) progress {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	var mu sync.Mutex
	answered := func(v observe.SentinelView) bool { return v.Reach == role.Answered }
	runs, unclear := false, !slices.ContainsFunc(views, answered)
	observe.Each(slices.Clone(views), func(v *observe.SentinelView) {
		if v.Reach == role.Refused {
			return // its process has ended
		}
		master, known, err := v.Node.Master(ctx, c.MasterName)
		mu.Lock()
		defer mu.Unlock()
		own := err == nil && known && master.Addr.Addr() == c.PodIP
		runs = runs || own && master.FailingOver
		silent := answered(*v) && observe.ReachOf(err) == role.Unknown
		unclear = unclear || silent || err == nil && !own
	})
	switch {
	case runs:
		return failoverRuns
	case unclear:
		return failoverUnclear
	default:
		return failoverOver
	}
}
