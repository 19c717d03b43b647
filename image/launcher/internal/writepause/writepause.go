// Package writepause pauses the writes of a master while somebody may be replacing it: what the master acknowledged after the promotion of
// its successor would be lost. Package role decides when the writes of a master pause, and for how long.
package writepause

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// lookEvery is how often a master whose writes are paused is looked at.
	lookEvery = 25 * time.Millisecond
	// warmEvery is how often the connection for the pause is used while nothing happens.
	// Redis accepts no new connection while it stands still, and may end an idle connection.
	warmEvery = 10 * time.Second
	// checkEvery is how often a master looks whether it is isolated.
	checkEvery = 100 * time.Millisecond
	// askTime bounds a question to the API beside the loop. A later answer would be too old to count.
	askTime = time.Second
)

// ErrNotGuarded says that the writes of a process must not be paused any more.
var ErrNotGuarded = errors.New("its Redis had ended, or it was handing over")

// Label is the label that the launcher desires for its pod.
type Label interface {
	// Disown takes back the desire for the label master until the loop has looked again. It returns false if this pod has given the label up itself.
	Disown() bool
	// Owned says whether the label master was desired last, however old the desire is.
	Owned() bool
	// WantsMaster says whether the label master is desired now.
	WantsMaster() bool
}

// Settings are what a Guard acts with.
type Settings struct {
	// Redis is the address of the Redis in this pod, Password its password, and TLS encrypts the connection to it; nil: it is plain.
	Redis    netip.AddrPort
	Password string
	Trying   func() []string // see redisnode.Node.Trying; nil: there is only Password
	TLS      *tls.Config
	// DownAfter tells how long a master may be silent before the sentinels find it down.
	DownAfter func() time.Duration
	// Lone tells whether the release has one server. Nobody can replace it then.
	Lone  func() bool
	Label Label
	// Disowned tells that another pod has taken the label master off this pod, or that this pod is gone. Gone tells the latter.
	Disowned <-chan struct{}
	Gone     func() bool
	// AskAPI asks the API for the record of the master, and waits for no longer than ctx.
	AskAPI func(ctx context.Context) error
	// Alert has the loop look at once, and often.
	Alert func()
	Log   *slog.Logger
}

// Guard pauses the writes of the master in this pod, beside the loop. The loop may be waiting for sentinels that do not answer.
type Guard struct {
	Settings
	replaced   atomic.Bool // the last look found Redis silent, or that another server is being made master
	unanswered atomic.Bool // see role.Threats
	succeeded  atomic.Bool // see role.PauseFacts
	master     atomic.Bool // the last look found that Redis is master
	ordered    chan struct{}

	node     *redisnode.Node
	warmedAt time.Time
	warmed   *process.Child // the process that the connection leads to

	mu      sync.Mutex
	guarded *process.Child // the process whose writes may be paused; nil means none

	contact struct {
		sync.Mutex
		role.Contact
	}
}

// New prepares a Guard. It works from Run on.
func New(s Settings) *Guard {
	return &Guard{Settings: s, ordered: make(chan struct{}, 1), node: redisnode.New(s.Redis, s.Password).Encrypted(s.TLS).Trying(s.Trying)}
}

// Warm keeps a connection to the process of Redis ready, for a pause that waits in its socket while Redis stands still. masterAt is since
// when Redis is master. A connection from before is of no use: Sentinel ends the connections of a replica that it promotes.
func (g *Guard) Warm(ctx context.Context, child *process.Child, masterAt time.Time) {
	if g.warmed == child && g.warmedAt.After(masterAt) && time.Since(g.warmedAt) < warmEvery || g.replaced.Load() {
		return
	}
	if _, err := g.node.Info(ctx); err == nil {
		g.warmed, g.warmedAt = child, time.Now()
	}
}

// Guard names the process whose writes may be paused; nil means none. When Guard returns, no
// command to the process before is under way any more. Connections to the address of a Redis
// that has ended may be passed on to its successor, which must not be paused. A hand-over
// pauses writes itself.
func (g *Guard) Guard(child *process.Child) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.guarded = child
}

// Guarded is the process whose writes may be paused; nil means none.
func (g *Guard) Guarded() *process.Child {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.guarded
}

// Tell calls f, which sends a command to the process. It returns ErrNotGuarded, and does not
// call f, if the process is guarded no more.
func (g *Guard) Tell(child *process.Child, f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if child == nil || g.guarded != child {
		return ErrNotGuarded
	}
	return f()
}

// Follow takes a decision of the loop. Writes pause from the first decision that finds this master silent or being replaced until the first
// decision that does not.
func (g *Guard) Follow(p role.Plan) {
	g.master.Store(p.Seen.Local.Master)
	g.succeeded.Store(p.Succeeded && p.Action == role.Wait)
	if before := g.replaced.Swap(p.Pause); p.Pause && !before {
		g.order()
	}
}

// SetUnanswered notes whether a replica may still execute an order to become master.
func (g *Guard) SetUnanswered(is bool) { g.unanswered.Store(is) }

// Pause pauses writes if there is a threat. It does not wait for Redis.
func (g *Guard) Pause() {
	if g.Threats().Any() {
		g.order()
	}
}

func (g *Guard) order() {
	select {
	case g.ordered <- struct{}{}:
	default: // Run has been told
	}
}

