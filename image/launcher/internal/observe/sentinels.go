package observe

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// SentinelView is a sentinel pod and what its sentinel believes.
type SentinelView struct {
	Pod  kube.Pod
	Node *redisnode.Node // the connection to the sentinel
	// Settings are those that it works with; zero where it names no master.
	Settings redisnode.Settings
	role.View
}

// Sentinels asks all sentinel pods for their view of the master, at once. It leaves out a pod that should have ended: another pod may
// have its identity by now, and both would count.
func (a Asker) Sentinels(ctx context.Context, pods []kube.Pod) []SentinelView {
	var views []SentinelView
	for _, pod := range pods {
		if pod.Sentinel && pod.IP.IsValid() && !(pod.Terminating && !pod.Ready) && !pod.Overdue(time.Now()) {
			views = append(views, SentinelView{Pod: pod, Node: a.Links.To(pod.IP, a.Config.SentinelPort)})
		}
	}
	Each(views, func(v *SentinelView) {
		master, found, err := v.Node.Master(ctx, a.Config.MasterName)
		v.View, v.Settings = ViewOf(master, found, err), master.Settings
		a.failed(err)
	})
	return views
}

// QuickSentinels is Sentinels with no more time for all answers than QuickAnswer.
func (a Asker) QuickSentinels(ctx context.Context, pods []kube.Pod) []SentinelView {
	ctx, cancel := Limit(ctx, true)
	defer cancel()
	return a.Sentinels(ctx, pods)
}

// ViewOf gives the answer of a sentinel to the question for its master. The arguments are the results of redisnode.Node.Master.
func ViewOf(master redisnode.MasterView, found bool, err error) role.View {
	if err != nil || !found {
		return role.View{Reach: ReachOf(err)}
	}
	return role.View{
		Reach: role.Answered, HasMaster: true, Master: master.Addr.Addr(), Known: master.Known + 1, ConfigEpoch: master.ConfigEpoch,
		Down: master.SubjectiveDown || master.ObjectiveDown, DownFor: master.DownFor, Silent: master.Silent,
		FailingOver: master.FailingOver, Unelected: master.Unelected, Switched: master.Switched, Chosen: master.Chosen, Promoting: master.Promoting,
	}
}

// Views gives what the sentinels believe, without their pods.
func Views(sentinels []SentinelView) []role.View {
	out := make([]role.View, len(sentinels))
	for i, v := range sentinels {
		out[i] = v.View
	}
	return out
}

// FailingOver says whether one of the sentinels leads a failover.
func FailingOver(sentinels []SentinelView) bool {
	return slices.ContainsFunc(sentinels, func(v SentinelView) bool { return v.FailingOver })
}

// Remembered asks the sentinel of this pod for the replicas and sentinels that it remembers, and adds them to o. o.Own must be the view
// of that sentinel. The result is false if the sentinel does not answer; o may then have a part of the answer.
func (a Asker) Remembered(ctx context.Context, o *role.SentinelObservation, pods []kube.Pod) bool {
	node := a.Links.To(a.Config.PodIP, a.Config.SentinelPort)
	exists := map[netip.Addr]bool{}
	for _, pod := range pods {
		exists[pod.IP] = true
	}
	known, err := node.KnownReplicas(ctx, a.Config.MasterName)
	if err != nil {
		return false
	}
	for _, replica := range known {
		o.Replicas = append(o.Replicas, replica.Addr.Addr())
		gone := !exists[replica.Addr.Addr()]
		o.Stale = o.Stale || replica.Down && gone
		// A new pod of the release follows its master before the API tells its address.
		o.Foreign = o.Foreign || gone && !replica.Down && (replica.Master || replica.Follows.IsValid() && replica.Follows != o.Own.Master)
	}
	sentinels, err := node.KnownSentinels(ctx, a.Config.MasterName)
	if err != nil {
		return false
	}
	for _, other := range sentinels {
		// A single sentinel may remember the sentinel in whose name a launcher has told it of a new master.
		o.Stale = o.Stale || other.Down && (!exists[other.Addr.Addr()] || a.Config.Sentinels == 1)
	}
	return true
}
