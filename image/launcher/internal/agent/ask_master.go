package agent

import (
	"context"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// followsTheRecord says whether this replica follows the recorded master, as far as it can
// read the record.
func (s *Server) followsTheRecord(local role.Local) bool {
	return s.observed.recordOK && local.Follows.String() == s.observed.record.Master.IP
}

// ofRecordedMaster says whether the data of this replica are of the generation that the record names.
func (s *Server) ofRecordedMaster(local role.Local) bool {
	m, recorded := &s.observed, role.Standing{Generation: s.observed.record.Generation}
	known := m.standingOf == local.History.ID && m.standing.Generation == m.record.Generation && m.standing.Epoch == 0
	// The record may name this master for an earlier time: another was promoted after it, and then it again.
	earlier := recorded.Before(m.standing)
	if m.masters != nil {
		earlier = recorded.Before(*m.masters)
	}
	return s.followsTheRecord(local) && local.LinkUp && (known || s.sharesHistory(local) && !earlier)
}

// sharesHistory says whether the master that runs now has the history of this replica. The link of a
// replica may be to a process that has ended: a replica that stood still has not noticed that yet.
func (s *Server) sharesHistory(local role.Local) bool {
	return s.askedMaster(local) && s.observed.masterID == local.History.ID
}

// askedMaster says whether the master of this replica has told its history in the present generation.
func (s *Server) askedMaster(local role.Local) bool {
	m := &s.observed
	return local.LinkUp && m.masterID != "" && m.askedFor == m.record.Generation
}

// askMaster asks the master of this replica for its history and its standing. So the launcher
// learns what the data of the replica are worth. The files of the replica are worth more than those of a
// server that has stayed behind, and an election must know that. It asks at once when the record changes,
// and then once a second until it knows.
func (s *Server) askMaster(ctx context.Context, local role.Local) {
	m := &s.observed
	if !local.LinkUp || s.ofRecordedMaster(local) || m.askedFor == m.record.Generation && time.Since(m.askedAt) < calmTick {
		return
	}
	m.askedAt, m.askedFor, m.masters, m.masterID, m.atLeast = time.Now(), m.record.Generation, nil, "", role.Standing{}
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	info, err := s.links.to(local.Follows, s.config.RedisPort).Info(ctx)
	if err != nil || !info.Master {
		return
	}
	m.masterID = info.ReplID
	if !s.sharesHistory(local) {
		return
	}
	var master role.Status
	if err := web.FetchStatus(ctx, local.Follows.String(), s.config.HTTPPort, &master); err != nil {
		return
	}
	if master.Standing.Master {
		m.masters = &master.Standing
	}
	m.atLeast = role.Standing{Generation: master.Standing.Generation, Epoch: master.Standing.Epoch}
}
