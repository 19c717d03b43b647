package agent

import (
	"context"
	"net/netip"
	"sort"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// observe asks the local sentinel, the others and, where it matters, the servers.
func (s *Sentinel) observe(ctx context.Context) role.SentinelObservation {
	pods := s.api.Pods()
	s.forget(pods)
	asking, cancel := s.askTime(ctx)
	defer cancel()
	s.views = askSentinels(asking, s.config, s.links, pods)
	o := role.SentinelObservation{
		FailoverTimeout: s.config.FailoverTimeout,
		Running:         s.child != nil, Configured: s.config.Sentinels, First: true,
		Turn:   int(time.Now().Unix()/int64(turnLength.Seconds()))%s.config.Sentinels == s.slot,
		Second: int(time.Now().Unix())%s.config.Sentinels == s.slot,
	}
	for _, v := range s.views {
		if v.pod.UID == s.self.UID {
			o.Own = v.View
			continue
		}
		o.Others = append(o.Others, v.View)
		if v.Reach == role.Answered && v.pod.Name < s.self.Name {
			o.First = false
		}
	}
	if seed, ok := s.readFile(); ok {
		o.FileMaster = seed.Master.Addr()
	}
	answered := !o.Running || o.Own.Reach == role.Answered
	remembers := !o.Running || o.Own.HasMaster && s.observeKnown(ctx, &o, pods)
	now := time.Now()
	if answered && o.Running && !o.Own.Down && s.down.runs() {
		s.upAt = now
	}
	s.down.look(now, answered, o.Running && o.Own.Down)
	s.stale.look(now, remembers, o.Stale)
	s.foreign.look(now, remembers, o.Foreign)
	agreed, ok := o.Agreed()
	mislabelled := false
	for _, pod := range pods {
		mislabelled = mislabelled || ok && pod.Server && pod.Role == role.Master && pod.IP != agreed
	}
	if mislabelled && !s.mislabel.runs() {
		s.recordAt = time.Time{} // another master: the record is another one, too
	}
	s.mislabel.look(now, ok, mislabelled)
	if !o.Running || o.Own.Down || s.mislabel.runs() {
		// The master has perhaps just been found down: another bound than above.
		servers, cancel := s.askTime(ctx)
		defer cancel()
		s.servers = s.askServers(servers, pods)
		if time.Since(s.recordAt) > time.Second {
			if record, err := s.api.Record(ctx); err == nil {
				s.record = record
			}
			s.recordAt = time.Now()
		}
		o.Servers, o.MasterUID = s.servers, s.record.Master.UID
	}
	now = time.Now()
	o.DownFor, o.StaleFor, o.ForeignFor, o.MislabelFor = s.down.span(now), s.stale.span(now), s.foreign.span(now), s.mislabel.span(now)
	return o
}

// observeKnown reads what the local sentinel remembers, and says whether it could.
func (s *Sentinel) observeKnown(ctx context.Context, o *role.SentinelObservation, pods []kube.Pod) bool {
	node := s.links.to(s.config.PodIP, s.config.SentinelPort)
	exists := map[netip.Addr]bool{}
	for _, pod := range pods {
		exists[pod.IP] = true
	}
	known, err := node.KnownReplicas(ctx, s.config.MasterName)
	if err != nil {
		return false
	}
	s.known = known
	for _, replica := range known {
		o.Replicas = append(o.Replicas, replica.Addr.Addr())
		gone := !exists[replica.Addr.Addr()]
		o.Stale = o.Stale || replica.Down && gone
		// A new pod of the release follows its master before the API tells its address.
		o.Foreign = o.Foreign || gone && !replica.Down && (replica.Master || replica.Follows.IsValid() && replica.Follows != o.Own.Master)
	}
	sentinels, err := node.KnownSentinels(ctx, s.config.MasterName)
	if err != nil {
		return false
	}
	for _, other := range sentinels {
		o.Stale = o.Stale || other.Down && !exists[other.Addr.Addr()]
	}
	return true
}

// askServers asks all servers for their role, at once.
func (s *Sentinel) askServers(ctx context.Context, pods []kube.Pod) []role.Peer {
	var servers []role.Peer
	for _, pod := range pods {
		if pod.Server && pod.IP.IsValid() {
			servers = append(servers, role.Peer{Member: role.Member{
				Name: pod.Name, UID: pod.UID, IP: pod.IP, Created: pod.Created, Terminating: pod.Terminating, Label: pod.Role,
			}})
		}
	}
	sort.Slice(servers, func(i, j int) bool { return servers[i].Name < servers[j].Name })
	each(servers, func(p *role.Peer) {
		info, err := s.links.to(p.IP, s.config.RedisPort).Info(ctx)
		p.Redis = reach(err)
		if err == nil {
			p.Master, p.LinkUp, p.Offset = info.Master && !info.Loading, !info.Master && info.LinkUp, info.Offset
		}
		if p.LinkUp || p.Redis == role.Refused {
			return
		}
		// Only the launcher knows whether a replica without its master holds data, and
		// whether it passes connections on in the place of a Redis that does not run.
		var status role.Status
		if web.FetchStatus(ctx, p.IP.String(), s.config.HTTPPort, &status) == nil && status.UID == p.UID {
			p.Status = &status
		}
		if p.Status != nil && p.Status.Passing {
			p.Redis, p.Master = role.Refused, false
		}
	})
	return servers
}

// askTime bounds the questions of one look, and so how late a label is taken off
// a pod that cannot speak for itself, while a failover is under way. One that is not
// over a second after its label may never be, since nobody is left who knows of it:
// then answers are worth waiting for.
func (s *Sentinel) askTime(ctx context.Context) (context.Context, context.CancelFunc) {
	within := func(t time.Time, limit time.Duration) bool { return !t.IsZero() && time.Since(t) < limit }
	if within(s.down.began, failoverTime) || within(s.upAt, failoverTime) || within(s.mislabel.began, mislabelTime) {
		return context.WithTimeout(ctx, failoverAsk)
	}
	return ctx, func() {}
}
