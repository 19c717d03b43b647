package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// commandFailover tells one sentinel to replace master, and gives its name. A sentinel
// in TILT is passed over: it would obey some seconds later. If a sentinel refuses, the
// next one is told. If it does not answer, nobody else is told, since it may have obeyed.
// If it is replacing the master already, the error is succession.ErrFailoverRunning.
func commandFailover(ctx context.Context, c config.Config, views []observe.SentinelView, master netip.Addr) (string, error) {
	if observe.FailingOver(views) {
		return "", succession.ErrFailoverRunning
	}
	var problems []error
	for _, v := range views {
		if v.Reach != role.Answered || !v.HasMaster || v.Master != master {
			continue
		}
		// The view may be old by now. The sentinel replaces the master that it names when it is told.
		now, found, err := v.Node.Master(ctx, c.MasterName)
		switch {
		case err == nil && now.FailingOver:
			return "", succession.ErrFailoverRunning
		case err == nil && (!found || now.Addr.Addr() != master):
			return "", fmt.Errorf("%w: sentinel %s names %v by now", succession.ErrFailoverRunning, v.Pod.Name, now.Addr)
		}
		if err := ableToAct(ctx, v); err != nil {
			problems = append(problems, err)
			continue
		}
		err = v.Node.FailOver(ctx, c.MasterName)
		switch {
		case err == nil:
			return v.Pod.Name, nil
		case errors.Is(err, redisnode.ErrFailoverRunning):
			return "", fmt.Errorf("%w: sentinel %s has begun", succession.ErrFailoverRunning, v.Pod.Name)
		}
		problems = append(problems, fmt.Errorf("sentinel %s: %w", v.Pod.Name, err))
		if redisnode.ReachOf(err) == redisnode.Unknown {
			break
		}
	}
	return "", fmt.Errorf("no sentinel replaces the master: %w", errors.Join(problems...))
}

// ableToAct says why a sentinel would not carry out a command at once; nil: it would.
func ableToAct(ctx context.Context, v observe.SentinelView) error {
	tilted, err := v.Node.Tilted(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("sentinel %s does not answer: %w", v.Pod.Name, err)
	case tilted:
		return fmt.Errorf("sentinel %s is in TILT", v.Pod.Name)
	}
	return nil
}
