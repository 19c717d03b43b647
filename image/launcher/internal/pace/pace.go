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
	// leastPause and longestPause are how long writes wait after one look. A pause outlasts the next look, which takes longer where
	// servers answer late.
	leastPause, longestPause = 25 * time.Millisecond, 250 * time.Millisecond
	// breath is how long writes that have waited are given to go on: the longest pause, and 0.1 s after which Redis notices its end (hz 10).
	breath = longestPause + 100*time.Millisecond
	// ping is how many bytes the stream has for a PING of the master itself, which does not wait.
	ping = 14
	// askFor is how long the offsets of the replicas are waited for. The last acknowledgement stands for a late answer.
	askFor = 100 * time.Millisecond
	// asked is how many replicas are asked: those that have acknowledged most.
	asked = 3
	// lateLook is how long after the last Look the Pacer asks itself: the launcher's loop may be waiting for somebody.
	lateLook = 300 * time.Millisecond
	// silence is how long the master may not answer until the Pacer leaves it to the next Look.
	silence = time.Second
	// quiet is how long writes did not wait when the log says that they go on.
	quiet = time.Second
	// nearShare is the part of the limit within which a replica is so near that the others need not answer.
	nearShare = 8
)

// Limits are the limits of a Pacer.
type Limits struct {
	// Limit is the lag of the foremost replica, in bytes, above which writes wait; 0 turns the Pacer off.
	Limit int64
	// Longest is how long writes may wait without a break.
	Longest time.Duration
	// Silence is how long ago the last acknowledgement of a replica that counts may be.
	Silence time.Duration
}

// Settings are what a Pacer acts with.
type Settings struct {
	// Limits are those at the beginning. SetLimits changes them.
	Limits
	// Self is the address of the Redis in this pod.
	Self netip.Addr
	// Load asks a Redis for its offset and its memory.
	Load func(ctx context.Context, ip netip.Addr) (redisnode.Info, error)
	// Pause pauses the writes of the master. An error means that its writes must not be paused any more.
	Pause func(ctx context.Context, limit time.Duration) error
	// Waited is told how long writes have waited.
	Waited func(time.Duration)
	Log    *slog.Logger
}

// Pacer lets the writes of the master in this pod wait for its replicas.
type Pacer struct {
	Settings
	due chan struct{}

	mu       sync.Mutex
	limits   Limits
	throttle role.Throttle
	lookedAt time.Time // the last Look
	master   bool      // the Redis in this pod was master then
}

// New prepares a Pacer. It works from Run on.
func New(s Settings) *Pacer {
	p := &Pacer{Settings: s, due: make(chan struct{}, 1)}
	p.SetLimits(s.Limits)
	return p
}

// SetLimits has other limits count from now on. A Pacer that was made without a limit stays off.
func (p *Pacer) SetLimits(l Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limits != l {
		p.limits, p.throttle = l, role.Throttle{Limit: l.Limit, Longest: l.Longest, Memory: l.Limit}
	}
}

// now gives the present limits.
func (p *Pacer) now() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

// Look takes what the Redis in this pod has just told. It wakes Run when the replicas may be behind. Replicas acknowledge
// once a second, so they may be less far behind than their acknowledgements are.
func (p *Pacer) Look(info redisnode.Info) {
	if p.Limit == 0 {
		return
	}
	p.mu.Lock()
	p.lookedAt, p.master = time.Now(), info.Master
	p.mu.Unlock()
	replicas := p.counted(info)
	if info.Master && p.late(info, replicas) {
		select {
		case p.due <- struct{}{}:
		default:
		}
		return
	}
	p.judge(info, replicas, acknowledged(replicas))
}

// Run lets writes wait whenever the replicas are too far behind, until ctx ends.
func (p *Pacer) Run(ctx context.Context) {
	if p.Limit == 0 {
		return
	}
	ticker := time.NewTicker(lateLook / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.due:
			p.keepPace(ctx)
		case <-ticker.C:
			if !p.overdue() {
				continue
			}
			if info, err := p.Load(ctx, p.Self); err == nil {
				p.Look(info)
			}
		}
	}
}

// overdue says whether a Look at a master is missing.
func (p *Pacer) overdue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.master && time.Since(p.lookedAt) >= lateLook
}

