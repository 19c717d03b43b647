package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// look asks for the facts that the next decision lacks, until it is made.
func (s *Server) look(ctx context.Context) role.Plan {
	facts := s.begin(ctx)
	facts.Written = s.taken.Swap(nil)
	for {
		next, plan := s.memory.Step(facts, time.Now())
		if plan.Ask == (role.Questions{}) {
			s.memory = next
			s.generation.Store(s.memory.Own)
			pods := s.api.Pods()
			s.links.Keep(s.config.PodIP, pods)
			s.paceLinks.Keep(s.config.PodIP, pods)
			return plan
		}
		s.ask(ctx, plan.Ask, &facts)
	}
}

// begin asks the own Redis, and gives what is known without asking anybody else.
func (s *Server) begin(ctx context.Context) role.Facts {
	facts := role.Facts{Began: s.turnAt, Own: s.askOwn(ctx), PodsKnown: s.api.Synced(), Settings: s.settings()}
	facts.Self = role.Member{Name: s.self.Name, UID: s.self.UID, IP: s.config.PodIP, Terminating: s.stopping}
	for _, pod := range s.api.Pods() {
		if pod.UID == s.self.UID {
			facts.Self.Created, facts.Self.Label = pod.Created, pod.Role
		}
	}
	return facts
}

// settings are the values that decisions depend on.
func (s *Server) settings() role.Settings {
	return role.Settings{
		Servers: s.config.Servers, Sentinels: s.config.Sentinels, Quorum: s.config.Quorum, DownAfter: s.config.DownAfter, Persistence: s.config.Persistence,
		MinReplicas: s.config.MinReplicas, MasterService: s.config.SentinelServiceHost != "",
	}
}

// ask gets the answers to questions.
func (s *Server) ask(ctx context.Context, q role.Questions, facts *role.Facts) {
	asked := &facts.Asked
	switch {
	case q.Sentinels || q.Servers:
		s.askOthers(ctx, q, s.api.Pods(), facts)
		asked.Sentinels, asked.Servers = asked.Sentinels || q.Sentinels, asked.Servers || q.Servers
	case q.Record:
		if written := s.taken.Swap(nil); written != nil {
			facts.Written = written // since the look began
		}
		read, err := s.readRecord(ctx)
		facts.Record, facts.RecordLate, facts.RecordFailed = read, errors.Is(err, errRecordLate), err != nil
		asked.Record = true
	case q.Master.IsValid():
		facts.Told = s.askMaster(ctx, q.Master, facts.Own.History.ID)
		asked.Master = q.Master
	case q.Service:
		facts.Service = s.askService(ctx)
		asked.Service = true
	}
}

// askOthers asks the sentinels and the other servers, at the same time.
func (s *Server) askOthers(ctx context.Context, q role.Questions, pods []kube.Pod, facts *role.Facts) {
	ctx, cancel := askTime(ctx, q.Quick)
	defer cancel()
	var asked sync.WaitGroup
	if q.Servers {
		asked.Go(func() { facts.Peers = s.askPeers(ctx, pods) })
	}
	if q.Sentinels {
		began := time.Now()
		s.views = askSentinels(ctx, s.config, s.links, pods)
		for _, v := range s.views {
			facts.Views = append(facts.Views, v.View)
			s.notePassword(v.err)
		}
		s.guard.HeardSentinels(began, role.Observation{Sentinels: s.config.Sentinels, Views: facts.Views}.CutOff())
	}
	asked.Wait()
}

// askTime bounds the time for the answers to questions, where they are not worth waiting for: a failover is under way, or may be.
func askTime(ctx context.Context, quick bool) (context.Context, context.CancelFunc) {
	if quick {
		return context.WithTimeout(ctx, failoverAsk)
	}
	return context.WithCancel(ctx)
}

