package agent

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
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
func byChoice(ctx context.Context, c config.Config, views []sentinelView, foremost []netip.Addr) []sentinelView {
	if len(foremost) == 0 {
		return views
	}
	ctx, cancel := context.WithTimeout(ctx, choiceTime)
	defer cancel()
	for {
		right, others := choosers(ctx, c, views, func(known []redisnode.KnownReplica) bool { return slices.Contains(foremost, choice(known)) })
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
func choosers(ctx context.Context, c config.Config, views []sentinelView, good func([]redisnode.KnownReplica) bool) (right, others []sentinelView) {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	is := make([]bool, len(views))
	var asked sync.WaitGroup
	for i, v := range views {
		if v.Reach == role.Answered {
			asked.Go(func() {
				known, err := v.node.KnownReplicas(ctx, c.MasterName)
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
func stayingFirst(views []sentinelView, leaving string, pods []kube.Pod) []sentinelView {
	node := ""
	for _, pod := range pods {
		if pod.UID == leaving {
			node = pod.Node
		}
	}
	rank := func(v sentinelView) int {
		if v.pod.Terminating || node != "" && v.pod.Node == node {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(views, func(a, b sentinelView) int { return cmp.Compare(rank(a), rank(b)) })
	return views
}

// eligible leaves out the replicas that Sentinel does not promote.
func eligible(known []redisnode.KnownReplica) []redisnode.KnownReplica {
	return slices.DeleteFunc(slices.Clone(known), func(r redisnode.KnownReplica) bool { return r.Down || r.Disconnected || r.Priority == 0 })
}

// choosesAmong says whether a sentinel with this memory promotes one of these
// replicas, also when it asks some of them for their offset in between. Another one
// that is not in sync may have got more than the sentinel has heard of, unless the
// sentinel has heard that it has lost the master.
func choosesAmong(known []redisnode.KnownReplica, replicas []netip.Addr) bool {
	return slices.Contains(replicas, choice(known)) && !slices.ContainsFunc(eligible(known), func(r redisnode.KnownReplica) bool {
		return r.Linked && !slices.Contains(replicas, r.Addr.Addr())
	})
}

// choice is the replica that a sentinel with this memory promotes: the lowest
// priority number above 0, then the highest offset, then the lowest run ID.
func choice(known []redisnode.KnownReplica) netip.Addr {
	known = eligible(known)
	if len(known) == 0 {
		return netip.Addr{}
	}
	return slices.MinFunc(known, func(a, b redisnode.KnownReplica) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Offset, a.Offset), strings.Compare(a.RunID, b.RunID))
	}).Addr.Addr()
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
	remembering, _ := choosers(ctx, s.config, s.views, func(known []redisnode.KnownReplica) bool { return promotesUnasked(known, s.config.PodIP) })
	if first && len(remembering) > 0 {
		s.log.Info("the replica is not started before the sentinels have forgotten the one that was here", "first", remembering[0].pod.Name)
	}
	return len(remembering) > 0
}

// promotesUnasked says whether a sentinel with this memory may promote a Redis that
// starts now at this address before it has asked it anything. Sentinel promotes no replica
// without an answer in the last five ping periods, and asks one for its state together
// with the first ping of a connection, unless it has done so in the last info period.
func promotesUnasked(known []redisnode.KnownReplica, ip netip.Addr) bool {
	return slices.ContainsFunc(known, func(r redisnode.KnownReplica) bool {
		return r.Addr.Addr() == ip && r.RunID != "" && r.Priority > 0 && (r.InfoAge <= redisnode.InfoPeriod || r.PongAge <= 5*redisnode.PingPeriod)
	})
}
