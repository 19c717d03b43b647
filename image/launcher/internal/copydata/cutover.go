package copydata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

const (
	// calm is how long the source may not have changed before the cut-over, where writes are not paused there.
	calm = 3 * time.Second
	// cutOverTime is how long the cut-over waits for clients that should have been stopped.
	cutOverTime = 10 * time.Minute
	// checkEvery is how often the servers are asked whether they are still the same.
	checkEvery = 2 * time.Second
)

// facts tell whether changes may have been missed: by a server that has been started again or replaced, and by commands
// of which no notification tells.
type facts struct {
	source, target, silent string
	// sourceKeys and targetKeys are the numbers of keys in all databases.
	sourceKeys, targetKeys int64
	// changes is how many times the source has been changed since it saved its data at the time saved.
	changes, saved string
}

func (c *copier) facts(ctx context.Context) (f facts, err error) {
	err = c.patiently(ctx, func() error {
		from, to, err := c.infos(ctx)
		if err != nil {
			return err
		}
		f = facts{
			source: from["run_id"], target: to["run_id"], silent: from.Silent(), sourceKeys: sum(from.Keys()), targetKeys: sum(to.Keys()),
			changes: from["rdb_changes_since_last_save"], saved: from["rdb_last_save_time"],
		}
		if c.telling == nil {
			return nil
		}
		return c.telling(ctx)
	})
	return f, err
}

// infos asks both servers for INFO. A server that still loads its data, or has become a replica, is an error that may
// pass: a copy from a master replaces data without a notification.
func (c *copier) infos(ctx context.Context) (from, to copyplan.Info, err error) {
	if from, err = c.source.info(ctx); err != nil {
		return nil, nil, err
	}
	if to, err = c.target.info(ctx); err != nil {
		return nil, nil, err
	}
	for side, info := range map[string]copyplan.Info{"source": from, "target": to} {
		if info["loading"] == "1" {
			return nil, nil, fmt.Errorf("the %s still loads its data", side)
		}
		if info["role"] != "master" && (side == "target" || c.follow) {
			reason := fmt.Sprintf("the %s has become a %s: its data may be those of another server", side, info["role"])
			c.compareAll(reason)
			return nil, nil, errors.New(reason)
		}
	}
	return from, to, nil
}

func sum(sizes map[int]int64) (total int64) {
	for _, size := range sizes {
		total += size
	}
	return total
}

// lostAll refuses to delete all keys of the target because the source has none: the source may have been started again
// without its data, so that the target has the only copy.
func (f facts) lostAll(greeted string) error {
	if f.sourceKeys == 0 && f.targetKeys > 0 && f.source != greeted {
		return fmt.Errorf("another process answers for the source, and has no keys: the target keeps its %d keys, which may be the only copy", f.targetKeys)
	}
	return nil
}

// changedSince says whether clients have changed the source since the facts were read, as far as it tells.
func (f facts) changedSince(now facts) bool {
	if f.saved != now.saved {
		return now.changes != "0"
	}
	return f.changes != now.changes
}

// missed says why changes may have been missed since the facts were read; "" if they have not been.
func (f facts) missed(now facts) string {
	switch {
	case f.source != now.source:
		return "another process answers for the source"
	case f.target != now.target:
		return "another process answers for the target: it may lack what the former one had written last"
	case f.silent != now.silent:
		return "databases of the source have been emptied or swapped: " + now.silent
	}
	return ""
}

// checkedRead reads all keys, again and again until no changes can have been missed.
func (c *copier) checkedRead(ctx context.Context, compare bool) (facts, error) {
	for {
		before, err := c.facts(ctx)
		if err != nil {
			return before, err
		}
		c.takeComparing()
		if compare {
			if err := before.lostAll(c.greeted); err != nil {
				return before, err
			}
			c.ledger.Forget() // what has changed so far is compared with all the rest
		}
		if err := c.readAll(ctx, compare); err != nil {
			return before, err
		}
		reason, err := c.missed(ctx, before)
		if err != nil || reason == "" {
			return before, err
		}
		c.say("every key is compared again: %s", reason)
		compare = true
	}
}

// missed says why changes may have been missed since the facts were read.
func (c *copier) missed(ctx context.Context, since facts) (string, error) {
	now, err := c.facts(ctx)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.comparing != "" {
		return c.comparing, nil
	}
	return since.missed(now), nil
}