// askOwn asks the own Redis.
func (s *Server) askOwn(ctx context.Context) role.Own {
	if s.child == nil {
		return role.Own{At: time.Now()}
	}
	info, err := s.local().Info(ctx)
	own := role.Own{At: time.Now(), Running: true, Answered: err == nil, Full: errors.Is(err, redisnode.ErrFull)}
	if own.Full != s.full {
		s.full = own.Full
		s.noteFull(own.Full)
	}
	if err != nil {
		if !own.Full && s.memory.Silent(own.At) > 5*time.Second {
			s.log.Debug("redis-server does not answer", "error", err)
		}
		return own
	}
	s.demoting = s.demoting || s.info.Master && !info.Master // somebody else has demoted it: its clients must come back to the master
	s.info = info
	s.pacer.Look(info)
	own.Look, own.Follows, own.Unlinked = lookOf(info), info.MasterAddr.Addr(), info.LinkDown
	for _, r := range info.Replicas {
		if r.Acknowledges(s.config.MinReplicasMaxLag) {
			own.Online++
		}
	}
	return own
}

// noteFull logs that Redis refuses the launcher as a client, and the end of that.
func (s *Server) noteFull(full bool) {
	if full {
		s.log.Error("redis-server refuses the launcher as a client; role and labels stay as they are", "error", redisnode.ErrFull)
	} else {
		s.log.Info("redis-server takes the launcher as a client again")
	}
}

// askPeers asks the other servers, at once: their Redis and their launchers.
func (s *Server) askPeers(ctx context.Context, pods []kube.Pod) []role.Peer {
	var peers []role.Peer
	for _, pod := range pods {
		if pod.Server && pod.UID != s.config.PodUID {
			peers = append(peers, role.Peer{Member: memberOf(pod)})
		}
	}
	each(peers, func(p *role.Peer) {
		if !p.IP.IsValid() {
			return
		}
		statusKnown := make(chan struct{})
		go func() {
			defer close(statusKnown)
			var status role.Status
			err := web.FetchStatus(ctx, p.IP.String(), s.config.HTTPPort, &status)
			switch {
			case err == nil && status.UID == p.UID:
				p.Status, p.Launcher = &status, role.Answered
			case errors.Is(err, web.ErrNotServing):
				p.Launcher = role.Answered
			case errors.Is(err, syscall.ECONNREFUSED):
				p.Launcher = role.Refused
			}
		}()
		info, err := s.links.To(p.IP, s.config.RedisPort).Info(ctx)
		<-statusKnown
		p.Redis = reach(err)
		s.notePassword(err)
		if p.Status != nil && p.Status.Passing {
			p.Redis = role.Refused
			return
		}
		if err == nil {
			p.Master, p.LinkUp, p.Offset = info.Master && !info.Loading, !info.Master && info.LinkUp, info.Offset
			p.Unlinked, p.History = info.LinkDown, historyOf(info)
		}
	})
	return peers
}

// historyOf names the replication history of a server.
func historyOf(info redisnode.Info) role.History {
	return role.History{ID: info.ReplID, Before: info.ReplID2, BeforeUpTo: info.SecondOffset}
}

// lookOf is what the answer of the own Redis tells of its data.
func lookOf(info redisnode.Info) role.Look {
	return role.Look{
		Master: info.Master, Loading: info.Loading, LinkUp: info.LinkUp, Lost: !info.Master && !info.LinkUp && info.LinkDown >= 0,
		Syncing: info.Syncing, History: historyOf(info), Offset: info.Offset, BacklogFrom: info.BacklogFrom,
		Rewriting: info.Rewriting, Failed: info.RewriteFailed, Unwritten: !info.AppendOnly,
	}
}

// notePassword logs once that another pod has another password.
func (s *Server) notePassword(err error) {
	if errors.Is(err, redisnode.ErrPassword) && s.wrongPassword.CompareAndSwap(false, true) {
		s.log.Error("passwords differ", "error", err)
	}
}

// askService asks the sentinel Service for the master, and gives its address if it says that it is master. It serves where the pod
// list is not to be had for long.
func (s *Server) askService(ctx context.Context) netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.config.SentinelServiceHost)
	if err != nil {
		s.log.Debug("the sentinel Service has no address", "error", err)
	}
	for _, ip := range ips {
		view, found, err := s.links.To(ip.Unmap(), s.config.SentinelPort).Master(ctx, s.config.MasterName)
		if err != nil || !found || view.Addr.Addr() == s.config.PodIP {
			continue
		}
		info, err := s.links.To(view.Addr.Addr(), s.config.RedisPort).Info(ctx)
		if err == nil && info.Master {
			return view.Addr.Addr()
		}
	}
	return netip.Addr{}
}
