package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// watchPause is the time between two attempts to watch a master's launcher.
const watchPause = time.Second

// masterWatch is a connection to the launcher of the master that this replica
// follows. When it ends, a failover has most likely begun: the loop looks often
// from that moment on, and not only from its own next look.
type masterWatch struct {
	master netip.Addr // whose launcher is watched; invalid: nobody's
	cancel context.CancelFunc
	ended  chan struct{}
}

func newMasterWatch() *masterWatch {
	return &masterWatch{cancel: func() {}, ended: make(chan struct{}, 1)}
}

// follow watches the launcher of the master that local follows, or none.
func (w *masterWatch) follow(ctx context.Context, local role.Local, port int) {
	var master netip.Addr
	if local.Answering && !local.Master {
		master = local.Follows
	}
	if !local.Answering && local.Running || master == w.master {
		return // a look that failed says nothing of whom Redis follows
	}
	w.cancel()
	ctx, w.cancel = context.WithCancel(ctx)
	if w.master = master; master.IsValid() {
		go w.await(ctx, master, port)
	}
}

// await tells the loop each time that the launcher of master has ended.
func (w *masterWatch) await(ctx context.Context, master netip.Addr, port int) {
	for ctx.Err() == nil {
		if web.AwaitEnd(ctx, master.String(), port) == nil {
			select {
			case w.ended <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}
