package agent

import (
	"context"
	"net/netip"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// askMaster asks the master of this replica for its history and, if that is history, what its data are worth.
func (s *Server) askMaster(ctx context.Context, master netip.Addr, history string) (told role.Told) {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	info, err := s.links.To(master, s.config.RedisPort).Info(ctx)
	if err != nil || !info.Master {
		return told
	}
	told.History = info.ReplID
	var status role.Status
	if told.History != history || web.FetchStatus(ctx, master.String(), s.config.HTTPPort, &status) != nil {
		return told
	}
	if status.Standing.Master {
		told.Master = &status.Standing
	}
	told.AtLeast = role.Standing{Generation: status.Standing.Generation, Epoch: status.Standing.Epoch}
	return told
}