// keepPace looks at the replicas every step until their acknowledgements show that they have caught up.
func (p *Pacer) keepPace(ctx context.Context) {
	var e episode
	defer func() { e.end(p) }()
	verdict, took, answered := role.Go, time.Duration(0), time.Now()
	for ctx.Err() == nil {
		began := time.Now()
		// Before the questions: the answers may be late, and writes would go on meanwhile.
		if verdict == role.Hold && p.Pause(ctx, pauseAfter(took)) != nil {
			return
		}
		info, err := p.Load(ctx, p.Self)
		if err != nil && time.Since(answered) < silence {
			rest(ctx, step)
			continue
		}
		replicas := p.counted(info)
		if err != nil || !info.Master || !p.late(info, replicas) {
			return
		}
		answered = time.Now()
		before := verdict
		verdict = p.judge(info, replicas, p.offsets(ctx, info, replicas))
		took = time.Since(began)
		switch {
		case verdict == role.Breathe:
			p.breathe(ctx, info.Offset)
		case verdict == role.Hold && before != role.Hold && p.Pause(ctx, pauseAfter(took)) != nil:
			return
		default:
			rest(ctx, step)
		}
		e.add(p, verdict == role.Hold, info.Offset-slices.Max(acknowledged(replicas)), time.Since(began))
	}
}

// breathe waits until writes that have waited were carried out, as the offset of the master shows.
func (p *Pacer) breathe(ctx context.Context, offset int64) {
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < breath; rest(ctx, step) {
		if info, err := p.Load(ctx, p.Self); err == nil && info.Offset > offset+ping {
			return
		}
	}
}

// pauseAfter is how long writes wait after a look that took so long.
func pauseAfter(took time.Duration) time.Duration {
	return min(max(leastPause, 2*(took+step)), longestPause)
}

func rest(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}

// judge has the Throttle decide by the offsets of the replicas.
func (p *Pacer) judge(info redisnode.Info, replicas []redisnode.Replica, offsets []int64) (verdict role.Verdict) {
	behind := map[string]int64{}
	for i, offset := range offsets {
		behind[replicas[i].IP.String()] = max(0, info.Offset-offset)
	}
	if !info.Master {
		behind = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.throttle, verdict = p.throttle.Look(role.Lags{Now: time.Now(), Behind: behind, Memory: info.UsedMemory})
	return verdict
}

// late says whether the acknowledgements of the replicas show half of the lag that is allowed.
func (p *Pacer) late(info redisnode.Info, replicas []redisnode.Replica) bool {
	return len(replicas) > 0 && info.Offset-replicas[0].Offset > p.now().Limit/2
}

// counted gives the replicas that count, the foremost first.
func (p *Pacer) counted(info redisnode.Info) []redisnode.Replica {
	silence := p.now().Silence
	replicas := slices.DeleteFunc(slices.Clone(info.Replicas), func(r redisnode.Replica) bool { return !r.Acknowledges(silence) })
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

// offsets asks the foremost replicas of a master how far they have carried out its stream. It does not wait for the others when one
// of them is near enough.
func (p *Pacer) offsets(ctx context.Context, master redisnode.Info, replicas []redisnode.Replica) []int64 {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	type answer struct {
		replica int
		offset  int64
	}
	count := min(asked, len(replicas))
	answers := make(chan answer, count)
	for i, r := range replicas[:count] {
		go func() {
			info, err := p.Load(ctx, r.IP)
			if err != nil || info.Master || !info.LinkUp || info.ReplID != master.ReplID {
				info.Offset = 0
			}
			answers <- answer{i, info.Offset}
		}()
	}
	offsets, near := acknowledged(replicas), p.now().Limit/nearShare
	for range count {
		a := <-answers
		offsets[a.replica] = max(offsets[a.replica], a.offset)
		if master.Offset-offsets[a.replica] <= near {
			break
		}
	}
	return offsets
}

// episode is what the log tells of one time of waiting.
type episode struct {
	began, last time.Time
	waited      time.Duration
	greatest    int64
}

// add counts one step, and logs the begin and the end of waiting. lag is by the acknowledgements.
func (e *episode) add(p *Pacer, waited bool, lag int64, took time.Duration) {
	if !waited {
		if !e.began.IsZero() && time.Since(e.last) > quiet {
			e.end(p)
		}
		return
	}
	if e.began.IsZero() {
		e.began = time.Now().Add(-took)
		p.Log.Info("writes wait for the replicas", "behind", lag, "limit", p.now().Limit)
	}
	e.last, e.waited, e.greatest = time.Now(), e.waited+took, max(e.greatest, lag)
	p.Waited(took)
}

// end logs what there is to tell, and begins anew.
func (e *episode) end(p *Pacer) {
	if !e.began.IsZero() {
		p.Log.Info("writes have waited for the replicas", "for", e.waited.Round(time.Millisecond).String(),
			"within", time.Since(e.began).Round(time.Millisecond).String(), "acknowledgements behind at most", e.greatest)
	}
	*e = episode{}
}
