package copydata

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

const (
	// setting is the directive by which a Redis tells of changes.
	setting = "notify-keyspace-events"
	// pingEvery and silence bound how long a lost connection goes unnoticed.
	pingEvery = 2 * time.Second
	silence   = 15 * time.Second
	// probePrefix begins the name of the key by which a copy finds out whether the source tells of changes.
	probePrefix = "redis-ha-copy:probe:"
	// probeTime is how long that may take.
	probeTime = 5 * time.Second
)

// errSilent says that the source does not tell of changes.
var errSilent = errors.New(`the source does not tell of changes, and does not let this user set that: set notify-keyspace-events to "EA" there, ` +
	"for instance in the parameter group of the managed service")

// watch receives the notifications of the source.
type watch struct {
	c *copier

	// settings guards the setting of the source. Former is its value before the copy changed it to changed. Open says
	// that the source lets the copy read it.
	settings        sync.Mutex
	former, changed string
	open            bool

	mu     sync.Mutex
	pubsub *redis.PubSub
	heard  time.Time
	pongs  map[string]chan struct{}
	probed map[string]chan struct{}
}

func newWatch(c *copier) *watch {
	return &watch{c: c, pongs: map[string]chan struct{}{}, probed: map[string]chan struct{}{}}
}

// start has the source tell of changes, and begins to listen.
func (w *watch) start(ctx context.Context) error {
	allowed, err := w.enable(ctx)
	if err != nil {
		return err
	}
	if err := w.subscribe(ctx); err != nil {
		return err
	}
	if allowed {
		return nil
	}
	probing, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	listening.Go(func() { _ = w.listen(probing) })
	err = w.probe(ctx)
	cancel()
	w.hangUp()
	listening.Wait()
	if err != nil {
		return err
	}
	return w.subscribe(ctx)
}

// enable sets notify-keyspace-events where that is missing and allowed.
func (w *watch) enable(ctx context.Context) (allowed bool, err error) {
	w.settings.Lock()
	defer w.settings.Unlock()
	allowed, _, err = w.set(ctx)
	w.open = allowed
	return allowed, err
}

// stillTells looks whether the setting is as the copy needs it: a client that starts, or another copy that ends, may have
// changed it. Then it is set again, and every key has to be compared.
func (w *watch) stillTells(ctx context.Context) error {
	w.settings.Lock()
	defer w.settings.Unlock()
	if !w.open {
		return nil
	}
	allowed, missing, err := w.set(ctx)
	if missing {
		w.c.compareAll("somebody has changed " + setting + " of the source")
	}
	if err == nil && !allowed {
		return errSilent
	}
	return err
}

// set sets notify-keyspace-events where that is missing and allowed.
func (w *watch) set(ctx context.Context) (allowed, missing bool, err error) {
	db := w.c.source.db(0)
	present, err := db.ConfigGet(ctx, setting).Result()
	if answered(err) && !passes(err) {
		return false, missing, nil
	}
	if err != nil {
		return false, missing, w.c.source.wrap("ask for "+setting, err)
	}
	var wanted string
	wanted, missing = copyplan.Notifications(present[setting])
	if !missing {
		return true, false, nil
	}
	if err := db.ConfigSet(ctx, setting, wanted).Err(); err != nil {
		if answered(err) && !passes(err) {
			return false, missing, nil
		}
		return false, missing, w.c.source.wrap("set "+setting, err)
	}
	// Redis orders the flags in its own way.
	now, err := db.ConfigGet(ctx, setting).Result()
	if err != nil {
		return false, missing, w.c.source.wrap("ask for "+setting, err)
	}
	w.c.say(`the source tells of changes: %s is %q and was %q, which it becomes again in the end`, setting, now[setting], present[setting])
	w.former, w.changed = present[setting], now[setting]
	return true, true, nil
}

// putBack gives the source its setting back, unless somebody else has changed it.
func (w *watch) putBack(ctx context.Context) {
	w.settings.Lock()
	defer w.settings.Unlock()
	if w.changed == "" {
		return
	}
	db := w.c.source.db(0)
	present, err := db.ConfigGet(ctx, setting).Result()
	if err == nil && present[setting] == w.changed {
		err = db.ConfigSet(ctx, setting, w.former).Err()
	}
	if err != nil {
		w.c.say("put back by hand at the source: CONFIG SET %s %q (%v)", setting, w.former, err)
	}
}

