package pace

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

const limit = 1000

var master, first, second = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")

// release is a master and its replicas as a Pacer sees them.
type release struct {
	mu      sync.Mutex
	offset  int64
	acked   map[netip.Addr]int64 // as the master knows them
	carried map[netip.Addr]int64 // as the replicas themselves say; none: no answer
	pauses  int
	refuse  error // of a pause
	looks   chan struct{}
}

func (r *release) Load(_ context.Context, ip netip.Addr) (redisnode.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ip == master {
		select {
		case r.looks <- struct{}{}:
		default:
		}
		return r.infoLocked(), nil
	}
	offset, answers := r.carried[ip]
	if !answers {
		return redisnode.Info{}, errors.New("no answer")
	}
	return redisnode.Info{LinkUp: true, ReplID: "history", Offset: offset}, nil
}

func (r *release) infoLocked() redisnode.Info {
	info := redisnode.Info{Master: true, ReplID: "history", Offset: r.offset}
	for ip, offset := range r.acked {
		info.Replicas = append(info.Replicas, redisnode.Replica{IP: ip, Online: true, Offset: offset})
	}
	return info
}

func (r *release) info() redisnode.Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.infoLocked()
}

func (r *release) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// pausesIn counts the pauses of the next looks at the master.
func (r *release) pausesIn(t *testing.T, looks int) int {
	t.Helper()
	var before int
	r.change(func() { before = r.pauses })
	for range looks {
		select {
		case <-r.looks:
		case <-time.After(10 * time.Second):
			t.Fatal("the replicas are not looked at any more")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pauses - before
}

// watched starts a Pacer for a master with two replicas that have everything.
func watched(t *testing.T) (*release, *Pacer) {
	r := &release{offset: 5000, looks: make(chan struct{}), acked: map[netip.Addr]int64{first: 5000, second: 5000}, carried: map[netip.Addr]int64{first: 5000, second: 5000}}
	p := New(Settings{
		Limits: Limits{Limit: limit, Longest: time.Minute, Silence: time.Second}, Self: master, Log: slog.New(slog.DiscardHandler), Waited: func(time.Duration) {}, Load: r.Load,
		Pause: func(context.Context, time.Duration) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.pauses++
			return r.refuse
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	p.Look(r.info())
	return r, p
}

func TestWritesWaitWhileEveryReplicaIsBehindAndNoLonger(t *testing.T) {
	r, p := watched(t)
	r.change(func() { r.offset = 5000 + limit + 1 })
	p.Look(r.info())
	require.Positive(t, r.pausesIn(t, 5))
	r.change(func() { r.carried[second] = 5500 })
	r.pausesIn(t, 2)
	require.Zero(t, r.pausesIn(t, 5), "one replica is near enough")
}

func TestReplicasThatHaveNotAcknowledgedYetAreAsked(t *testing.T) {
	r, p := watched(t)
	r.change(func() { r.offset, r.carried[first] = 9000, 9000 })
	p.Look(r.info())
	require.Zero(t, r.pausesIn(t, 5))
}

func TestReplicaThatDoesNotAnswerHasWhatItHasAcknowledged(t *testing.T) {
	r, p := watched(t)
	r.change(func() { r.offset, r.carried, r.acked[first] = 9000, nil, 8200 })
	p.Look(r.info())
	require.Zero(t, r.pausesIn(t, 5))
	r.change(func() { r.offset = 9300 })
	r.pausesIn(t, 2)
	require.Positive(t, r.pausesIn(t, 5))
}

func TestReplicaThatHasNotAnsweredForLongDoesNotCount(t *testing.T) {
	r, p := watched(t)
	r.change(func() { r.offset = 9000 })
	info := r.info()
	for i := range info.Replicas {
		info.Replicas[i].Lag = 2 * time.Second
	}
	p.Look(info)
	require.Empty(t, p.due, "without a replica nobody is waited for")
}

func TestPacerEndsWithTheProcessThatItMayPause(t *testing.T) {
	r, p := watched(t)
	r.change(func() { r.offset, r.refuse = 9000, errors.New("a hand-over pauses writes itself") })
	p.Look(r.info())
	require.Eventually(t, func() bool {
		select {
		case <-r.looks:
		default:
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.pauses == 1
	}, 10*time.Second, time.Millisecond)
	require.Never(t, func() bool {
		select {
		case <-r.looks:
			return true
		default:
			return false
		}
	}, 5*step, step, "it looks at the master although it may not pause its writes")
}

// The launcher's loop may be waiting for servers that do not answer.
func TestMasterIsLookedAtWhenTheLoopIsLate(t *testing.T) {
	r, _ := watched(t)
	r.change(func() { r.offset = 9000 })
	require.Positive(t, r.pausesIn(t, 5))
}

func TestPacerWithoutALimitNeverWakes(t *testing.T) {
	r := &release{offset: 1 << 40, acked: map[netip.Addr]int64{first: 1}}
	p := New(Settings{Limits: Limits{Silence: time.Second}})
	p.Look(r.info())
	require.Empty(t, p.due)
}
