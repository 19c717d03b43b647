package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// disownedLook is how often a master whose writes are held back looks whether
// it has its label again.
const disownedLook = 25 * time.Millisecond

// errLeaving says that the pod hands over, which pauses writes itself.
var errLeaving = errors.New("the pod is leaving")

// disowned holds back the writes of a master that another pod has taken the label
// master off. Whoever does that finds it lost and is about to replace it. Where only
// the sentinels do not reach it, its clients and its replicas still do, and what it
// acknowledged after the promotion of its successor would be lost.
type disowned struct {
	mu      sync.Mutex
	leaving bool // the hand-over of the leaving pod pauses writes, and nobody else
}

// leave ends it, before the pod hands over.
func (d *disowned) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving = true
}

// unlessLeaving calls f, and with errLeaving does not.
func (d *disowned) unlessLeaving(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving {
		return errLeaving
	}
	return f()
}

// watchOwnLabel holds writes back each time that another pod takes the label. It
// works beside the loop, which may be waiting for sentinels that it does not reach.
func (s *Server) watchOwnLabel(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.api.Disowned():
		}
		if !s.labels.disown() {
			continue // this pod has given it up itself
		}
		alert(s.alerts)
		began := time.Now()
		if why, held := s.holdWrites(ctx); held {
			s.log.Warn("held writes back, as another pod had taken the label master off this one",
				"for", time.Since(began).Round(time.Millisecond).String(), "until", why)
		}
	}
}

// holdWrites pauses writes, again and again and for no longer than the sentinels
// need to find a master down, until the loop has looked again and wants the label, or
// the pod is no master any more. It tells what ended that, and whether writes were paused at all.
func (s *Server) holdWrites(ctx context.Context) (why string, held bool) {
	node, limit := s.local(), role.PauseLimit(s.config.DownAfter)
	began, pausedAt := time.Now(), time.Time{}
	for ctx.Err() == nil {
		info, err := node.Info(ctx)
		switch {
		case err != nil:
			return "Redis did not answer", held
		case !info.Master:
			return "it was no master any more", held
		case s.labels.wanted().role == role.Master:
			why = "it had looked again and was the master"
		case time.Since(began) > s.config.DownAfter:
			why = "nobody had replaced it for " + s.config.DownAfter.String()
		}
		if why != "" {
			_ = s.disowned.unlessLeaving(func() error { return node.Unpause(ctx) }) // the pause ends by itself, too
			return why, held
		}
		if time.Since(pausedAt) > limit/2 {
			pausedAt = time.Now()
			if err := s.disowned.unlessLeaving(func() error { return node.PauseWrites(ctx, limit) }); err != nil {
				return err.Error(), held
			}
			held = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(disownedLook):
		}
	}
	return "the launcher ended", held
}
