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
	alerts chan struct{} // of the loop
}

func newMasterWatch(alerts chan struct{}) *masterWatch {
	return &masterWatch{cancel: func() {}, alerts: alerts}
}

// alert tells the loop that a failover has most likely begun.
func alert(alerts chan<- struct{}) {
	select {
	case alerts <- struct{}{}:
	default: // it has been told
	}
}

// follow watches the launcher of the master that local follows, or none.
func (w *masterWatch) follow(ctx context.Context, local role.Local, port int) {
	var master netip.Addr
	if local.Answering && !local.Master {
		master = local.Follows
	}
	if !local.Answering && local.Running || master == w.master {
		return // a look that failed does not tell which master Redis follows
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
			alert(w.alerts)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}
