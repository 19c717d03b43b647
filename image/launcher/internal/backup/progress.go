package backup

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// tellEvery is how often a long step tells how far it has come.
	tellEvery = 10 * time.Second
	// stallTime is how long a step may go on without a byte. The parts of an upload are 8 MiB, or some more of a very large one.
	stallTime = 5 * time.Minute
)

// progress counts the bytes of a step.
type progress struct {
	step  string
	total int64 // bytes; 0: not known
	done  atomic.Int64
	log   *slog.Logger
	end   context.CancelCauseFunc
	every time.Duration
	stall time.Duration
}

// watch begins a step. The context ends when the step has not moved for stallTime. Call the last result when the step is over.
func watch(ctx context.Context, log *slog.Logger, step string, total int64) (context.Context, *progress, func()) {
	return watchEvery(ctx, log, step, total, tellEvery, stallTime)
}

func watchEvery(ctx context.Context, log *slog.Logger, step string, total int64, every, stall time.Duration) (context.Context, *progress, func()) {
	ctx, end := context.WithCancelCause(ctx)
	p := &progress{step: step, total: total, log: log, end: end, every: every, stall: stall}
	go p.run(ctx)
	return ctx, p, func() { end(context.Canceled) }
}

// Write counts bytes.
func (p *progress) Write(b []byte) (int, error) {
	p.done.Add(int64(len(b)))
	return len(b), nil
}

// run tells and watches until the step is over.
func (p *progress) run(ctx context.Context) {
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	last, moved := int64(-1), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		done := p.done.Load()
		if done != last {
			last, moved = done, time.Now()
		}
		if time.Since(moved) >= p.stall {
			p.end(fmt.Errorf("%s: nothing has moved for %v after %d bytes", p.step, p.stall, done))
			return
		}
		p.tell(done)
	}
}

func (p *progress) tell(done int64) {
	attributes := []any{"MiB", done >> 20}
	if p.total > 0 {
		attributes = append(attributes, "of", p.total>>20)
	}
	p.log.Info(p.step, attributes...)
}
