package copydata

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// add are the commands that add elements to a value, by type.
var add = map[string]string{"list": "RPUSH", "set": "SADD", "zset": "ZADD", "hash": "HSET"}

// writeRows adds rows to a value. Begun is false for its first rows.
func (s *server) writeRows(ctx context.Context, v value, rows []row, begun bool) (bytes int64, err error) {
	commands, err := s.pipelined(ctx, v.key.DB, func(pipe redis.Pipeliner) { bytes = askRows(ctx, pipe, v, rows, begun) })
	if err == nil {
		err = first(commands)
	}
	return bytes, err
}

// askRows puts the commands that add rows into a pipeline.
func askRows(ctx context.Context, pipe redis.Pipeliner, v value, rows []row, begun bool) (bytes int64) {
	for _, r := range rows {
		for _, part := range r {
			bytes += int64(len(part))
		}
	}
	switch v.kind {
	case "string":
		for _, r := range rows {
			command := "SET"
			if begun {
				command = "APPEND"
			}
			pipe.Do(ctx, command, v.key.Name, r[0])
			begun = true
		}
	case "stream":
		for _, r := range rows {
			pipe.Do(ctx, append([]any{"XADD", v.key.Name}, anys(r)...)...)
		}
	default:
		arguments := []any{add[v.kind], v.key.Name}
		for _, r := range rows {
			arguments = append(arguments, ordered(v.kind, r)...)
		}
		pipe.Do(ctx, arguments...)
		if v.kind == "hash" {
			askFieldExpiry(ctx, pipe, v, rows)
		}
	}
	return bytes
}

// ordered gives a row in the order in which the command wants it.
func ordered(kind string, r row) []any {
	switch kind {
	case "zset":
		return []any{r[1], r[0]}
	case "hash":
		return []any{r[0], r[1]}
	}
	return anys(r)
}

// askFieldExpiry has fields expire at their time.
func askFieldExpiry(ctx context.Context, pipe redis.Pipeliner, v value, rows []row) {
	for _, r := range rows {
		if v.fieldExpiry && len(r) == 3 && r[2][0] != '-' {
			pipe.Do(ctx, "HPEXPIREAT", v.key.Name, r[2], "FIELDS", 1, r[0])
		}
	}
}

// byCommands copies a value element by element. A key that changes meanwhile is copied again, since the source tells of
// the change, or since the comparison in the end finds it.
func (c *copier) byCommands(ctx context.Context, v value) error {
	if err := c.target.db(v.key.DB).Unlink(ctx, v.key.Name).Err(); err != nil {
		return c.target.wrap("delete a key", err)
	}
	begun := false
	err := c.source.rows(ctx, v, func(rows []row) error {
		if v.kind == "hash" && c.source.fieldExpiry && !c.target.fieldExpiry {
			times, err := c.source.fieldTimes(ctx, v.key, rows)
			if err != nil {
				return err
			}
			c.countLostTimes(times)
			if rows = withTimes(rows, times); len(rows) == 0 {
				return nil
			}
		}
		bytes, err := c.target.writeRows(ctx, v, rows, begun)
		begun = true
		c.bytes.Add(bytes)
		return c.target.wrap("write a part of a "+v.kind, err)
	})
	if err == nil && v.kind == "stream" {
		err = c.copyStreamState(ctx, v, begun)
	}
	if err == nil && v.kind == "string" && !begun {
		err = c.target.db(v.key.DB).Set(ctx, v.key.Name, "", 0).Err()
	}
	if err != nil {
		return fmt.Errorf("copy the %s: %w", v.kind, err)
	}
	return c.finishKey(ctx, v)
}

// finishKey gives a key its time to expire, or deletes it if the source has no such key any more.
func (c *copier) finishKey(ctx context.Context, v value) error {
	pipe := c.source.db(v.key.DB).Pipeline()
	answer := c.source.askExpiry(ctx, pipe, v.key.Name)
	if err := execute(ctx, pipe); err != nil {
		return c.source.wrap("ask when a key expires", err)
	}
	at, err := c.source.expiry(answer)
	if err != nil {
		return c.source.wrap("ask when a key expires", err)
	}
	return c.target.wrap("have a key expire", c.target.expireAt(ctx, v.key.DB, v.key.Name, at))
}

// expireAt has a key expire at a time as expiry gives it.
func (s *server) expireAt(ctx context.Context, db int, name string, at int64) error {
	switch at {
	case copyplan.NoExpiry:
		return nil
	case copyplan.NoKey:
		return s.db(db).Unlink(ctx, name).Err()
	}
	return s.db(db).Do(ctx, "PEXPIREAT", name, at).Err()
}
