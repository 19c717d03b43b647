package observe

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// launcherTurn says when the launcher of a server is asked for its status.
type launcherTurn int

const (
	// besideRedis: always, at the same time as Redis.
	besideRedis launcherTurn = iota
	// afterRedis: after Redis, and not if Redis refuses connections or is a replica whose link is up. Only the launcher knows
	// whether a replica without its master holds data, and whether the launcher passes connections on in the place of a Redis that
	// does not run.
	afterRedis
)

// Members gives the server pods as the API has them, by name. Where volumes are kept, a pod that has not run yet may have data.
func (a Asker) Members(pods []kube.Pod) []role.Member {
	var members []role.Member
	for _, pod := range pods {
		if pod.Server {
			members = append(members, role.Member{
				Name: pod.Name, UID: pod.UID, IP: pod.IP, Created: pod.Created, Terminating: pod.Terminating, Ready: pod.Ready, Label: pod.Role,
				NeverRan: pod.NeverRan() && !a.Config.VolumesKept, Revision: pod.Revision, Ordinal: pod.Ordinal,
			})
		}
	}
	slices.SortFunc(members, func(a, b role.Member) int { return cmp.Compare(a.Name, b.Name) })
	return members
}

// Peers asks all servers but this pod at once: each Redis and, at the same time, each launcher. It lists a server without an
// address, too, whose reach is Unknown.
func (a Asker) Peers(ctx context.Context, pods []kube.Pod) []role.Peer {
	others := slices.DeleteFunc(a.Members(pods), func(m role.Member) bool { return m.UID == a.Config.PodUID })
	return a.servers(ctx, others, besideRedis)
}

// Servers asks all servers that have an address at once, each for its role. It asks a launcher only if Redis has not
// settled what the launcher could say.
func (a Asker) Servers(ctx context.Context, pods []kube.Pod) []role.Peer {
	addressed := slices.DeleteFunc(a.Members(pods), func(m role.Member) bool { return !m.IP.IsValid() })
	return a.servers(ctx, addressed, afterRedis)
}

// servers asks servers at once.
func (a Asker) servers(ctx context.Context, members []role.Member, turn launcherTurn) []role.Peer {
	peers := make([]role.Peer, len(members))
	for i, member := range members {
		peers[i].Member = member
	}
	Each(peers, func(p *role.Peer) {
		if p.IP.IsValid() {
			a.server(ctx, p, turn)
		}
	})
	return peers
}

// server asks one server, and notes the answers in p.
func (a Asker) server(ctx context.Context, p *role.Peer, turn launcherTurn) {
	askLauncher := func() { p.Status, p.Launcher = a.status(ctx, p.Member) }
	var launcher sync.WaitGroup
	if turn == besideRedis {
		launcher.Go(askLauncher)
	}
	info, err := a.Links.To(p.IP, a.Config.RedisPort).Info(ctx)
	launcher.Wait()
	a.failed(err)
	if p.Redis = ReachOf(err); err == nil {
		p.Master, p.LinkUp, p.Offset = info.Master && !info.Loading, !info.Master && info.LinkUp, info.Offset
		p.Unlinked, p.History = info.LinkDown, historyOf(info)
	}
	if turn == afterRedis && !p.LinkUp && p.Redis != role.Refused {
		askLauncher()
	}
	if p.Status != nil && p.Status.Passing { // Redis does not run, and the answer came from the successor
		*p = role.Peer{Member: p.Member, Redis: role.Refused, Status: p.Status, Launcher: p.Launcher}
	}
}

// status asks the launcher of a server for its status. A launcher that serves another pod, or has no status yet, gives none.
func (a Asker) status(ctx context.Context, server role.Member) (*role.Status, role.Reach) {
	var status role.Status
	err := web.FetchStatus(ctx, server.IP.String(), a.Config.HTTPPort, &status)
	switch {
	case err == nil && status.UID == server.UID:
		return &status, role.Answered
	case errors.Is(err, web.ErrNotServing):
		return nil, role.Answered
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, role.Refused
	}
	return nil, role.Unknown
}

// historyOf names the replication history of a server.
func historyOf(info redisnode.Info) role.History {
	return role.History{ID: info.ReplID, Before: info.ReplID2, BeforeUpTo: info.SecondOffset}
}

// LookOf gives what the answer of a Redis tells of its data.
func LookOf(info redisnode.Info) role.Look {
	return role.Look{
		Master: info.Master, Loading: info.Loading, LinkUp: info.LinkUp, Lost: !info.Master && !info.LinkUp && info.LinkDown >= 0,
		Syncing: info.Syncing, History: historyOf(info), Offset: info.Offset, BacklogFrom: info.BacklogFrom,
		Rewriting: info.Rewriting, Failed: info.RewriteFailed, Unwritten: !info.AppendOnly, LastSave: info.LastSave,
	}
}
