package agent

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// holdLook is how often a master whose writes are held back is looked at.
	holdLook = 25 * time.Millisecond
	// holdSilence is how long a master may not answer before its writes are held
	// back: less than the sentinels wait, so that it is before a promotion.
	holdSilence = time.Second
	// holdWarm is how often the connection for it is used while nothing happens:
	// Redis does not greet a new one while it stands still, and may end an idle one.
	holdWarm = 10 * time.Second
)

// errNotGuarded says that a process is not to be told to hold writes back any more.
var errNotGuarded = errors.New("its Redis had ended, or the pod was leaving")

// hold holds back the writes of a master that somebody is about to replace, or is
// replacing: what it acknowledged after the promotion of its successor would be lost.
//
// Another pod that takes the label master off it finds it lost. Where only the
// sentinels do not reach it, its clients and its replicas still do. One that stands
// still may wake up between the promotion and the news of it: the pause waits in its
// socket, and is among the first things that it does.
type hold struct {
	doomed  atomic.Bool // the last look found it silent, or that another is being made master
	ordered chan struct{}

	node     *redisnode.Node
	warmedAt time.Time
	warmed   *process.Child // whom the connection leads to

	mu      sync.Mutex
	guarded *process.Child // whose writes may be held back; nil: nobody's
}

func newHold(c config.Config) *hold {
	return &hold{ordered: make(chan struct{}, 1), node: redisnode.New(netip.AddrPortFrom(c.PodIP, uint16(c.RedisPort)), c.Password)}
}

// warm has a connection ready to a Redis that answers, and that is master since
// masterAt: Sentinel ends the connections of a replica that it promotes.
func (h *hold) warm(ctx context.Context, child *process.Child, masterAt time.Time) {
	if h.warmed == child && h.warmedAt.After(masterAt) && time.Since(h.warmedAt) < holdWarm || h.doomed.Load() {
		return
	}
	if _, err := h.node.Info(ctx); err == nil {
		h.warmed, h.warmedAt = child, time.Now()
	}
}

// guard has the writes of this process held back from now on, if need be, and of no
// other; nil: of none. What the one before is being told is over then. Whoever comes
// to the address of one that has ended may be passed on to its successor, and a
// leaving pod pauses writes itself to hand over.
func (h *hold) guard(child *process.Child) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guarded = child
}

// present is the process whose writes may be held back, nil if there is none.
func (h *hold) present() *process.Child {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.guarded
}

// tell calls f, which asks or tells this process something, unless it is guarded no
// more: errNotGuarded then.
func (h *hold) tell(child *process.Child, f func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if child == nil || h.guarded != child {
		return errNotGuarded
	}
	return f()
}

// follow orders writes to be held back from a look on that finds this master silent
// or doomed, until one that does not.
func (h *hold) follow(d role.Decision, silent bool) {
	doomed := silent || d.Doomed && d.Action == role.Wait
	if before := h.doomed.Swap(doomed); doomed && !before {
		alert(h.ordered)
	}
}

// silentMaster says whether Redis did not answer in this look, and was master when
// it last did, which is long ago.
func (s *Server) silentMaster(l role.Local) bool {
	m := &s.observed
	return l.Running && !l.Answering && m.info.Master && !m.info.Loading && time.Since(m.answeredAt) > holdSilence
}

// guardWrites holds writes back each time that another pod takes the label, or that
// a decision finds this master doomed. It works beside the loop, which may be
// waiting for sentinels that it does not reach.
func (s *Server) guardWrites(ctx context.Context) {
	for {
		cause := "another pod has taken the label master off this one"
		select {
		case <-ctx.Done():
			return
		case <-s.api.Disowned():
			if !s.labels.disown() {
				continue // this pod has given it up itself
			}
		case <-s.hold.ordered:
			cause = "it did not answer, or another is being made master"
		}
		alert(s.alerts)
		began := time.Now()
		if why, held := s.holdWrites(ctx); held {
			s.log.Warn("held writes back", "as", cause, "for", time.Since(began).Round(time.Millisecond).String(), "until", why)
		}
	}
}

// holdWrites pauses writes, again and again and for no longer than the sentinels
// need to find a master down, until the loop has looked again and finds that the pod
// is the master, or it is none any more. It tells what ended that, and whether
// writes were paused at all.
func (s *Server) holdWrites(ctx context.Context) (why string, held bool) {
	limit, child := role.PauseLimit(s.config.DownAfter), s.hold.present()
	pause := func() error {
		return s.hold.tell(child, func() error { return s.hold.node.PauseWrites(ctx, limit) })
	}
	began, pausedAt := time.Now(), time.Time{}
	if s.hold.doomed.Load() {
		// Before anything that waits for an answer: there may be none until it wakes up.
		if errors.Is(pause(), errNotGuarded) {
			return errNotGuarded.Error(), false
		}
		pausedAt, held = time.Now(), true
	}
	for ctx.Err() == nil {
		var info redisnode.Info
		err := s.hold.tell(child, func() (err error) {
			info, err = s.local().Info(ctx)
			return err
		})
		switch {
		case errors.Is(err, errNotGuarded):
			return errNotGuarded.Error(), held
		case err != nil && !s.hold.doomed.Load():
			return "Redis did not answer", held
		case err != nil:
			began, pausedAt = time.Now(), time.Time{} // it counts from when it wakes up
		case !info.Master:
			return "it was no master any more", held
		case s.labels.wanted().role == role.Master && !s.hold.doomed.Load():
			why = "it had looked again and was the master"
		case time.Since(began) > s.config.DownAfter:
			why = "nobody had replaced it for " + s.config.DownAfter.String()
		}
		if why != "" {
			_ = s.hold.tell(child, func() error { return s.local().Unpause(ctx) }) // the pause ends by itself, too
			return why, held
		}
		if err == nil && time.Since(pausedAt) > limit/2 {
			if err := pause(); err != nil {
				return err.Error(), held
			}
			pausedAt, held = time.Now(), true
		}
		select {
		case <-ctx.Done():
		case <-time.After(holdLook):
		}
	}
	return "the launcher ended", held
}