// HeardAPI notes that the API has answered a question asked at the time.
func (g *Guard) HeardAPI(asked time.Time) {
	g.contact.Lock()
	defer g.contact.Unlock()
	g.contact.Contact = g.contact.API(asked)
}

// HeardSentinels notes whether a majority of the sentinels has answered the questions asked at the time.
func (g *Guard) HeardSentinels(asked time.Time, cutOff bool) {
	g.contact.Lock()
	defer g.contact.Unlock()
	g.contact.Contact = g.contact.Sentinels(asked, cutOff)
}

// serve notes that nobody has replaced the master.
func (g *Guard) serve() {
	g.contact.Lock()
	defer g.contact.Unlock()
	g.contact.Contact = g.contact.Serve()
}

func (g *Guard) lastContact() role.Contact {
	g.contact.Lock()
	defer g.contact.Unlock()
	return g.contact.Contact
}

// isolated says whether the sentinels may be replacing this master without its knowledge.
func (g *Guard) isolated() bool {
	return !g.Lone() && g.lastContact().Isolated(time.Now(), g.DownAfter())
}

// Threats are the reasons for which what this master accepts now may be lost.
func (g *Guard) Threats() role.Threats {
	return role.Threats{
		Gone: g.Gone(), Isolated: g.isolated(), Replaced: g.replaced.Load(), Unanswered: g.unanswered.Load(), Unlabelled: !g.Label.Owned(),
	}
}

// askAPI asks the API, beside everything else, if that tells whether this master is isolated.
func (g *Guard) askAPI(ctx context.Context) {
	if g.Lone() || !g.master.Load() || !g.lastContact().AskAPI(time.Now(), g.DownAfter()) {
		return
	}
	go func() {
		asked := time.Now()
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		if g.AskAPI(ctx) == nil {
			g.HeardAPI(asked)
		}
	}()
}

// Run pauses writes each time that another pod takes the label, that this pod is gone, that a decision finds this master silent or being
// replaced, or that the master is isolated, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.Disowned:
			if !g.Label.Disown() {
				continue
			}
		case <-g.ordered:
		case <-check.C:
			g.askAPI(ctx)
			if !g.isolated() || !g.Label.Disown() {
				continue
			}
		}
		g.Alert()
		cause, began := g.Threats().Cause(), time.Now()
		if why, paused := g.pause(ctx, check.C); paused {
			g.Log.Warn("held writes back", "as", cause, "for", time.Since(began).Round(time.Millisecond).String(), "until", why)
		}
	}
}

// pause pauses writes until role.WritePause ends that. why tells what ended it, and paused whether writes were paused at all.
func (g *Guard) pause(ctx context.Context, check <-chan time.Time) (why string, paused bool) {
	downAfter := g.DownAfter()
	child, limit := g.Guarded(), role.PauseLimit(downAfter)
	p := role.WritePause{DownAfter: downAfter, Began: time.Now()}
	order := func() error {
		err := g.Tell(child, func() error { return g.node.PauseWrites(ctx, limit) })
		if err == nil || g.replaced.Load() && redisnode.ReachOf(err) == redisnode.Unknown && !errors.Is(err, ErrNotGuarded) {
			p.OrderedAt, paused = time.Now(), true // the order waits in the socket of a Redis that stands still
		}
		return err
	}
	if g.replaced.Load() {
		// Before anything that waits for an answer: there may be none until Redis wakes up.
		if err := order(); errors.Is(err, ErrNotGuarded) {
			return err.Error(), paused
		}
	}
	for {
		facts, err := g.look(ctx, child)
		if err != nil {
			return err.Error(), paused
		}
		next, step, why := p.Step(facts)
		p = next
		switch step {
		case role.LeavePause:
			return why, paused
		case role.EndPause, role.OutlastPause:
			if step == role.OutlastPause {
				g.serve()
			}
			_ = g.Tell(child, func() error { return g.node.Unpause(ctx) }) // the pause ends by itself, too
			return why, paused
		case role.OrderPause:
			// While another server is being made master, no further event brings this watch back.
			if err := order(); err != nil && !g.Gone() && !g.replaced.Load() {
				return err.Error(), paused
			}
		}
		select {
		case <-ctx.Done():
			return "the launcher ended", paused
		case <-check:
			g.askAPI(ctx)
		case <-time.After(lookEvery):
		}
	}
}

// look asks the process of Redis. It returns ErrNotGuarded if the process is guarded no more.
func (g *Guard) look(ctx context.Context, child *process.Child) (role.PauseFacts, error) {
	var info redisnode.Info
	err := g.Tell(child, func() (err error) {
		info, err = g.node.Info(ctx)
		return err
	})
	if errors.Is(err, ErrNotGuarded) {
		return role.PauseFacts{}, err
	}
	return role.PauseFacts{
		Now: time.Now(), Answered: err == nil, Master: info.Master, Threats: g.Threats(), Serves: g.Label.WantsMaster(), Succeeded: g.succeeded.Load(),
	}, nil
}

// Resume lets writes go on, unless there is a threat. It returns ErrNotGuarded if the process is guarded no more.
func (g *Guard) Resume(ctx context.Context, child *process.Child) error {
	return g.Tell(child, func() error {
		if g.Threats().Any() {
			return nil
		}
		return g.node.Unpause(ctx)
	})
}
