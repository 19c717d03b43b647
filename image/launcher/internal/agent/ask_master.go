package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// recordSays is what the record says, as far as the launcher can read it.
func (s *Server) recordSays() role.Recorded {
	m := &s.observed
	master, _ := netip.ParseAddr(m.record.Master.IP)
	return role.Recorded{Known: m.recordOK, Generation: m.record.Generation, Master: master, Own: m.recordOK && m.record.Names(s.self, s.generation.Load())}
}

// ofRecordedMaster says whether the data of this replica are of the generation that the record names.
func (s *Server) ofRecordedMaster(local role.Local) bool {
	return s.observed.worth.OfRecorded(local, s.observed.told, s.recordSays())
}

// askMaster asks the master of this replica for its history and its standing. So the launcher
// learns what the data of the replica are worth. The files of the replica are worth more than those of a
// server that has stayed behind, and an election must know that. It asks at once when the record changes,
// and then once a second until it knows.
func (s *Server) askMaster(ctx context.Context, local role.Local) {
	m := &s.observed
	if !local.LinkUp || s.ofRecordedMaster(local) || m.told.For == m.record.Generation && time.Since(m.askedAt) < calmTick {
		return
	}
	m.askedAt, m.told = time.Now(), role.Told{For: m.record.Generation}
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	info, err := s.links.to(local.Follows, s.config.RedisPort).Info(ctx)
	if err != nil || !info.Master {
		return
	}
	m.told.History = info.ReplID
	if !m.told.Shares(local, s.recordSays()) {
		return
	}
	var master role.Status
	if err := web.FetchStatus(ctx, local.Follows.String(), s.config.HTTPPort, &master); err != nil {
		return
	}
	if master.Standing.Master {
		m.told.Master = &master.Standing
	}
	m.told.AtLeast = role.Standing{Generation: master.Standing.Generation, Epoch: master.Standing.Epoch}
}
