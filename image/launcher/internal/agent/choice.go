package agent

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

const (
	// choiceTime is how long a sentinel is looked for that would promote a replica
	// with all the data. A sentinel asks each replica for its offset once a second.
	choiceTime = 1200 * time.Millisecond
	// choicePoll is the pause between two looks at what the sentinels know.
	choicePoll = 50 * time.Millisecond
	// rememberedAtMost is how long a replica is not started because the sentinels
	// remember the one that was here before. They forget it in less than half of that.
	rememberedAtMost = 3 * time.Second
)

// byChoice puts those sentinels first that would promote one of these replicas.
//
// A sentinel promotes the replica that held the most data when it last asked,
// up to a second ago. A write that one replica has acknowledged since then, and
// another has not, could be lost. Each of the sentinels asked at another moment;
// where none of them knows enough, they soon will.
func byChoice(ctx context.Context, c config.Config, views []observe.SentinelView, foremost []netip.Addr) []observe.SentinelView {
	if len(foremost) == 0 {
		return views
	}
	ctx, cancel := context.WithTimeout(ctx, choiceTime)
	defer cancel()
	for {
		right, others := choosers(ctx, c, views, func(known []sentinel.KnownReplica) bool { return slices.Contains(foremost, sentinel.Choice(known)) })
		if len(right) > 0 {
			return append(right, others...)
		}
		select {
		case <-ctx.Done():
			return views
		case <-time.After(choicePoll):
		}
	}
}

// choosers are the sentinels whose memory of the replicas is good enough, and the
// others, each in the order of views.
func choosers(ctx context.Context, c config.Config, views []observe.SentinelView, good func([]sentinel.KnownReplica) bool) (right, others []observe.SentinelView) {
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
			right = append(right, v)
		} else {
			others = append(others, v)
		}
	}
	return right, others
}

// stayingFirst puts those sentinels last that are leaving, or run on the node of
// the pod that hands over: who drains a node ends both within a moment, and a
// sentinel that ends has its failover end with it.
func stayingFirst(views []observe.SentinelView, leaving string, pods []kube.Pod) []observe.SentinelView {
	node := ""
	for _, pod := range pods {
		if pod.UID == leaving {
			node = pod.Node
		}
	}
	rank := func(v observe.SentinelView) int {
		if v.Pod.Terminating || node != "" && v.Pod.Node == node {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(views, func(a, b observe.SentinelView) int { return cmp.Compare(rank(a), rank(b)) })
	return views
}

// remembered says whether a sentinel still goes by what it has heard from the Redis
// that ran here before. That one was in sync; the next has what is on its disk, or
// nothing, and must not be promoted for what the other had.
func (s *Server) remembered(ctx context.Context) bool {
	first := s.heldAt.IsZero()
	if first {
		s.heldAt = time.Now()
	}
	if time.Since(s.heldAt) > rememberedAtMost {
		return false
	}
	remembering, _ := choosers(ctx, s.config, s.views, func(known []sentinel.KnownReplica) bool { return sentinel.PromotesUnasked(known, s.config.PodIP) })
	if first && len(remembering) > 0 {
		s.log.Info("the replica is not started before the sentinels have forgotten the one that was here", "first", remembering[0].Pod.Name)
	}
	return len(remembering) > 0
}
