package role

import (
	"errors"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
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

// replaceLost is succession.Carrier.ReplaceLost.
func (s *simServer) replaceLost(w *world, lost Lost) Ending {
	read, recorded, err := s.recordOf(w, lost)
	switch {
	case errors.Is(err, record.ErrReplaced):
		return ReplacedByAnother
	case err != nil:
		return Failed
	}
	for _, other := range w.sentinels {
		if s.hears(w, other) && other.leads != nil {
			return ReplacedByAnother
		}
	}
	best, err := s.offers(w, lost).Foremost()
	successor := w.serverAt(best.IP)
	switch {
	case errors.Is(err, record.ErrReplaced):
		return ReplacedByAnother
	case err != nil || successor == nil:
		return Failed
	}
	if recorded && !s.write(w, read.FenceLost(lost.Lost, s.record(), successor.UID, w.clock())) {
		s.memory.ReadAgain()
		return Failed // the next look begins once more, as ReplaceLost does
	}
	w.logf("%s replaces %s, recorded: %v", s.Name, lost.UID, recorded)
	return s.replaceBy(w, lost, successor, recorded)
}

// errNoAPI says that a launcher does not reach the API.
var errNoAPI = errors.New("the API does not answer")

// recordOf gives the record of a lost master. recorded is false where the launcher of the master goes on without the record.
func (s *simServer) recordOf(w *world, lost Lost) (read record.Record, recorded bool, err error) {
	if !w.apiServes(&s.pod) {
		if lost.UID != s.UID {
			return read, false, errNoAPI
		}
		return read, false, nil
	}
	read = s.memory.Record
	if !s.memory.RecordKnown || read.Replaceable(lost.Lost, s.record(), w.clock()) != nil {
		read = w.record
	}
	err = read.Replaceable(lost.Lost, s.record(), w.clock())
	if errors.Is(err, record.ErrNotRecorded) {
		return read, false, nil
	}
	return read, true, err
}

// replaceBy is the part of an attempt that follows the fence. The launcher may end anywhere in it. recorded says that the record names the successor.
func (s *simServer) replaceBy(w *world, lost Lost, successor *simServer, recorded bool) Ending {
	end, master := w.nextCampaign(), lost.at()
	if end == endedAfterTheFence {
		s.breakOff(w, "fenced the master")
		return Replaced
	}
	epoch, elected := s.campaign(w, master)
	if !elected && (lost.Silent || !recorded || !s.memory.Attempts.Unvoted()) {
		return NotElected
	}
	switch outcome := s.stillElected(w, lost, epoch, elected); {
	case outcome == Superseded || outcome == Obsolete:
		return ReplacedByAnother
	case outcome != Upheld:
		return Failed
	case end == endedAfterTheVotes:
		s.breakOff(w, "been elected")
		return Replaced
	}
	w.mayBecomeMaster(successor)
	successor.becomeMaster(w, "promoted by the launcher of "+s.Name)
	if end == endedAfterThePromotion {
		s.breakOff(w, "promoted the successor")
		return Replaced
	}
	s.tellOthers(w, master, successor, epoch, end == endedAfterOneSentinelWasTold)
	return Replaced
}

// at is the address of a lost master, which the simulated release always knows.
func (l Lost) at() netip.Addr {
	ip, _ := l.Address()
	return ip
}

// write writes the record, and remembers it.
func (s *simServer) write(w *world, r record.Record) bool {
	written, ok := w.write(r)
	if ok {
		s.memory.SetRecord(written, w.clock())
	}
	return ok
}

// tellOthers is what a launcher does after a promotion.
func (s *simServer) tellOthers(w *world, master netip.Addr, successor *simServer, epoch int64, onlyOne bool) {
	for _, other := range w.sentinels {
		if s.hears(w, other) && other.configEpoch < epoch {
			other.switchTo(w, successor.IP, epoch)
			if onlyOne {
				s.breakOff(w, "told one sentinel")
				return
			}
		}
	}
	for _, other := range w.servers {
		if other != successor && other.alive(w) && reaches(&s.pod, &other.pod) && !other.redis.master && other.redis.follows == master {
			other.follow(w, successor.IP)
		}
	}
}

func (s *simServer) hears(w *world, other *simSentinel) bool {
	return other.running && w.now >= other.thawAt && reaches(&s.pod, &other.pod)
}

// offers are the answers of the replicas of a lost master.
func (s *simServer) offers(w *world, lost Lost) Offers {
	offers := NewOffers(lost.Replicas)
	for range offerTries {
		for i := range offers {
			offer := &offers[i]
			r := w.serverAt(offer.IP)
			switch {
			case r == nil || !reaches(&s.pod, &r.pod) || r.redis.running && !r.alive(w):
				offer.Take(Unknown, Look{}, netip.Addr{}, lost.at())
			case !r.alive(w):
				offer.Take(Refused, Look{}, netip.Addr{}, lost.at())
			default:
				offer.Take(Answered, Look{Master: r.redis.master, History: r.redis.history, Offset: r.redis.offset}, r.redis.follows, lost.at())
			}
		}
	}
	return offers
}

// campaign asks the sentinels for their votes. The epoch is the epoch for a replacement without votes if elected is false.
func (s *simServer) campaign(w *world, master netip.Addr) (epoch int64, elected bool) {
	campaign := NewCampaign(s.Name, simSentinels, s.sentinelsNow(w))
	for {
		epoch, more := campaign.Next()
		if !more {
			return campaign.Unvoted(), false
		}
		var votes []sentinel.Vote
		for _, other := range w.sentinels {
			if s.hears(w, other) && other.master == master && !w.noVotes {
				votes = append(votes, other.voteFor(w, s.Name, epoch))
			}
		}
		if campaign.Won(votes) {
			return epoch, true
		}
	}
}

// sentinelsNow is what the sentinels that answer this server say now.
func (s *simServer) sentinelsNow(w *world) (views []View) {
	for _, other := range w.sentinels {
		if s.hears(w, other) {
			views = append(views, other.view(w))
		}
	}
	return views
}

// stillElected asks the sentinels once more before a promotion. No time passes between the votes and it.
func (s *simServer) stillElected(w *world, lost Lost, epoch int64, elected bool) Outcome {
	now := s.sentinelsNow(w)
	mandate := NewMandate(lost.at(), epoch, now)
	mandate.Sentinels, mandate.Quorum, mandate.DownAfter, mandate.Silent = simSentinels, simSentinels/2+1, simDownAfter, lost.Silent
	var heard []Consent
	for _, v := range now {
		heard = append(heard, mandate.Consent(v, elected, v))
	}
	return mandate.Outcome(heard, len(heard), len(heard))
}

// callOff is agent.callOff.
func (s *simServer) callOff(w *world, master netip.Addr) {
	for i, v := range s.views {
		if v.FailingOver && v.Master == master {
			w.logf("%s calls the failover of %s off", s.Name, s.asked[i].Name)
			s.memory.Attempts = s.memory.Attempts.AtOnce()
			s.asked[i].stop()
		}
	}
}

// failOver replaces the master, or commands a failover to one sentinel.
func (s *simServer) failOver(w *world, o Observation, d Decision) {
	lost, replaces := s.memory.LostMaster(o, d)
	if !replaces {
		end := TooSoon
		if s.orderFailover(w) {
			end = Ordered
			s.commandFailover(w, d.Target)
		}
		s.memory.EndAttempt(end, w.clock())
		return
	}
	end := s.replaceLost(w, lost)
	if lost.Silent && end != Replaced {
		if next, changed := w.record.Withdraw(lost.Lost, s.record()); changed && w.apiServes(&s.pod) {
			s.write(w, next)
		}
	}
	s.memory.EndAttempt(end, w.clock())
}

// orderFailover records that a sentinel is about to be told. false: no sentinel may be told.
func (s *simServer) orderFailover(w *world) bool {
	next, err := w.record.OrderFailover(s.record(), w.clock())
	return w.apiServes(&s.pod) && err == nil && s.write(w, next)
}

// commandFailover is agent.commandFailover.
func (s *simServer) commandFailover(w *world, master netip.Addr) {
	for _, v := range s.views {
		if v.FailingOver {
			return
		}
	}
	for i, v := range s.views {
		if v.Reach == Answered && v.HasMaster && v.Master == master && s.asked[i].failOver(w) {
			return
		}
	}
}
