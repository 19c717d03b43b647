package agent

import (
	"context"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// asker gives what asks the others in the name of this pod.
func (s *Sentinel) asker() observe.Asker {
	return observe.Asker{Config: s.config, Links: s.links, Log: s.log}
}

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
	asking, cancel := observe.Limit(ctx, s.memory.Quick(time.Now()))
	defer cancel()
	s.views = s.asker().Sentinels(asking, pods)
	facts := role.SentinelFacts{SentinelObservation: role.SentinelObservation{
		FailoverTimeout: s.config.FailoverTimeout,
		Running:         s.child != nil, Configured: s.config.Sentinels, First: true,
		Turn:   int(time.Now().Unix()/int64(turnLength.Seconds()))%s.config.Sentinels == s.slot,
		Second: int(time.Now().Unix())%s.config.Sentinels == s.slot,
	}}
	for _, v := range s.views {
		if v.Pod.UID == s.self.UID {
			facts.Own = v.View
			continue
		}
		facts.Others = append(facts.Others, v.View)
		if v.Reach == role.Answered && v.Pod.Name < s.self.Name {
			facts.First = false
		}
	}
	if seed, ok := s.readFile(); ok {
		facts.FileMaster = seed.Master.Addr()
	}
	facts.Pods = s.asker().Members(pods)
	facts.Remembered = !facts.Running || facts.Own.HasMaster && s.asker().Remembered(ctx, &facts.SentinelObservation, pods)
	return facts
}

// ask gets the answers to questions.
func (s *Sentinel) ask(ctx context.Context, q role.SentinelQuestions, facts *role.SentinelFacts, pods []kube.Pod) {
	if q.Servers {
		asking, cancel := observe.Limit(ctx, q.Quick)
		defer cancel()
		facts.Servers, facts.Asked.Servers = s.asker().Servers(asking, pods), true
	}
	if q.Record {
		read, err := s.api.Record(ctx)
		facts.MasterUID, facts.RecordFailed, facts.Asked.Record = read.Master.UID, err != nil, true
	}
}
