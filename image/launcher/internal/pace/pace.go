// Package pace lets the writes of a master wait while its replicas are too far behind, so that a crash loses no more
// than a bounded number of bytes and a bulk load gets slower instead of costing the master its replicas.
package pace

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// step is the time from one look at the replicas to the next while they are behind.
	step = 10 * time.Millisecond
	// pause is how long writes wait after one look. It outlasts the step and the next look.
	pause = 25 * time.Millisecond
	// askFor is how long the offsets of the replicas are waited for. The last acknowledgement stands for a late answer.
	askFor = 100 * time.Millisecond
	// asked is how many replicas are asked: those that have acknowledged most.
	asked = 3
	// quiet is how long writes did not wait when the log says that they go on.
	quiet = time.Second
)

// Settings are the limits of a Pacer, and what it acts with.
type Settings struct {
	// Limit is how far the foremost replica may be behind, in bytes; 0 turns the Pacer off.
	Limit int64
	// Silence is how long ago the last acknowledgement of a replica that counts may be.
	Silence time.Duration
	// Info asks a Redis for its state.
	Info func(ctx context.Context, ip netip.Addr) (redisnode.Info, error)
	// Pause pauses the writes of the master. An error means that its writes must not be paused any more.
	Pause func(ctx context.Context, limit time.Duration) error
	// Waited is told how long writes have waited.
	Waited func(time.Duration)
	// Self is the address of the Redis in this pod.
	Self netip.Addr
	Log  *slog.Logger
}

// Pacer lets the writes of the master in this pod wait for its replicas.
type Pacer struct {
	Settings
	due chan struct{}

	mu       sync.Mutex
	throttle role.Throttle
}

// New prepares a Pacer. It works from Run on.
func New(s Settings) *Pacer {
	return &Pacer{Settings: s, due: make(chan struct{}, 1), throttle: role.Throttle{Limit: s.Limit}}
}

// Look takes what the Redis in this pod has just told. It wakes Run when the replicas may be behind. Replicas acknowledge
// once a second, so they may be less far behind than their acknowledgements are.
func (p *Pacer) Look(info redisnode.Info) {
	if p.Limit == 0 {
		return
	}
	lag, ok := role.Lag(info.Offset, acknowledged(p.counted(info)))
	if info.Master && ok && lag > p.Limit/2 {
		select {
		case p.due <- struct{}{}:
		default:
		}
		return
	}
	p.look(lag, info.Master && ok)
}

// Run lets writes wait whenever the replicas are too far behind, until ctx ends.
func (p *Pacer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.due:
			p.keepPace(ctx)
		}
	}
}

// keepPace looks at the replicas every step until their acknowledgements show that they have caught up.
func (p *Pacer) keepPace(ctx context.Context) {
	var e episode
	defer func() { e.end(p) }()
	for ctx.Err() == nil {
		began := time.Now()
		info, err := p.Info(ctx, p.Self)
		replicas := p.counted(info)
		lag, ok := role.Lag(info.Offset, acknowledged(replicas))
		if err != nil || !info.Master || !ok || lag <= p.Limit/2 {
			return
		}
		lag, ok = role.Lag(info.Offset, p.offsets(ctx, info, replicas))
		wait := p.look(lag, ok)
		if wait && p.Pause(ctx, pause) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(step):
		}
		e.add(p, wait, lag, time.Since(began))
	}
}

func (p *Pacer) look(lag int64, ok bool) (wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.throttle, wait = p.throttle.Look(lag, ok)
	return wait
}

// counted gives the replicas that count, the foremost first.
func (p *Pacer) counted(info redisnode.Info) []redisnode.Replica {
	replicas := slices.DeleteFunc(slices.Clone(info.Replicas), func(r redisnode.Replica) bool { return !r.Acknowledges(p.Silence) })
	slices.SortFunc(replicas, func(a, b redisnode.Replica) int { return cmp.Compare(b.Offset, a.Offset) })
	return replicas
}

func acknowledged(replicas []redisnode.Replica) []int64 {
	var offsets []int64
	for _, r := range replicas {
		offsets = append(offsets, r.Offset)
	}
	return offsets
}

// offsets asks the foremost replicas of a master how far they have carried out its stream.
func (p *Pacer) offsets(ctx context.Context, master redisnode.Info, replicas []redisnode.Replica) []int64 {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	offsets := acknowledged(replicas)
	var wait sync.WaitGroup
	for i, r := range replicas[:min(asked, len(replicas))] {
		wait.Go(func() {
			if info, err := p.Info(ctx, r.IP); err == nil && !info.Master && info.LinkUp && info.ReplID == master.ReplID {
				offsets[i] = max(offsets[i], info.Offset)
			}
		})
	}
	wait.Wait()
	return offsets
}

// episode is what the log tells of one time of waiting.
type episode struct {
	began, last time.Time
	waited      time.Duration
	greatest    int64
}

// add counts one step, and logs the begin and the end of waiting.
func (e *episode) add(p *Pacer, waited bool, lag int64, took time.Duration) {
	if !waited {
		if !e.began.IsZero() && time.Since(e.last) > quiet {
			e.end(p)
		}
		return
	}
	if e.began.IsZero() {
		e.began = time.Now().Add(-took)
		p.Log.Info("writes wait for the replicas", "behind", lag, "limit", p.Limit)
	}
	e.last, e.waited, e.greatest = time.Now(), e.waited+took, max(e.greatest, lag)
	p.Waited(took)
}

// end logs what there is to tell, and begins anew.
func (e *episode) end(p *Pacer) {
	if !e.began.IsZero() {
		p.Log.Info("writes have waited for the replicas", "for", e.waited.Round(time.Millisecond).String(),
			"within", time.Since(e.began).Round(time.Millisecond).String(), "behind at most", e.greatest)
	}
	*e = episode{}
}
