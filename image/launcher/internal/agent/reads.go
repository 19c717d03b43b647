package agent

import (
	"context"
	"net/netip"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// tuneReads has a replica refuse reads while its data are older than a backup that has replaced the data of the release. So nobody reads old data
// after new data.
func (s *Server) tuneReads(ctx context.Context, o role.Observation) {
	if !s.config.Backup.Enabled || !s.memory.RecordKnown {
		return
	}
	l := o.Local
	wanted := reads{follows: l.Follows, stale: s.live().Directive(succession.StaleReads, "yes")}
	if s.reads == nil {
		s.reads = &reads{wanted.follows, wanted.stale} // with which it has been started
	}
	if !l.Master && s.beforeBackup() {
		wanted.stale = "no"
	}
	if wanted == *s.reads {
		return // the launcher that takes over says no together with another master to follow
	}
	if err := s.local().Set(ctx, succession.StaleReads, wanted.stale); err != nil {
		s.log.Debug("which reads a replica without a link answers could not be set", "error", err)
		return
	}
	s.reads = &wanted
}

// beforeBackup says whether the data of this pod are older than a backup that has replaced those of the release.
func (s *Server) beforeBackup() bool {
	return s.config.Backup.Enabled && s.memory.RecordKnown && s.memory.Worth.Standing.Generation < s.memory.Record.RestoredIn
}

// reads is how the running Redis was last told to answer reads without a link to its master.
type reads struct {
	follows netip.Addr
	stale   string
}