// subscribe connects, and waits until the source has confirmed the subscription.
func (w *watch) subscribe(ctx context.Context) error {
	pubsub := w.c.source.db(0).PSubscribe(ctx, copyplan.EventPattern)
	deadline := time.AfterFunc(dialTimeout, func() { _ = pubsub.Close() })
	_, err := pubsub.Receive(ctx)
	if deadline.Stop(); err != nil {
		_ = pubsub.Close()
		return w.c.source.wrap("subscribe to keyspace notifications", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pubsub, w.heard = pubsub, time.Now()
	return nil
}

func (w *watch) current() *redis.PubSub {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pubsub
}

func (w *watch) hangUp() { _ = w.current().Close() }

// run listens until the context ends. After a lost subscription every key is compared, as changes may have been missed.
func (w *watch) run(ctx context.Context) error {
	go w.keepAwake(ctx)
	stop := context.AfterFunc(ctx, w.hangUp)
	defer stop()
	for {
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		// From here on the copy cannot end before every key has been compared.
		w.c.compareAll(fmt.Sprintf("the subscription to changes was lost: %v", err))
		w.hangUp()
		if err := w.c.patiently(ctx, func() error {
			if _, err := w.enable(ctx); err != nil {
				return err
			}
			return w.subscribe(ctx)
		}); err != nil {
			return err
		}
		// A reading that began before the new subscription does not count.
		w.c.compareAll(fmt.Sprintf("the subscription to changes was lost: %v", err))
		if ctx.Err() != nil {
			w.hangUp()
		}
	}
}

// listen notes changes until the subscription is lost.
func (w *watch) listen(ctx context.Context) error {
	pubsub := w.current()
	for {
		message, err := pubsub.Receive(ctx)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.heard = time.Now()
		w.mu.Unlock()
		switch m := message.(type) {
		case *redis.Message:
			w.note(m)
		case *redis.Pong:
			w.tell(w.pongs, m.Payload)
		case *redis.Subscription:
			return errors.New("the client library has connected again")
		}
	}
}

func (w *watch) note(m *redis.Message) {
	key, byItself, is := copyplan.EventKey(m.Channel, m.Payload)
	switch {
	case !is:
	case strings.HasPrefix(key.Name, probePrefix):
		w.tell(w.probed, key.Name)
	case byItself:
		w.c.ledger.Again(key)
	case !w.c.ledger.Changed(key, time.Now()):
		w.c.compareAll(fmt.Sprintf("more than %d changed keys wait", ledgerLimit))
	}
}

// tell wakes up who waits for a name.
func (w *watch) tell(waiting map[string]chan struct{}, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waiter := waiting[name]; waiter != nil {
		close(waiter)
		delete(waiting, name)
	}
}

func (w *watch) expect(waiting map[string]chan struct{}, name string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting[name] = make(chan struct{})
	return waiting[name]
}

// keepAwake has the source answer now and then, and closes a connection that is silent.
func (w *watch) keepAwake(ctx context.Context) {
	for pause(ctx, pingEvery) == nil {
		w.mu.Lock()
		pubsub, silent := w.pubsub, time.Since(w.heard) > silence
		w.mu.Unlock()
		if silent || pubsub.Ping(ctx, "awake") != nil {
			_ = pubsub.Close()
		}
	}
}

// barrier waits until all notifications of changes that the source has made so far are in the ledger. The source answers
// a PING of the subscription after the notifications that it has sent before.
func (w *watch) barrier(ctx context.Context) error {
	token := rand.Text()
	answer := w.expect(w.pongs, token)
	if err := w.current().Ping(ctx, token); err != nil {
		return w.c.source.wrap("ask whether all notifications have come", err)
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(silence):
		return fmt.Errorf("the source at %s has not answered for %v whether all notifications have come", w.c.source.endpoint.Address, silence)
	}
}

// probe finds out whether the source tells of changes, by a key that goes away again.
func (w *watch) probe(ctx context.Context) error {
	name := probePrefix + rand.Text()
	told := w.expect(w.probed, name)
	if err := w.c.source.db(0).Set(ctx, name, "", probeTime).Err(); err != nil {
		return fmt.Errorf(`find out whether the source tells of changes, by a key that begins with %q: %w; let this user write it, or use CONFIG`, probePrefix, err)
	}
	defer w.c.source.db(0).Del(context.WithoutCancel(ctx), name)
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(probeTime):
		return errSilent
	}
}
