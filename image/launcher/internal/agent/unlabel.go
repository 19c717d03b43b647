package agent

import (
	"context"
	"net/netip"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// findsMasterDown says whether a sentinel's message is that it finds its master down.
func findsMasterDown(n redisnode.Notice) bool {
	return n.Channel == "+sdown" && strings.HasPrefix(n.Payload, "master ")
}

// unlabelLost takes the label master off a pod as soon as a majority of the
// sentinels, the local one among them, finds it down, and a replica is there to
// succeed it: a frozen process or a lost node, which cannot give the label up itself.
//
// kube-proxy syncs at once and then not for a second. If the successor's label
// came first, that sync would be for one of the Services that the successor
// joins and leaves, and clients of the others would hang at the lost pod for a
// second more. So the sync is spent on the lost pod, half a second before there
// is a successor, and the next one moves everything.
func (s *Sentinel) unlabelLost(ctx context.Context) {
	node := s.links.to(s.config.PodIP, s.config.SentinelPort)
	view, found, err := node.Master(ctx, s.config.MasterName)
	if err != nil || !found || !view.SubjectiveDown {
		return // the loop takes the label later, when there is a successor
	}
	master := view.Addr.Addr()
	if known, err := node.KnownReplicas(ctx, s.config.MasterName); err != nil || !choice(known).IsValid() {
		return // nobody can succeed
	}
	if !s.majorityFindsDown(ctx, master) {
		return // the sentinel that makes it a majority has its launcher do it
	}
	for _, pod := range s.api.Pods() {
		if pod.Server && pod.Role == role.Master && pod.IP == master {
			err := s.api.ClearMasterLabel(ctx, kube.Pod{Name: pod.Name, UID: pod.UID})
			s.log.Info("took the label master off a pod that a majority of the sentinels finds down", "pod", pod.Name, "error", err)
		}
	}
}

// majorityFindsDown asks the other sentinels whether they find this master down,
// too. It waits for no more answers than it needs: one may be on the lost node.
func (s *Sentinel) majorityFindsDown(ctx context.Context, master netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	pods := s.api.Pods()
	answers := make(chan bool, len(pods))
	asked := 0
	for _, pod := range pods {
		if !pod.Sentinel || !pod.IP.IsValid() || pod.IP == s.config.PodIP {
			continue
		}
		asked++
		go func() {
			view, found, err := s.links.to(pod.IP, s.config.SentinelPort).Master(ctx, s.config.MasterName)
			answers <- err == nil && found && view.SubjectiveDown && view.Addr.Addr() == master
		}()
	}
	down := 1
	for ; asked > 0 && down <= s.config.Sentinels/2; asked-- {
		if <-answers {
			down++
		}
	}
	return down > s.config.Sentinels/2
}
