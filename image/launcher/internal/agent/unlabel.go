package agent

import (
	"context"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// tryFailover is the channel on which a sentinel says that it begins a failover.
const tryFailover = "+try-failover"

// unlabelLost takes the label master off a pod that the local sentinel begins to
// replace because a quorum, which is a majority, finds it down: a frozen process
// or a lost node, which cannot give the label up itself.
//
// kube-proxy syncs at once and then not for a second. If the successor's label
// came first, that sync would be for one of the Services that the successor
// joins and leaves, and clients of the others would hang at the lost pod for a
// second more. So the sync is spent on the lost pod, half a second before there
// is a successor, and the next one moves everything.
func (s *Sentinel) unlabelLost(ctx context.Context) {
	node := s.links.to(s.config.PodIP, s.config.SentinelPort)
	view, found, err := node.Master(ctx, s.config.MasterName)
	if err != nil || !found || !view.Replacing {
		return // the loop takes the label later, when there is a successor
	}
	if known, err := node.KnownReplicas(ctx, s.config.MasterName); err != nil || !choice(known).IsValid() {
		return // nobody can succeed
	}
	for _, pod := range s.api.Pods() {
		if pod.Server && pod.Role == role.Master && pod.IP == view.Addr.Addr() {
			err := s.api.ClearMasterLabel(ctx, kube.Pod{Name: pod.Name, UID: pod.UID})
			s.log.Info("took the label master off a pod that a majority of the sentinels finds down", "pod", pod.Name, "error", err)
		}
	}
}
