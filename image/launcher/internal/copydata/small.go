package copydata

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// smallKey is the size in bytes up to which a value is read by one command: many small keys go through one pipeline.
const smallKey = 64 << 10

// whole are the commands that read all of a value, by type.
var whole = map[string]func(name string) []any{
	"string": func(name string) []any { return []any{"GET", name} },
	"list":   func(name string) []any { return []any{"LRANGE", name, 0, -1} },
	"set":    func(name string) []any { return []any{"SMEMBERS", name} },
	"zset":   func(name string) []any { return []any{"ZRANGE", name, 0, -1, "WITHSCORES"} },
	"hash":   func(name string) []any { return []any{"HGETALL", name} },
}

// widths are the parts of a row of types that have more than one.
var widths = map[string]int{"zset": 2, "hash": 2}

// smallByCommands copies the small ones of the keys together, and gives back the others.
func (c *copier) smallByCommands(ctx context.Context, items []item) (rest []item, err error) {
	var small []item
	for _, i := range items {
		if i.memory > 0 && i.memory <= smallKey && whole[i.kind] != nil {
			small = append(small, i)
		} else {
			rest = append(rest, i)
		}
	}
	for _, part := range inParts(small) {
		changed, err := c.smallPart(ctx, part)
		if err != nil {
			return nil, err
		}
		rest = append(rest, changed...)
	}
	return rest, nil
}

// smallPart copies keys of one database, and gives back those that have changed their type meanwhile.
func (c *copier) smallPart(ctx context.Context, items []item) (changed []item, err error) {
	db := items[0].key.DB
	reading := c.source.db(db).Pipeline()
	answers, expiries := make([]*redis.Cmd, len(items)), make([]expiryQuestion, len(items))
	for n, i := range items {
		answers[n], expiries[n] = reading.Do(ctx, whole[i.kind](i.key.Name)...), c.source.askExpiry(ctx, reading, i.key.Name)
	}
	if err := execute(ctx, reading); err != nil {
		return nil, c.source.wrap("read keys", err)
	}
	values, rows := make([]value, len(items)), make([][]row, len(items))
	for n, i := range items {
		values[n] = value{key: i.key, kind: i.kind, fieldExpiry: c.fieldExpiry()}
		if rows[n], err = wholeRows(i.kind, answers[n]); changedMeanwhile(err) {
			changed, rows[n] = append(changed, i), nil
			values[n].kind = ""
		} else if err != nil {
			return nil, c.source.wrap("read a "+i.kind, err)
		}
	}
	if err := c.smallFieldTimes(ctx, db, values, rows); err != nil {
		return nil, err
	}
	writing := c.target.db(db).Pipeline()
	for n, v := range values {
		if v.kind == "" {
			continue
		}
		at, err := c.source.expiry(expiries[n])
		if err != nil {
			return nil, c.source.wrap("ask when a key expires", err)
		}
		writing.Unlink(ctx, v.key.Name)
		if len(rows[n]) > 0 && at != copyplan.NoKey {
			c.bytes.Add(askRows(ctx, writing, v, rows[n], false))
			if at >= 0 {
				writing.Do(ctx, "PEXPIREAT", v.key.Name, at)
			}
		}
	}
	if writing.Len() == 0 {
		return changed, nil
	}
	commands, err := writing.Exec(ctx)
	if answered(err) {
		err = first(commands)
	}
	if err != nil {
		return nil, c.target.wrap("write keys", withHint(err))
	}
	return changed, nil
}

// wholeRows divides an answer into rows. A key that does not exist has none.
func wholeRows(kind string, answer *redis.Cmd) ([]row, error) {
	if kind == "string" {
		text, err := answer.Text()
		switch {
		case errors.Is(err, redis.Nil):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []row{{text}}, nil
	}
	flat, err := answer.StringSlice()
	if err != nil {
		return nil, err
	}
	rows := inRows(flat, max(1, widths[kind]))
	if kind == "zset" {
		return rows, plainScores(rows)
	}
	return rows, nil
}

// fieldExpiry says that both servers know fields that expire.
func (c *copier) fieldExpiry() bool { return c.source.fieldExpiry && c.target.fieldExpiry }

// smallFieldTimes adds to the fields of hashes when they expire, or counts those whose expiry the target does not know.
func (c *copier) smallFieldTimes(ctx context.Context, db int, values []value, rows [][]row) error {
	if !c.source.fieldExpiry {
		return nil
	}
	pipe := c.source.db(db).Pipeline()
	answers := make([]*redis.Cmd, len(values))
	for n, v := range values {
		if v.kind != "hash" || len(rows[n]) == 0 {
			continue
		}
		arguments := []any{"HPEXPIRETIME", v.key.Name, "FIELDS", len(rows[n])}
		for _, r := range rows[n] {
			arguments = append(arguments, r[0])
		}
		answers[n] = pipe.Do(ctx, arguments...)
	}
	if err := execute(ctx, pipe); err != nil {
		return c.source.wrap("ask when fields expire", err)
	}
	for n, answer := range answers {
		if answer == nil {
			continue
		}
		times, err := answer.Int64Slice()
		if err != nil || len(times) != len(rows[n]) {
			continue // the hash has changed or gone: the source has told so
		}
		if !c.target.fieldExpiry {
			c.countLostTimes(times)
		}
		rows[n] = withTimes(rows[n], times)
	}
	return nil
}

// countLostTimes counts fields that expire at the source and will not at the target.
func (c *copier) countLostTimes(times []int64) {
	for _, at := range times {
		if at >= 0 {
			c.lostTimes.Add(1)
		}
	}
}
