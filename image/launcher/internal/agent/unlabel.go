package agent

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// findsMasterDown says whether a sentinel's message is that it finds its master down.
func findsMasterDown(n redisnode.Notice) bool {
	return n.Channel == "+sdown" && strings.HasPrefix(n.Payload, "master ")
}

const (
	// silenceLook and silenceQuickLook are how often the local sentinel is asked
	// how long its master has been silent: normally, and while a ping has not been
	// answered for two of its periods (suspicious).
	silenceLook      = 500 * time.Millisecond
	silenceQuickLook = 100 * time.Millisecond
	suspicious       = 500 * time.Millisecond
	// silenceAgain is the pause before the second look at a silence that takes the label off. A sentinel that had stood still
	// has read by then what had arrived for it.
	silenceAgain = 25 * time.Millisecond
)

// watchSilence has the label taken off a master that is silent, before the
// sentinels find it down. Two looks must see the silence: a sentinel that has
// stood still itself reads the answers to its pings only then.
func (s *Sentinel) watchSilence(ctx context.Context) {
	seen := false
	for pause := silenceLook; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		asking, cancel := context.WithTimeout(ctx, silenceLook)
		view, found, err := s.links.To(s.config.PodIP, s.config.SentinelPort).Master(asking, s.config.MasterName)
		cancel()
		silent := err == nil && found && s.findsLost(view)
		if silent && seen && !view.SubjectiveDown {
			s.unlabelLost(ctx)
		}
		switch {
		case view.SubjectiveDown || view.Silent <= suspicious:
			pause = silenceLook
		case silent && !seen:
			pause = silenceAgain
		default:
			pause = silenceQuickLook
		}
		seen = silent
	}
}

func (s *Sentinel) findsLost(view redisnode.MasterView) bool {
	return role.FindsLost(view.SubjectiveDown, view.Silent, s.live().DownAfter)
}

// unlabelLost takes the label master off a pod as soon as a majority of the
// sentinels, the local one among them, finds it lost, and a replica is there to
// succeed it: a frozen process or a lost node, which cannot give the label up itself.
//
// kube-proxy syncs at once and then not for a second. If the successor's label
// came first, that sync would be for one of the Services that the successor
// joins and leaves, and clients of the others would hang at the lost pod for a
// second more. So the sync is spent on the lost pod, some 0.7 s before there is a
// successor, and the next one moves everything.
func (s *Sentinel) unlabelLost(ctx context.Context) {
	node := s.links.To(s.config.PodIP, s.config.SentinelPort)
	view, found, err := node.Master(ctx, s.config.MasterName)
	if err != nil || !found || !s.findsLost(view) {
		return // the loop takes the label later, when there is a successor
	}
	master := view.Addr.Addr()
	if known, err := node.KnownReplicas(ctx, s.config.MasterName); err != nil || !sentinel.Choice(known).IsValid() {
		return // nobody can succeed
	}
	if !s.majorityFindsLost(ctx, master, observe.ViewOf(view, found, err)) {
		return // the sentinel that makes it a majority has its launcher do it
	}
	for _, pod := range s.api.Pods() {
		if pod.Server && pod.Role == role.Master && pod.IP == master {
			err := s.api.ClearMasterLabel(ctx, kube.Pod{Name: pod.Name, UID: pod.UID})
			s.log.Info("took the label master off a pod that a majority of the sentinels finds down or silent", "pod", pod.Name,
				"silent", view.Silent.String(), "down", view.SubjectiveDown, "error", err)
		}
	}
}

// majorityFindsLost asks the other sentinels whether they find this master lost,
// as the local sentinel does. It waits for no more answers than it needs: one may be on the lost node.
func (s *Sentinel) majorityFindsLost(ctx context.Context, master netip.Addr, local role.View) bool {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	pods := s.api.Pods()
	answers := make(chan role.View, len(pods))
	asked := 0
	for _, pod := range pods {
		if !pod.Sentinel || !pod.IP.IsValid() || pod.IP == s.config.PodIP || pod.Overdue(time.Now()) {
			continue
		}
		asked++
		go func() {
			answers <- observe.ViewOf(s.links.To(pod.IP, s.config.SentinelPort).Master(ctx, s.config.MasterName))
		}()
	}
	c := s.live()
	sentinels := max(c.Sentinels, min(local.Known, asked+1)) // the local sentinel may know of more than the settings
	views := []role.View{local}
	for ; asked > 0; asked-- {
		views = append(views, <-answers)
		if role.FoundLost(master, views, sentinels, c.DownAfter) {
			return true
		}
	}
	return role.FoundLost(master, views, sentinels, c.DownAfter)
}
