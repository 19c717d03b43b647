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
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// sentinelView is one sentinel pod and what it believes.
type sentinelView struct {
	pod  kube.Pod
	node *redisnode.Node
	err  error
	// voted: it has voted for this launcher in the last campaign.
	voted bool
	role.View
}

// askSentinels asks all sentinel pods for their view of the master, at once. A pod that
// should have ended is left out: its identity may be that of another pod by now, and
// both would count.
func askSentinels(ctx context.Context, c config.Config, l *Links, pods []kube.Pod) []sentinelView {
	var views []sentinelView
	for _, pod := range pods {
		if pod.Sentinel && pod.IP.IsValid() && !(pod.Terminating && !pod.Ready) && !pod.Overdue(time.Now()) {
			views = append(views, sentinelView{pod: pod, node: l.To(pod.IP, c.SentinelPort)})
		}
	}
	each(views, func(v *sentinelView) {
		master, found, err := v.node.Master(ctx, c.MasterName)
		v.View, v.err = viewOf(master, found, err), err
	})
	return views
}

// viewOf is the answer of a sentinel to the question for its master.
func viewOf(master redisnode.MasterView, found bool, err error) role.View {
	if err != nil || !found {
		return role.View{Reach: reach(err)}
	}
	return role.View{
		Reach: role.Answered, HasMaster: true, Master: master.Addr.Addr(), ConfigEpoch: master.ConfigEpoch,
		Down: master.SubjectiveDown || master.ObjectiveDown, DownFor: master.DownFor, Silent: master.Silent,
		FailingOver: master.FailingOver, Unelected: master.Unelected, Switched: master.Switched, Chosen: master.Chosen, Promoting: master.Promoting,
	}
}

// roleViews are what sentinels believe, without their pods.
func roleViews(views []sentinelView) []role.View {
	out := make([]role.View, len(views))
	for i, v := range views {
		out[i] = v.View
	}
	return out
}

// each calls f for every element at once and waits for all.
func each[T any](list []T, f func(*T)) {
	var wait sync.WaitGroup
	for i := range list {
		wait.Go(func() { f(&list[i]) })
	}
	wait.Wait()
}

// reach is what a call says for decisions. An error in reply (a wrong password)
// tells nothing about roles, so it counts as no answer.
func reach(err error) role.Reach {
	switch {
	case err == nil:
		return role.Answered
	case redisnode.ReachOf(err) == redisnode.Refused:
		return role.Refused
	default:
		return role.Unknown
	}
}

var errFailoverRunning = errors.New("a sentinel is replacing the master, or has replaced it")

// commandFailover tells one sentinel to replace master, and gives its name. A sentinel
// in TILT is passed over: it would obey some seconds later. If a sentinel refuses, the
// next one is told. If it does not answer, nobody else is told, since it may have obeyed.
// If it is replacing the master already, the error is errFailoverRunning.
// foremost are the replicas to promote one of; nil: it does not matter which.
func commandFailover(ctx context.Context, c config.Config, views []sentinelView, master netip.Addr, foremost []netip.Addr) (string, error) {
	if failingOver(views) {
		return "", errFailoverRunning
	}
	return tellOne(ctx, c, byChoice(ctx, c, views, foremost), master)
}

func failingOver(views []sentinelView) bool {
	return slices.ContainsFunc(views, func(v sentinelView) bool { return v.FailingOver })
}

// tellOne is commandFailover for sentinels none of which is known to be at it, in
// this order.
func tellOne(ctx context.Context, c config.Config, views []sentinelView, master netip.Addr) (string, error) {
	var problems []error
	for _, v := range views {
		if v.Reach != role.Answered || !v.HasMaster || v.Master != master {
			continue
		}
		// Its view may be old by now: whoever it names is whom it would replace.
		now, found, err := v.node.Master(ctx, c.MasterName)
		switch {
		case err == nil && now.FailingOver:
			return "", errFailoverRunning
		case err == nil && (!found || now.Addr.Addr() != master):
			return "", fmt.Errorf("%w: sentinel %s names %v by now", errFailoverRunning, v.pod.Name, now.Addr)
		}
		if err := ableToAct(ctx, v); err != nil {
			problems = append(problems, err)
			continue
		}
		err = v.node.FailOver(ctx, c.MasterName)
		switch {
		case err == nil:
			return v.pod.Name, nil
		case errors.Is(err, redisnode.ErrFailoverRunning):
			return "", fmt.Errorf("%w: sentinel %s has begun", errFailoverRunning, v.pod.Name)
		}
		problems = append(problems, fmt.Errorf("sentinel %s: %w", v.pod.Name, err))
		if redisnode.ReachOf(err) == redisnode.Unknown {
			break
		}
	}
	return "", fmt.Errorf("no sentinel replaces the master: %w", errors.Join(problems...))
}

// ableToAct says why a sentinel would not carry out a command at once; nil: it would.
func ableToAct(ctx context.Context, v sentinelView) error {
	tilted, err := v.node.Tilted(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("sentinel %s does not answer: %w", v.pod.Name, err)
	case tilted:
		return fmt.Errorf("sentinel %s is in TILT", v.pod.Name)
	}
	return nil
}
