package restoration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// tellEvery is how often a server tells how far it is.
const tellEvery = 500 * time.Millisecond

// Teller tells again and again how far this server is, and remembers the answers.
type Teller struct {
	taker Taker
	free  chan struct{} // closed: the server may take over
	lost  chan struct{} // closed: see Lost

	mu    sync.Mutex
	told  Told
	err   error
	until time.Time // the last word to take over counts until then
}

// Telling begins to tell, until ctx ends, the last stage has been heard, or nobody answers any more.
func (t Taker) Telling(ctx context.Context, told Told) *Teller {
	teller := &Teller{taker: t, told: told, free: make(chan struct{}), lost: make(chan struct{})}
	go teller.run(ctx)
	return teller
}

// Set changes what is told.
func (t *Teller) Set(told Told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = told
}

// Free is closed when the server may take over.
func (t *Teller) Free() <-chan struct{} { return t.free }

// Until gives the end of the time in which this server may take over: WordTime after its last question that was answered with the word. The zero
// value says that the server has not heard the word.
func (t *Teller) Until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until
}

// Lost is closed when launcher restore has stopped, or has not answered for Silence. Err says which then.
func (t *Teller) Lost() <-chan struct{} { return t.lost }

// Err gives why launcher restore is lost; nil: it is not.
func (t *Teller) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *Teller) run(ctx context.Context) {
	freed, answered := false, time.Now()
	for ctx.Err() == nil {
		t.mu.Lock()
		told := t.told
		t.mu.Unlock()
		asked := time.Now()
		answer, err := t.taker.Tell(ctx, told)
		last := told.Stage == Done || told.Stage == Failed
		switch {
		case last && (err == nil || errors.Is(err, ErrStopped)):
			return
		case err == nil:
			answered = time.Now()
		case ctx.Err() == nil && (errors.Is(err, ErrStopped) || time.Since(answered) > Silence):
			if t.Err() == nil {
				t.mu.Lock()
				t.err = fmt.Errorf("launcher restore does not answer any more: %w", err)
				t.mu.Unlock()
				close(t.lost)
			}
			if last {
				return
			}
		}
		if answer.Go && err == nil {
			t.mu.Lock()
			t.until = asked.Add(WordTime)
			t.mu.Unlock()
			if !freed {
				freed = true
				close(t.free)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(tellEvery):
		}
	}
}