// followSource copies changes until the cut-over.
func (c *copier) followSource(ctx context.Context, since facts) (facts, error) {
	c.say("the target follows the source: stop the clients, then send SIGINT (Ctrl-C) for the cut-over")
	stop := c.report(func() string {
		return fmt.Sprintf("following: %d changed keys wait, %d have been copied", c.ledger.Waiting(), c.copiedChanges.Load())
	})
	defer stop()
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		reason, err := c.missed(ctx, since)
		if err != nil {
			return since, err
		}
		if reason != "" {
			c.say("every key is compared: %s", reason)
			if since, err = c.checkedRead(ctx, true); err != nil {
				return since, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return since, context.Cause(ctx)
		case <-c.CutOver:
			return since, nil
		case <-ticker.C:
		}
	}
}

// cutOver copies the last changes. The source may not change any more when it returns without an error.
func (c *copier) cutOver(ctx context.Context, w *watch, since facts) (facts, error) {
	c.say("cut-over: the last changes are copied")
	c.hurry.Store(true)
	limit := cutOverTime
	if c.PauseSource > 0 {
		limit = c.PauseSource
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf(
		"the cut-over took longer than %v: stop all clients of the source, or give --pause-source more time", limit))
	defer cancel()
	stop := c.report(func() string {
		number, last := c.ledger.Changes()
		return fmt.Sprintf("cut-over: %d changed keys wait; the source has told of %d changes, the last one %v ago",
			c.ledger.Pending(), number, time.Since(last).Round(100*time.Millisecond))
	})
	defer stop()
	began := time.Now()
	for {
		if err := c.drain(ctx, w, began); err != nil {
			return since, err
		}
		reason, err := c.missed(ctx, since)
		if err != nil || reason == "" {
			return since, err
		}
		c.say("every key is compared: %s", reason)
		if since, err = c.checkedRead(ctx, true); err != nil {
			return since, err
		}
	}
}

// drain waits until no change is left. Then it copies the streams with groups once more: a message that is read or
// acknowledged changes them without a notification.
func (c *copier) drain(ctx context.Context, w *watch, began time.Time) error {
	for {
		if err := c.settle(ctx, w, began); err != nil {
			return err
		}
		before, _ := c.ledger.Changes()
		c.againWithGroups()
		if err := c.settle(ctx, w, began); err != nil {
			return err
		}
		if after, _ := c.ledger.Changes(); after == before {
			return nil
		}
	}
}

// settle waits until no key is left that is known to have changed, and, where clients could write, for a calm time.
func (c *copier) settle(ctx context.Context, w *watch, began time.Time) error {
	for {
		if err := w.barrier(ctx); err != nil && !c.mustCompare() {
			return err
		}
		_, last := c.ledger.Changes()
		if last.Before(began) {
			last = began
		}
		if c.ledger.Pending() == 0 && (c.PauseSource > 0 || time.Since(last) > calm) {
			return nil
		}
		if err := pause(ctx, idleFor); err != nil {
			return err
		}
	}
}

// holdWrites has the source hold back all writes.
func (c *copier) holdWrites(ctx context.Context) (release func(), err error) {
	err = c.source.db(0).Do(ctx, "CLIENT", "PAUSE", c.PauseSource.Milliseconds(), "WRITE").Err()
	if err != nil {
		return nil, c.source.wrap("hold writes back", fmt.Errorf("%w; leave out --pause-source and stop the clients", err))
	}
	c.say("the source holds writes back until %s", time.Now().Add(c.PauseSource).UTC().Format("15:04:05"))
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
		defer cancel()
		if err := c.source.db(0).Do(ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
			c.say("let the source accept writes by hand: CLIENT UNPAUSE (%v)", err)
			return
		}
		c.say("the source accepts writes again")
	}, nil
}

// copyFunctions copies the libraries of functions, which belong to no database.
func (c *copier) copyFunctions(ctx context.Context) error {
	answer, err := c.source.db(0).Do(ctx, "FUNCTION", "LIST", "WITHCODE").Slice()
	switch {
	case err != nil && strings.Contains(err.Error(), "NOPERM"):
		c.say("WARNING: functions are not copied: %v", err)
		return nil
	case answered(err) && !passes(err):
		return nil // a server before Redis 7 has none
	}
	if err != nil {
		return c.source.wrap("list the functions", err)
	}
	for _, library := range answer {
		fields := fieldsOf(library)
		if err := c.target.db(0).Do(ctx, "FUNCTION", "LOAD", "REPLACE", fields["library_code"]).Err(); err != nil {
			return c.target.wrap("load the functions of "+fields["library_name"], err)
		}
	}
	if len(answer) > 0 {
		c.say("%d libraries of functions copied", len(answer))
	}
	return nil
}

// refuseData refuses a target that holds data already.
func refuseData(to copyplan.Info, address string) error {
	for db, size := range to.Keys() {
		if size > 0 {
			return fmt.Errorf("the target %s holds data already, %d keys in database %d: empty it, or use --resume, "+
				"which replaces its keys and deletes those that the source does not have", address, size, db)
		}
	}
	return nil
}
