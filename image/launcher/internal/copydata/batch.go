package copydata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

const (
	// batchKeys and batchBytes bound what is read at once: keys of a SCAN, and the bytes of their payloads.
	batchKeys  = 256
	batchBytes = copyplan.LargeKey
	// patience is how long a server may be away, for instance for a failover, before the copy ends.
	patience = 2 * time.Minute
	// retryAfter is the time between two attempts.
	retryAfter = 500 * time.Millisecond
	// changedTries is how often a key is copied whose type changes while it is read.
	changedTries = 5
)

// item is a key of a batch, with what is known of it.
type item struct {
	key    copyplan.Key
	kind   string
	memory int64
	method copyplan.Method
}

// patiently repeats an attempt while a server is away or not ready.
func (c *copier) patiently(ctx context.Context, attempt func() error) error {
	var deadline time.Time
	for told := false; ; {
		err := attempt()
		if err == nil || ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !passes(err) {
			return err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(c.patience) // an attempt that copies much may itself take longer
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("tried for %v: %w", c.patience, err)
		}
		if !told {
			c.say("waiting: %v", err)
			told = true
		}
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// copyKeys copies keys of one database, which the caller has acquired. With compare set, it passes over those that are
// equal.
func (c *copier) copyKeys(ctx context.Context, keys []copyplan.Key, compare bool) error {
	return c.patiently(ctx, func() error { return c.tryKeys(ctx, keys, compare) })
}

func (c *copier) tryKeys(ctx context.Context, keys []copyplan.Key, compare bool) error {
	items, err := c.inspect(ctx, keys)
	if err != nil {
		return err
	}
	c.clearFailures(keys)
	if err := c.noteGroups(ctx, items); err != nil {
		return err
	}
	by := map[copyplan.Method][]item{}
	for _, i := range items {
		by[i.method] = append(by[i.method], i)
	}
	if err := c.remove(ctx, by[copyplan.Gone]); err != nil {
		return err
	}
	if compare {
		if by[copyplan.ByPayload], by[copyplan.ByCommands], err = c.different(ctx, by[copyplan.ByPayload], by[copyplan.ByCommands]); err != nil {
			return err
		}
	}
	for _, i := range by[copyplan.Impossible] {
		c.fail(i.key, fmt.Errorf("the target refuses the payload of the type %s, which has no other commands", i.kind))
	}
	for _, part := range inParts(by[copyplan.ByPayload]) {
		refused, err := c.byPayload(ctx, part)
		if err != nil {
			return err
		}
		by[copyplan.ByCommands] = append(by[copyplan.ByCommands], refused...)
	}
	rest, err := c.smallByCommands(ctx, by[copyplan.ByCommands])
	if err != nil {
		return err
	}
	for _, i := range rest {
		if err := c.oneByCommands(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// inspect asks for the types and sizes of keys.
func (c *copier) inspect(ctx context.Context, keys []copyplan.Key) ([]item, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pipe := c.source.db(keys[0].DB).Pipeline()
	kinds, sizes := make([]*redis.StatusCmd, len(keys)), make([]*redis.Cmd, len(keys))
	for i, key := range keys {
		kinds[i] = pipe.Type(ctx, key.Name)
		if c.source.memoryUsage {
			sizes[i] = pipe.Do(ctx, "MEMORY", "USAGE", key.Name)
		}
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, c.source.wrap("ask for the types of keys", err)
	}
	items := make([]item, len(keys))
	for i, key := range keys {
		kind, err := kinds[i].Result()
		if err != nil {
			return nil, c.source.wrap("ask for the type of a key", err)
		}
		items[i] = item{key: key, kind: kind}
		if sizes[i] != nil {
			items[i].memory, _ = sizes[i].Int64()
		}
		items[i].method = copyplan.Choose(kind, items[i].memory, c.isRefused(kind))
	}
	return items, nil
}

// noteGroups remembers the streams with groups: reading and acknowledging a message changes them without a
// notification.
func (c *copier) noteGroups(ctx context.Context, items []item) error {
	var streams []item
	for _, i := range items {
		if i.kind == "stream" && c.follow {
			streams = append(streams, i)
		}
	}
	if len(streams) == 0 {
		return nil
	}
	commands, err := c.source.pipelined(ctx, streams[0].key.DB, func(pipe redis.Pipeliner) {
		for _, i := range streams {
			pipe.Do(ctx, "XINFO", "GROUPS", i.key.Name)
		}
	})
	if err != nil {
		return c.source.wrap("ask for groups of streams", err)
	}
	for n, command := range commands {
		if groups, err := command.(*redis.Cmd).Slice(); err == nil && len(groups) > 0 {
			c.rememberGroups(streams[n].key)
		}
	}
	return nil
}

// remove deletes keys from the target that the source does not have.
func (c *copier) remove(ctx context.Context, items []item) error {
	if len(items) == 0 {
		return nil
	}
	pipe := c.target.db(items[0].key.DB).Pipeline()
	for _, i := range items {
		pipe.Unlink(ctx, i.key.Name)
	}
	if err := execute(ctx, pipe); err != nil {
		return c.target.wrap("delete keys", err)
	}
	return nil
}

// inParts divides items so that the payloads of each part fit into the memory for a batch.
func inParts(items []item) [][]item {
	var parts [][]item
	size := int64(batchBytes)
	for _, i := range items {
		bytes := copyplan.PayloadBytes(i.memory)
		if size += bytes; size > batchBytes {
			parts, size = append(parts, nil), bytes
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], i)
	}
	return parts
}

// byPayload copies keys by DUMP and RESTORE, and gives back those whose payload is refused.
func (c *copier) byPayload(ctx context.Context, items []item) (refused []item, err error) {
	db := items[0].key.DB
	reading := c.source.db(db).Pipeline()
	dumps, expiries := make([]*redis.StringCmd, len(items)), make([]expiryQuestion, len(items))
	for n, i := range items {
		dumps[n], expiries[n] = reading.Dump(ctx, i.key.Name), c.source.askExpiry(ctx, reading, i.key.Name)
	}
	if err := execute(ctx, reading); err != nil {
		return nil, c.source.wrap("read keys", err)
	}
	writing := c.target.db(db).Pipeline()
	answers := make([]redis.Cmder, len(items))
	for n, i := range items {
		payload, err := dumps[n].Result()
		at, expiryErr := c.source.expiry(expiries[n])
		switch {
		case errors.Is(err, redis.Nil) || err == nil && at == copyplan.NoKey:
			answers[n] = writing.Unlink(ctx, i.key.Name)
		case err != nil:
			answers[n] = dumps[n]
		case expiryErr != nil:
			return nil, c.source.wrap("ask when a key expires", expiryErr)
		default:
			answers[n] = writing.Do(ctx, "RESTORE", i.key.Name, max(at, 0), payload, "REPLACE", "ABSTTL")
			c.bytes.Add(int64(len(payload)))
		}
	}
	if err := execute(ctx, writing); err != nil {
		return nil, c.target.wrap("write keys", err)
	}
	for n, i := range items {
		switch err := answers[n].Err(); {
		case err == nil:
		case copyplan.PayloadRefused(err.Error()):
			c.refuse(i.kind, err)
			if i.method = copyplan.Choose(i.kind, i.memory, true); i.method == copyplan.Impossible {
				c.fail(i.key, fmt.Errorf("the target refuses the payload of the type %s, which has no other commands: %s", i.kind, short(err)))
				continue
			}
			refused = append(refused, i)
		default:
			return nil, fmt.Errorf("copy the key %q of database %d: %w", i.key.Name, db, withHint(err))
		}
	}
	return refused, nil
}

// oneByCommands copies a key element by element. Its type may change meanwhile.
func (c *copier) oneByCommands(ctx context.Context, i item) error {
	started := time.Now()
	for try := 1; ; try++ {
		v, err := c.valueOf(ctx, i)
		if err == nil {
			err = c.byCommands(ctx, v)
		}
		switch {
		case err == nil:
			if i.memory > copyplan.LargeKey {
				c.ledger.Rest(i.key, time.Now().Add(time.Since(started)))
			}
			return nil
		case !changedMeanwhile(err) || try == changedTries:
			return fmt.Errorf("copy the key %q of database %d: %w", i.key.Name, i.key.DB, withHint(err))
		}
		again, err := c.inspect(ctx, []copyplan.Key{i.key})
		if err != nil {
			return err
		}
		if i = again[0]; i.method == copyplan.Gone {
			return c.remove(ctx, again)
		}
	}
}

// valueOf adds to an item how it is read in pieces.
func (c *copier) valueOf(ctx context.Context, i item) (value, error) {
	length, err := c.source.length(ctx, i.key, i.kind)
	if err != nil {
		return value{}, c.source.wrap("count the elements of a "+i.kind, err)
	}
	return value{
		key: i.key, kind: i.kind, piece: copyplan.PieceLength(i.memory, length),
		fieldExpiry: c.fieldExpiry(),
	}, nil
}
