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
	// holdWarm is how often the connection for the pause is used while nothing happens.
	// Redis accepts no new connection while it stands still, and may end an idle one.
	holdWarm = 10 * time.Second
	// holdCheck is how often a master looks whether it is isolated.
	holdCheck = 100 * time.Millisecond
	// holdGone is how long writes are held back for at most when the pod is gone. The kubelet
	// kills the containers of a pod that was deleted by force two seconds after it has
	// noticed the deletion, and may notice it late on a busy node.
	holdGone = 30 * time.Second
)

// errNotGuarded says that hold must not pause the writes of a process any more.
var errNotGuarded = errors.New("its Redis had ended, or it was handing over")

// hold holds back the writes of a master that somebody is about to replace, or is
// replacing. Writes that the master acknowledged after the promotion of its successor
// would be lost.
//
// A launcher that takes the label master off another pod finds that pod lost. Clients and
// replicas may still reach it, if only the sentinels do not. A pod that was deleted by force
// has no object, and so no label that could be taken; its Redis lives until the kubelet kills it.
// A Redis that stands still may wake up between the promotion and the news of it. The pause
// waits in its socket, and is among the first commands that it executes.
type hold struct {
	doomed atomic.Bool // the last look found Redis silent, or that another server is being made master
	// unanswered: a replica may still execute the order to become master, and the record names it as the successor.
	unanswered atomic.Bool
	// succeeded: the last look found that a former replica has become master, and nobody could be asked about it.
	succeeded atomic.Bool
	ordered   chan struct{}

	node     *redisnode.Node
	warmedAt time.Time
	warmed   *process.Child // the process that the connection leads to

	mu      sync.Mutex
	guarded *process.Child // the process whose writes may be paused; nil means none
}

func newHold(c config.Config) *hold {
	return &hold{ordered: make(chan struct{}, 1), node: redisnode.New(netip.AddrPortFrom(c.PodIP, uint16(c.RedisPort)), c.Password)}
}

// warm keeps a connection to Redis ready. masterAt is since when Redis is master; a connection
// from before is of no use, since Sentinel ends the connections of a replica that it promotes.
func (h *hold) warm(ctx context.Context, child *process.Child, masterAt time.Time) {
	if h.warmed == child && h.warmedAt.After(masterAt) && time.Since(h.warmedAt) < holdWarm || h.doomed.Load() {
		return
	}
	if _, err := h.node.Info(ctx); err == nil {
		h.warmed, h.warmedAt = child, time.Now()
	}
}

// guard names the process whose writes may be paused; nil means none. When guard returns, no
// command to the process before is under way any more. Connections to the address of a Redis
// that has ended may be passed on to its successor, which must not be paused. A hand-over
// pauses writes itself.
func (h *hold) guard(child *process.Child) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guarded = child
}

// present is the process whose writes may be paused, nil if there is none.
func (h *hold) present() *process.Child {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.guarded
}

// tell calls f, which sends a command to the process. It returns errNotGuarded, and does not
// call f, if the process is guarded no more.
func (h *hold) tell(child *process.Child, f func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if child == nil || h.guarded != child {
		return errNotGuarded
	}
	return f()
}

// follow orders writes to be held back from the first look that finds this master silent or
// doomed until the first look that does not.
func (h *hold) follow(p role.Plan) {
	h.succeeded.Store(p.Succeeded && p.Action == role.Wait)
	if before := h.doomed.Swap(p.Hold); p.Hold && !before {
		alert(h.ordered)
	}
}

// guardWrites holds writes back each time that another pod takes the label, that this pod is
// gone, that a decision finds this master doomed, or that the master is isolated. It works beside
// the loop, which may be waiting for sentinels that it does not reach.
func (s *Server) guardWrites(ctx context.Context) {
	check := time.NewTicker(holdCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.api.Disowned():
			if !s.labels.disown() {
				continue // this pod has given the label up itself
			}
		case <-s.hold.ordered:
		case <-check.C:
			if !s.isolated() || !s.labels.disown() {
				continue
			}
		}
		alert(s.alerts)
		cause, began := s.holdCause(), time.Now()
		if why, held := s.holdWrites(ctx); held {
			s.log.Warn("held writes back", "as", cause, "for", time.Since(began).Round(time.Millisecond).String(), "until", why)
		}
	}
}

// isolated says whether the sentinels may be replacing this master without its knowledge. A
// release of one server has nobody to replace it.
func (s *Server) isolated() bool {
	return s.config.Servers > 1 && s.contact.isolated(s.config.DownAfter)
}

// holdCause tells the user why writes are held back.
func (s *Server) holdCause() string {
	switch {
	case s.api.Gone():
		return "this pod is not a pod of the release any more"
	case s.isolated():
		return "neither the sentinels nor the API answer, and the sentinels may be replacing it"
	case s.hold.doomed.Load():
		return "it did not answer, or another is being made master"
	case s.hold.unanswered.Load():
		return "a replica has not answered the order to become master"
	default:
		return "another pod has taken the label master off this one"
	}
}

// longestHold is how long writes are held back for at most.
func (s *Server) longestHold() time.Duration {
	switch {
	case s.api.Gone():
		return holdGone
	case s.isolated():
		return role.ReplacedWithin(s.config.DownAfter)
	default:
		return s.config.DownAfter // the sentinels need no longer to find a master down
	}
}

// holdWrites pauses writes again and again. It ends when the loop has looked again and finds that
// the pod is the master, and when Redis is no master any more. It also ends after longestHold, unless
// the last look has found a successor. why tells what ended it, and held whether writes were paused at all.
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
		case err != nil && s.api.Gone():
			pausedAt = time.Time{} // the kubelet is about to kill it
		case err != nil && !s.hold.doomed.Load():
			return "Redis did not answer", held
		case err != nil:
			began, pausedAt = time.Now(), time.Time{} // it counts from when it wakes up
		case !info.Master:
			return "it was no master any more", held
		case s.labels.wanted().role == role.Master && !s.losesWrites():
			why = "it had looked again and was the master"
		case time.Since(began) > s.longestHold() && !s.hold.succeeded.Load():
			why = "nobody had replaced it for " + s.longestHold().String()
			s.contact.serve()
		}
		if why != "" {
			_ = s.hold.tell(child, func() error { return s.local().Unpause(ctx) }) // the pause ends by itself, too
			return why, held
		}
		if err == nil && time.Since(pausedAt) > limit/2 {
			err := pause()
			if errors.Is(err, errNotGuarded) || err != nil && !s.api.Gone() {
				return err.Error(), held
			}
			held = true
			if err == nil {
				pausedAt = time.Now()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(holdLook):
		}
	}
	return "the launcher ended", held
}
