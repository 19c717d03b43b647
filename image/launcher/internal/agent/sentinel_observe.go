package agent

import (
	"context"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/identity"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// joinPatience is how long a sentinel waits to join the others, unless most do not answer. They hear of each other within 2 s (Sentinel's SENTINEL_PUBLISH_PERIOD); the
// documentation of Sentinel advises 30 s between two new sentinels.
const joinPatience = 30 * time.Second

// asker gives what asks the others in the name of this pod.
func (s *Sentinel) asker() observe.Asker {
	return observe.Asker{Config: s.live(), Links: s.links, Log: s.log}
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
		FailoverTimeout: s.live().FailoverTimeout,
		Running:         s.child != nil, Configured: s.live().Sentinels, First: true, Uncertified: s.certified != s.certificates.Folder(),
		Turn:   s.turnOf(pods, time.Now().Unix()/int64(turnLength.Seconds())),
		Second: s.turnOf(pods, time.Now().Unix()),
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
	if !facts.Running {
		facts.Joining = s.waitsToJoin(ctx)
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

// waitsToJoin says whether the sentinel of this pod must not start yet, because the others do not know each other.
func (s *Sentinel) waitsToJoin(ctx context.Context) bool {
	j := role.Joining{ID: s.id}
	for slot := range s.slots.Holders {
		if slot < s.slot {
			j.Before = append(j.Before, identity.ID(s.slots.Cluster, slot))
		}
	}
	lists := make([][]string, len(s.views))
	asking, cancel := observe.Limit(ctx, false)
	defer cancel()
	var wait sync.WaitGroup
	for i, v := range s.views {
		if v.Reach == role.Answered && v.HasMaster && v.Pod.UID != s.self.UID {
			wait.Go(func() { lists[i] = s.knows(asking, v) })
		}
	}
	wait.Wait()
	for _, list := range lists {
		if list != nil {
			j.Knows = append(j.Knows, list)
		}
	}
	if !j.Waits(false) {
		s.joining = time.Time{}
		return false
	}
	if s.joining.IsZero() {
		s.joining = time.Now()
	}
	return time.Since(s.joining) < joinPatience || j.Waits(true)
}

// knows gives the IDs of the sentinels that a sentinel knows, its own first; nil if it does not answer.
func (s *Sentinel) knows(ctx context.Context, v observe.SentinelView) []string {
	id, err := v.Node.ID(ctx)
	if err != nil {
		return nil
	}
	known, err := v.Node.KnownSentinels(ctx, s.config.MasterName)
	if err != nil {
		return nil
	}
	ids := []string{id}
	for _, other := range known {
		ids = append(ids, other.ID)
	}
	return ids
}
