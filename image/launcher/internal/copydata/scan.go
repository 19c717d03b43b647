package copydata

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// readAll goes through all keys of the source and copies them. With compare set it passes over those that are equal, and
// deletes keys from the target that the source does not have.
func (c *copier) readAll(ctx context.Context, compare bool) error {
	theirs, ours, err := c.databases(ctx)
	if err != nil {
		return err
	}
	c.done.Store(0)
	c.equal.Store(0)
	progress := copyplan.Progress{Total: sum(theirs)}
	started, written := time.Now(), c.bytes.Load()
	state := func() string {
		now := progress
		now.Done, now.Equal, now.Bytes, now.Spent = c.done.Load(), c.equal.Load(), c.bytes.Load()-written, time.Since(started)
		line := now.String()
		if c.follow {
			line += fmt.Sprintf("; %d changed keys wait", c.ledger.Waiting())
		}
		return line
	}
	stop := c.report(state)
	defer stop()
	err = c.throughKeys(ctx, c.source, theirs, func(ctx context.Context, keys []copyplan.Key) error {
		defer c.done.Add(int64(len(keys)))
		return c.whileAcquired(keys, func(keys []copyplan.Key) error { return c.copyKeys(ctx, keys, compare) })
	})
	if err == nil && compare {
		err = c.throughKeys(ctx, c.target, ours, func(ctx context.Context, keys []copyplan.Key) error {
			return c.whileAcquired(keys, func(keys []copyplan.Key) error { return c.removeGone(ctx, keys) })
		})
	}
	if err == nil {
		c.say("read all: %s", state())
	}
	return err
}

// databases gives the databases of both servers with their numbers of keys.
func (c *copier) databases(ctx context.Context) (theirs, ours map[int]int64, err error) {
	err = c.patiently(ctx, func() error {
		from, to, err := c.infos(ctx)
		theirs, ours = from.Keys(), to.Keys()
		return err
	})
	return theirs, ours, err
}

// whileAcquired works on those keys that nobody else is copying.
func (c *copier) whileAcquired(keys []copyplan.Key, work func([]copyplan.Key) error) error {
	keys = c.ledger.Acquire(keys)
	if len(keys) == 0 {
		return nil
	}
	defer c.ledger.Release(keys...)
	return work(keys)
}

// throughKeys has several workers work on all keys of a server.
func (c *copier) throughKeys(ctx context.Context, s *server, databases map[int]int64, work func(context.Context, []copyplan.Key) error) error {
	var scanning error
	err := inParallel(ctx, func(yield func([]copyplan.Key) bool) {
		for _, db := range slices.Sorted(maps.Keys(databases)) {
			var more bool
			if more, scanning = c.throughDatabase(ctx, s, db, yield); !more {
				return
			}
		}
	}, work)
	if err != nil {
		return err
	}
	return scanning
}

// inParallel has several workers work on batches of keys until there is an error.
func inParallel(ctx context.Context, batches iter.Seq[[]copyplan.Key], work func(context.Context, []copyplan.Key) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan []copyplan.Key)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for keys := range queue {
				if ctx.Err() == nil {
					cancelOn(cancel, work(ctx, keys))
				}
			}
		})
	}
	for keys := range batches {
		queue <- keys
		if ctx.Err() != nil {
			break
		}
	}
	close(queue)
	all.Wait()
	return context.Cause(ctx)
}

// throughDatabase gives all keys of a database to yield. More is false after an error, and when yield has returned false. A cursor means nothing to a server that
// has been started again: the caller then begins again.
func (c *copier) throughDatabase(ctx context.Context, s *server, db int, yield func([]copyplan.Key) bool) (more bool, err error) {
	for cursor := uint64(0); ; {
		var names []string
		var next uint64
		if err := c.patiently(ctx, func() (err error) {
			names, next, err = s.db(db).Scan(ctx, cursor, "", batchKeys).Result()
			return s.wrap("SCAN", err)
		}); err != nil {
			return false, err
		}
		keys := make([]copyplan.Key, len(names))
		for i, name := range names {
			keys[i] = copyplan.Key{DB: db, Name: name}
		}
		for part := range slices.Chunk(keys, batchKeys) {
			if !yield(part) {
				return false, nil
			}
		}
		if cursor = next; cursor == 0 {
			return true, nil
		}
	}
}

// removeGone deletes those keys from the target that the source does not have.
func (c *copier) removeGone(ctx context.Context, keys []copyplan.Key) error {
	return c.patiently(ctx, func() error {
		missing, err := c.source.missing(ctx, keys)
		if err != nil {
			return err
		}
		items := make([]item, len(missing))
		for i, key := range missing {
			items[i].key = key
		}
		return c.remove(ctx, items)
	})
}

// missing gives those keys of one database that the server does not have.
func (s *server) missing(ctx context.Context, keys []copyplan.Key) ([]copyplan.Key, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pipe := s.db(keys[0].DB).Pipeline()
	for _, key := range keys {
		pipe.Exists(ctx, key.Name)
	}
	commands, err := pipe.Exec(ctx)
	if err != nil {
		return nil, s.wrap("ask whether keys exist", err)
	}
	var missing []copyplan.Key
	for i, command := range commands {
		if exists, ok := command.(interface{ Val() int64 }); ok && exists.Val() == 0 {
			missing = append(missing, keys[i])
		}
	}
	return missing, nil
}
