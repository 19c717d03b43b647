package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// asker gives what asks the others in the name of this pod.
func (s *Server) asker() observe.Asker {
	return observe.Asker{Config: s.live(), Links: s.links, Log: s.log, Failed: s.notePassword}
}

// look asks for the facts that the next decision lacks, until it is made.
func (s *Server) look(ctx context.Context) role.Plan {
	facts := s.begin(ctx)
	facts.Written = s.takeWritten(facts.Own)
	for {
		next, plan := s.memory.Step(facts, time.Now())
		if plan.Ask == (role.Questions{}) {
			s.memory = next
			s.generation.Store(s.memory.Own)
			s.known.Store(s.memory.Record.Generation)
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
	facts := role.Facts{Began: s.turnAt, Own: s.askOwn(ctx), PodsKnown: s.api.Synced(), Settings: s.settings(), Replacing: s.replacing != nil && !s.replacing.at(restoration.Fetching)}
	facts.Self = s.member(s.api.Pods())
	return facts
}

// member gives this pod, with what the API tells of it.
func (s *Server) member(pods []kube.Pod) role.Member {
	self := role.Member{Name: s.self.Name, UID: s.self.UID, IP: s.config.PodIP, Volume: s.self.Volume, Terminating: s.stopping}
	for _, pod := range pods {
		if pod.UID == self.UID {
			self.Created, self.Label, self.Revision, self.Ordinal = pod.Created, pod.Role, pod.Revision, pod.Ordinal
		}
	}
	return self
}

// settings are the values that decisions depend on.
func (s *Server) settings() role.Settings {
	return role.Settings{
		Servers: s.live().Servers, Sentinels: s.live().Sentinels, Quorum: s.live().Quorum, DownAfter: s.live().DownAfter, Persistence: s.config.Persistence, VolumesKept: s.config.VolumesKept,
		RestoreFrom: s.config.Backup.RestoreFrom, External: s.external(), MinReplicas: s.live().MinReplicas, MasterService: s.config.SentinelServiceHost != "",
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
		if written := s.takeWritten(facts.Own); written != nil {
			facts.Written = written // since the look began
		}
		read, err := s.readRecord(ctx)
		facts.Record, facts.RecordLate, facts.RecordFailed = read, errors.Is(err, errRecordLate), err != nil
		asked.Record = true
	case q.Master.IsValid():
		facts.Told = s.asker().Master(ctx, q.Master, facts.Own.History.ID)
		asked.Master = q.Master
	case q.Service:
		facts.Service = s.asker().Service(ctx)
		asked.Service = true
	}
}

// askOthers asks the sentinels and the other servers, at the same time.
func (s *Server) askOthers(ctx context.Context, q role.Questions, pods []kube.Pod, facts *role.Facts) {
	ctx, cancel := observe.Limit(ctx, q.Quick)
	defer cancel()
	var asked sync.WaitGroup
	if q.Servers {
		asked.Go(func() { facts.Peers = s.asker().Peers(ctx, pods) })
	}
	if q.Sentinels {
		began := time.Now()
		s.views = s.asker().Sentinels(ctx, pods)
		s.sentinelTimes.hear(s.views)
		facts.Views = observe.Views(s.views)
		s.guard.HeardSentinels(began, role.Observation{Sentinels: s.live().Sentinels, Views: facts.Views}.Replaceable())
	}
	asked.Wait()
}

// askOwn asks the own Redis.
func (s *Server) askOwn(ctx context.Context) role.Own {
	if s.child == nil {
		return role.Own{At: time.Now()}
	}
	info, err := s.local().Info(ctx)
	full := errors.Is(err, redisnode.ErrFull)
	if full != s.full {
		s.full = full
		s.noteFull(full)
	}
	if err != nil {
		silent := role.Own{At: time.Now(), Running: true, Full: full}
		if !full && s.memory.Silent(silent.At) > 5*time.Second {
			s.log.Debug("redis-server does not answer", "error", err)
		}
		return silent
	}
	s.demoting = s.demoting || s.info.Master && !info.Master // somebody else has demoted it: its clients must come back to the master
	s.info = info
	s.pacer.Look(info)
	return s.own(info)
}

// own is what the own Redis has told just now.
func (s *Server) own(info redisnode.Info) role.Own {
	own := role.Own{
		At: time.Now(), Running: true, Answered: true, Look: observe.LookOf(info), Follows: info.MasterAddr.Addr(), Unlinked: info.LinkDown,
	}
	for _, r := range info.Replicas {
		if r.Acknowledges(s.live().MinReplicasMaxLag) {
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

// notePassword logs once that another pod has another password.
func (s *Server) notePassword(err error) {
	if errors.Is(err, redisnode.ErrPassword) && s.wrongPassword.CompareAndSwap(false, true) {
		s.log.Error("passwords differ", "error", err)
	}
}
