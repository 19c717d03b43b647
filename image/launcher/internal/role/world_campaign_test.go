package role

import (
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// campaignStage is a moment in which the launcher that replaces a dead master may end.
type campaignStage int

const (
	ranToItsEnd campaignStage = iota
	endedAfterTheFence
	endedAfterTheVotes
	endedAfterThePromotion
	endedAfterOneSentinelWasTold
	campaignStages
)

// nextCampaign says where the next campaign ends: every second one somewhere in the middle.
func (w *world) nextCampaign() campaignStage {
	w.campaigns++
	if w.campaigns%2 == 0 {
		return ranToItsEnd
	}
	return campaignStage(w.campaigns / 2 % int(campaignStages))
}

// breakOff is the end of the launcher in the middle of a campaign. Its container starts again.
func (s *simServer) breakOff(w *world, after string) {
	w.logf("the launcher of %s ends when it has %s", s.Name, after)
	w.restart(s, time.Second)
}

// simDead is agent.dead.
type simDead struct {
	uid      string
	master   netip.Addr
	replicas []Replica
}

// replaceDead is agent.replaceDead. false: a sentinel can do it.
func (s *simServer) replaceDead(w *world, m simDead) (done bool) {
	for _, other := range w.sentinels {
		if s.hears(w, other) && other.leads != nil {
			return true
		}
	}
	heir := s.foremost(w, m.replicas)
	if heir == nil || !w.apiServes(&s.pod) {
		return false
	}
	if done, fenced := s.fenceDead(w, m, heir.UID); !fenced {
		return done
	}
	end := w.nextCampaign()
	if end == endedAfterTheFence {
		s.breakOff(w, "fenced the master")
		return true
	}
	epoch, elected := s.campaign(w, m.master)
	switch {
	case !elected:
		return false
	case end == endedAfterTheVotes:
		s.breakOff(w, "been elected")
		return true
	}
	w.mayBecomeMaster(heir)
	heir.becomeMaster(w, "promoted by the launcher of "+s.Name)
	if end == endedAfterThePromotion {
		s.breakOff(w, "promoted the successor")
		return true
	}
	s.tellOthers(w, m.master, heir, epoch, end == endedAfterOneSentinelWasTold)
	return true
}

// tellOthers is agent.tellOthers.
func (s *simServer) tellOthers(w *world, master netip.Addr, heir *simServer, epoch int64, onlyOne bool) {
	for _, other := range w.sentinels {
		if s.hears(w, other) && other.configEpoch < epoch {
			other.switchTo(w, heir.IP, epoch)
			if onlyOne {
				s.breakOff(w, "told one sentinel")
				return
			}
		}
	}
	for _, other := range w.servers {
		if other != heir && other.alive(w) && reaches(&s.pod, &other.pod) && !other.redis.master && other.redis.follows == master {
			other.follow(w, heir.IP)
		}
	}
}

func (s *simServer) hears(w *world, other *simSentinel) bool {
	return other.running && w.now >= other.thawAt && reaches(&s.pod, &other.pod)
}

// foremost is agent.foremost.
func (s *simServer) foremost(w *world, replicas []Replica) *simServer {
	var best *simServer
	for _, h := range replicas {
		r := w.serverAt(h.IP)
		if r == nil || !r.alive(w) || !reaches(&s.pod, &r.pod) || r.redis.master || r.redis.history != h.History || r.redis.offset < h.Offset {
			continue
		}
		if best == nil || r.redis.offset > best.redis.offset {
			best = r
		}
	}
	return best
}

// fenceDead is agent.fenceDead.
func (s *simServer) fenceDead(w *world, m simDead, heir string) (done, fenced bool) {
	r, own := &w.record, m.uid == s.UID
	young := r.fence != "" && w.now-r.fencedAt < record.CarrierPatience
	switch {
	case r.uid != m.uid:
		return !own, false
	case young && r.fencedBy != "" && r.fencedBy != s.Name, young && !own && r.fencedBy == "" && r.successor == "":
		return true, false
	}
	r.version++
	r.fence, r.fencedAt, r.fencedBy, r.successor = m.uid, w.now, s.Name, heir
	if own {
		r.fencedBy = ""
	}
	w.logf("%s fences %s", s.Name, m.uid)
	return false, true
}

// campaign is agent.campaign.
func (s *simServer) campaign(w *world, master netip.Addr) (epoch int64, elected bool) {
	var voters []*simSentinel
	for _, other := range w.sentinels {
		if s.hears(w, other) && other.master == master {
			voters = append(voters, other)
			epoch = max(epoch, other.currentEpoch)
		}
	}
	epoch++
	for _, other := range voters {
		other.currentEpoch, other.triedAt = epoch, w.now
	}
	return epoch, len(voters) > simSentinels/2
}

// callOff is agent.callOff.
func (s *simServer) callOff(w *world, master netip.Addr) {
	for i, v := range s.views {
		if v.FailingOver && v.Master == master {
			w.logf("%s calls the failover of %s off", s.Name, s.sentinels[i].Name)
			s.failedAt = never
			s.sentinels[i].stop()
		}
	}
}

// failOver replaces the master, or commands a failover to one sentinel.
func (s *simServer) failOver(w *world, o Observation, d Decision) {
	pause, master := 2*time.Second, s.IP
	if d.Action == Nudge {
		pause, master = 10*time.Second, d.Target
	}
	if w.now-s.failedAt < pause {
		return
	}
	s.failedAt = w.now
	dead := simDead{uid: s.UID, master: s.IP, replicas: o.Replicas(s.servedHistory)}
	if d.Action == ReplaceDead {
		dead.uid, dead.master, dead.replicas = s.record.uid, d.Target, o.Replicas(o.Local.History.ID)
	}
	if d.Action != Nudge && s.replaceDead(w, dead) {
		return
	}
	switch d.Action {
	case FailOver:
		if r := s.record; r.fence == s.UID && r.fencedBy != "" && r.fencedBy != s.Name && w.now-r.fencedAt < record.CarrierPatience {
			return
		}
		if w.apiServes(&s.pod) && w.record.uid == s.UID {
			s.fence(w, s.UID, "", "")
		}
	case ReplaceDead:
		master = d.Target
		if !w.apiServes(&s.pod) || w.record.uid != s.record.uid || w.record.fence != "" && w.record.successor == "" && w.now-w.record.fencedAt < record.CarrierPatience {
			return
		}
		s.fence(w, w.record.uid, s.Name, "")
	case Nudge:
		recent := func(at time.Duration) bool { return at > 0 && w.now-at < pause }
		if !w.apiServes(&s.pod) || recent(w.record.orderedAt) || w.record.fence != "" && recent(w.record.fencedAt) {
			return
		}
		w.record.version++
		w.record.orderedAt = w.now
		s.readRecord(w)
	}
	for _, v := range s.views {
		if v.FailingOver {
			return
		}
	}
	for i, v := range s.views {
		if v.Reach == Answered && v.HasMaster && v.Master == master && s.sentinels[i].failOver(w) {
			return
		}
	}
}

// fence is agent.fence.
func (s *simServer) fence(w *world, uid, by, successor string) {
	w.record.version++
	w.record.fence, w.record.fencedAt, w.record.fencedBy, w.record.successor = uid, w.now, by, successor
	s.readRecord(w)
	w.logf("%s fences %s", s.Name, uid)
}
