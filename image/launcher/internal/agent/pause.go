package agent

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// tryFailover is the message with which a sentinel begins to replace a master,
// 0.1 to 0.3 s before it promotes a replica.
const tryFailover = "+try-failover"

// replacedMaster is the address of the master that a sentinel begins to replace;
// invalid for every other message.
func replacedMaster(n redisnode.Notice) netip.Addr {
	words := strings.Fields(n.Payload)
	if n.Channel != tryFailover || len(words) < 3 {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(words[2])
	return addr
}

// pauseReplaced holds back writes at a master that this sentinel begins to
// replace, be it by hand or because the sentinels alone cannot reach it, until
// that one has been demoted. What it took from now on would be lost then; what it
// has taken reaches the replicas before one of them is promoted. When the sentinel
// gives up, the pause is not renewed.
func (s *Sentinel) pauseReplaced(ctx context.Context, master netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, promotionWait)
	defer cancel()
	node, sentinel := s.links.to(master, s.config.RedisPort), s.links.to(s.config.PodIP, s.config.SentinelPort)
	limit := role.PauseLimit(s.config.DownAfter)
	for runID := ""; ; {
		info, err := node.Info(ctx)
		if err != nil || !info.Master || runID != "" && info.RunID != runID {
			return // it is dead, cut off or demoted, or its pod passes connections on to the new one
		}
		if node.PauseWrites(ctx, limit) != nil {
			return
		}
		if runID == "" {
			s.log.Info("writes are held back at the master that is being replaced", "master", master)
		}
		runID = info.RunID
		select {
		case <-ctx.Done():
			return
		case <-time.After(limit / 4):
		}
		view, found, err := sentinel.Master(ctx, s.config.MasterName)
		if err == nil && found && view.Addr.Addr() == master && !view.FailingOver {
			return // it has given up; the pause ends by itself, and may be that of a hand-over by now
		}
	}
}
