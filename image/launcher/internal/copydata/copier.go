package copydata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

const (
	// workers copy at the same time while all keys are read, and as many copy changed keys.
	workers = 4
	// ledgerLimit is how many changed keys are remembered, about 100 MB. More are found by comparing every key.
	ledgerLimit = 1_000_000
	// reportEvery is the time between two lines of progress.
	reportEvery = 5 * time.Second
	// idleFor is how long a worker without work waits.
	idleFor = 10 * time.Millisecond
	// namedFailures is how many keys are named that cannot be copied, or that differ.
	namedFailures = 10
)

// copier is one copy that is going on.
type copier struct {
	Options
	source, target *server
	ledger         *copyplan.Ledger
	follow         bool
	patience       time.Duration
	// greeted is the run_id of the source when the copy began.
	greeted string
	// telling looks whether the source still tells of all changes; nil where nobody follows it.
	telling func(context.Context) error

	// What has been done since the copy began, or, for done and equal, since the present reading of all keys.
	done, equal, bytes, copiedChanges, lostTimes atomic.Int64
	// hurry has keys copied that rest otherwise.
	hurry atomic.Bool

	mu       sync.Mutex
	out      io.Writer
	refused  map[string]bool
	failures map[copyplan.Key]error
	groups   map[copyplan.Key]bool
	// comparing is why every key has to be compared; "" if changes are known from notifications.
	comparing string
}

// say writes a line for the operator.
func (c *copier) say(format string, arguments ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, time.Now().UTC().Format("15:04:05 ")+format+"\n", arguments...)
}

func (c *copier) isRefused(kind string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[kind]
}

// refuse notes that the payload of a type does not get through.
func (c *copier) refuse(kind string, err error) {
	c.mu.Lock()
	told := c.refused[kind]
	c.refused[kind] = true
	c.mu.Unlock()
	if !told {
		c.say("the type %s is copied by commands, because DUMP and RESTORE do not get through: %s", kind, short(err))
	}
}

// fail notes a key that cannot be copied; the others are copied all the same.
func (c *copier) fail(key copyplan.Key, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[key] = err
}

// clearFailures forgets what is to be copied again.
func (c *copier) clearFailures(keys []copyplan.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.failures, key)
	}
}

// failure tells of the keys that cannot be copied.
func (c *copier) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []error
	for key, err := range c.failures {
		if len(all) == namedFailures {
			break
		}
		all = append(all, fmt.Errorf("key %q of database %d: %w", key.Name, key.DB, err))
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%d key(s) cannot be copied: delete them at the source, or load the module at the target:\n%w", len(c.failures), errors.Join(all...))
}

func (c *copier) rememberGroups(key copyplan.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups[key] = true
}

// againWithGroups has all streams with groups copied again.
func (c *copier) againWithGroups() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.groups {
		c.ledger.Again(key)
	}
}

// compareAll has every key compared, because changes may have been missed.
func (c *copier) compareAll(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.comparing = reason
}

// takeComparing gives the reason for which every key has to be compared, and takes it as settled.
func (c *copier) takeComparing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := c.comparing
	c.comparing = ""
	return reason
}

// mustCompare says whether changes may have been missed.
func (c *copier) mustCompare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.comparing != ""
}

// copyChanges copies changed keys until the context ends.
func (c *copier) copyChanges(ctx context.Context) error {
	for {
		keys := c.ledger.Take(batchKeys, time.Now(), c.hurry.Load())
		if len(keys) == 0 {
			if err := pause(ctx, idleFor); err != nil {
				return nil
			}
			continue
		}
		err := c.copyKeys(ctx, keys, false)
		c.ledger.Release(keys...)
		if err != nil {
			return err
		}
		c.copiedChanges.Add(int64(len(keys)))
	}
}

// report writes what state says every few seconds, until the function that it gives back is called.
func (c *copier) report(state func() string) (stop func()) {
	done := make(chan struct{})
	var finished sync.WaitGroup
	finished.Go(func() {
		ticker := time.NewTicker(reportEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				c.say("%s", state())
			}
		}
	})
	return func() {
		close(done)
		finished.Wait()
	}
}
