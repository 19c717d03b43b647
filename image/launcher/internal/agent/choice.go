package agent

import (
	"context"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// knowing asks the sentinels what they know of the replicas, and gives the sentinels whose answer is good.
func knowing(ctx context.Context, c config.Config, views []observe.SentinelView, good func([]sentinel.KnownReplica) bool) (those []observe.SentinelView) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	is := make([]bool, len(views))
	var asked sync.WaitGroup
	for i, v := range views {
		if v.Reach == role.Answered {
			asked.Go(func() {
				known, err := v.Node.KnownReplicas(ctx, c.MasterName)
				is[i] = err == nil && good(known)
			})
		}
	}
	asked.Wait()
	for i, v := range views {
		if is[i] {
			those = append(those, v)
		}
	}
	return those
}

// remembered says whether a sentinel still goes by what it has heard from the Redis
// that ran here before. That Redis was in sync. The next Redis has what is on its disk, or
// nothing, and must not be promoted for what the former Redis had.
func (s *Server) remembered(ctx context.Context) bool {
	first, may := s.memory.MayBeRemembered(time.Now())
	if !may {
		return false
	}
	remembering := knowing(ctx, s.config, s.views, func(known []sentinel.KnownReplica) bool { return sentinel.PromotesUnasked(known, s.config.PodIP) })
	if first && len(remembering) > 0 {
		s.log.Info("waiting until the sentinels have forgotten the former replica at this address, then starting the replica", "first", remembering[0].Pod.Name)
	}
	return len(remembering) > 0
}
