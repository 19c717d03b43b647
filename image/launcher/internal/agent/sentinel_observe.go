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

// look asks for the facts that the next decision lacks, until it is made, and gives what it was made from.
func (s *Sentinel) look(ctx context.Context) (role.SentinelObservation, role.SentinelDecision) {
	pods := s.api.Pods()
	s.links.Keep(s.config.PodIP, pods)
	facts := s.begin(ctx, pods)
	for {
		next, decision, ask := s.memory.Step(facts, time.Now())
		if ask == (role.SentinelQuestions{}) {
			s.memory = next
			return facts.SentinelObservation, decision
		}
		s.ask(ctx, ask, &facts, pods)
	}
}

// begin asks the sentinels, and the local one what it remembers.
func (s *Sentinel) begin(ctx context.Context, pods []kube.Pod) role.SentinelFacts {
	asking, cancel := askTime(ctx, s.memory.Quick(time.Now()))
	defer cancel()
	s.views = askSentinels(asking, s.config, s.links, pods)
	facts := role.SentinelFacts{SentinelObservation: role.SentinelObservation{
		FailoverTimeout: s.config.FailoverTimeout,
		Running:         s.child != nil, Configured: s.config.Sentinels, First: true,
		Turn:   int(time.Now().Unix()/int64(turnLength.Seconds()))%s.config.Sentinels == s.slot,
		Second: int(time.Now().Unix())%s.config.Sentinels == s.slot,
	}}
	for _, v := range s.views {
		if v.pod.UID == s.self.UID {
			facts.Own = v.View
			continue
		}
		facts.Others = append(facts.Others, v.View)
		if v.Reach == role.Answered && v.pod.Name < s.self.Name {
			facts.First = false
		}
	}
	if seed, ok := s.readFile(); ok {
		facts.FileMaster = seed.Master.Addr()
	}
	for _, pod := range pods {
		if pod.Server {
			facts.Pods = append(facts.Pods, memberOf(pod))
		}
	}
	facts.Remembered = !facts.Running || facts.Own.HasMaster && s.observeKnown(ctx, &facts.SentinelObservation, pods)
	return facts
}

// memberOf is a server pod as the API has it.
func memberOf(pod kube.Pod) role.Member {
	return role.Member{
		Name: pod.Name, UID: pod.UID, IP: pod.IP, Created: pod.Created, Terminating: pod.Terminating, Ready: pod.Ready, Label: pod.Role, NeverRan: pod.NeverRan(),
	}
}

// ask gets the answers to questions.
func (s *Sentinel) ask(ctx context.Context, q role.SentinelQuestions, facts *role.SentinelFacts, pods []kube.Pod) {
	if q.Servers {
		asking, cancel := askTime(ctx, q.Quick)
		defer cancel()
		facts.Servers, facts.Asked.Servers = s.askServers(asking, pods), true
	}
	if q.Record {
		read, err := s.api.Record(ctx)
		facts.MasterUID, facts.RecordFailed, facts.Asked.Record = read.Master.UID, err != nil, true
	}
}

// observeKnown reads what the local sentinel remembers, and says whether it could.
func (s *Sentinel) observeKnown(ctx context.Context, o *role.SentinelObservation, pods []kube.Pod) bool {
	node := s.links.To(s.config.PodIP, s.config.SentinelPort)
	exists := map[netip.Addr]bool{}
	for _, pod := range pods {
		exists[pod.IP] = true
	}
	known, err := node.KnownReplicas(ctx, s.config.MasterName)
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
			servers = append(servers, role.Peer{Member: memberOf(pod)})
		}
	}
	sort.Slice(servers, func(i, j int) bool { return servers[i].Name < servers[j].Name })
	each(servers, func(p *role.Peer) {
		info, err := s.links.To(p.IP, s.config.RedisPort).Info(ctx)
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
