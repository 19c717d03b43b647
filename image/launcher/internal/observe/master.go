package observe

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// serviceTime is how long Service looks up the sentinel Service and asks the sentinels and the master behind it.
const serviceTime = time.Second

// Master asks the master of this replica for its replication history. If that is history, it also asks the master's launcher what the
// master's data are worth. What the master does not answer stays zero. Master takes no longer than QuickAnswer.
func (a Asker) Master(ctx context.Context, master netip.Addr, history string) (told role.Told) {
	ctx, cancel := Limit(ctx, true)
	defer cancel()
	info, err := a.Links.To(master, a.Config.RedisPort).Info(ctx)
	if err != nil || !info.Master {
		return told
	}
	told.History = info.ReplID
	var status role.Status
	if told.History != history || web.FetchStatus(ctx, master.String(), a.Config.HTTPPort, &status) != nil {
		return told
	}
	if status.Standing.Master {
		told.Master = &status.Standing
	}
	told.AtLeast = role.Standing{Generation: status.Standing.Generation, Epoch: status.Standing.Epoch}
	return told
}

// Service asks the sentinel Service for the master. It gives the address of the master if the master says that it is one, and otherwise
// the zero address. A launcher that cannot list the pods for long finds the master that way. Service takes no longer than a second.
func (a Asker) Service(ctx context.Context) netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, serviceTime)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Config.SentinelServiceHost)
	if err != nil {
		a.Log.Debug("the sentinel Service has no address", "error", err)
	}
	for _, ip := range ips {
		view, found, err := a.Links.To(ip.Unmap(), a.Config.SentinelPort).Master(ctx, a.Config.MasterName)
		if err != nil || !found || view.Addr.Addr() == a.Config.PodIP {
			continue
		}
		info, err := a.Links.To(view.Addr.Addr(), a.Config.RedisPort).Info(ctx)
		if err == nil && info.Master {
			return view.Addr.Addr()
		}
	}
	return netip.Addr{}
}
