package copydata

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// pendingPiece is how many pending messages of a group are read at once.
const pendingPiece = 100

// fieldsOf reads an answer of XINFO, which gives names and values in turns.
func fieldsOf(answer any) map[string]string {
	list, _ := answer.([]any)
	fields := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		if list[i+1] != nil {
			fields[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
		}
	}
	return fields
}

// pending is a message that a consumer has received and not acknowledged.
type pending struct {
	id, consumer string
	deliveries   int64
	// idle is the time since the last delivery.
	idle time.Duration
}

// streamState is what a stream is beside its entries.
type streamState interface {
	stream(fields map[string]string) error
	group(fields map[string]string) error
	consumer(group, name string) error
	pending(group string, messages []pending) error
}

// readStreamState reads what a stream is beside its entries. A pending message whose entry has been deleted is left
// out, as Redis itself does when it writes a stream as commands.
func (s *server) readStreamState(ctx context.Context, key copyplan.Key, to streamState) error {
	stream, err := s.db(key.DB).Do(ctx, "XINFO", "STREAM", key.Name).Result()
	if err != nil {
		return s.wrap("ask for XINFO STREAM", err)
	}
	if err := to.stream(fieldsOf(stream)); err != nil {
		return err
	}
	groups, err := s.db(key.DB).Do(ctx, "XINFO", "GROUPS", key.Name).Slice()
	if err != nil {
		return s.wrap("ask for XINFO GROUPS", err)
	}
	for _, answer := range groups {
		fields := fieldsOf(answer)
		if err := to.group(fields); err != nil {
			return err
		}
		if err := s.readGroup(ctx, key, fields["name"], to); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) readGroup(ctx context.Context, key copyplan.Key, group string, to streamState) error {
	consumers, err := s.db(key.DB).Do(ctx, "XINFO", "CONSUMERS", key.Name, group).Slice()
	if err != nil {
		return s.wrap("ask for XINFO CONSUMERS", err)
	}
	for _, answer := range consumers {
		if err := to.consumer(group, fieldsOf(answer)["name"]); err != nil {
			return err
		}
	}
	for start := "-"; ; {
		list, err := s.db(key.DB).Do(ctx, "XPENDING", key.Name, group, start, "+", pendingPiece).Slice()
		if err != nil {
			return s.wrap("ask for XPENDING", err)
		}
		if len(list) == 0 {
			return nil
		}
		messages, err := readPending(list)
		if err != nil {
			return err
		}
		present, err := s.withEntry(ctx, key, messages)
		if err != nil {
			return err
		}
		if err := to.pending(group, present); err != nil || len(list) < pendingPiece {
			return err
		}
		if start, err = copyplan.NextID(messages[len(messages)-1].id); err != nil {
			return err
		}
	}
}

func readPending(list []any) ([]pending, error) {
	messages := make([]pending, len(list))
	for i, answer := range list {
		parts, _ := answer.([]any)
		if len(parts) != 4 {
			return nil, fmt.Errorf("an answer of XPENDING is %v", answer)
		}
		idle, _ := parts[2].(int64)
		deliveries, _ := parts[3].(int64)
		messages[i] = pending{
			id: fmt.Sprint(parts[0]), consumer: fmt.Sprint(parts[1]),
			idle: time.Duration(idle) * time.Millisecond, deliveries: deliveries,
		}
	}
	return messages, nil
}

// withEntry leaves out the messages whose entries have been deleted.
func (s *server) withEntry(ctx context.Context, key copyplan.Key, messages []pending) ([]pending, error) {
	commands, err := s.pipelined(ctx, key.DB, func(pipe redis.Pipeliner) {
		for _, m := range messages {
			pipe.Do(ctx, "XRANGE", key.Name, m.id, m.id)
		}
	})
	if err == nil {
		err = first(commands)
	}
	if err != nil {
		return nil, s.wrap("look for pending messages", err)
	}
	var present []pending
	for i, command := range commands {
		if found, _ := command.(*redis.Cmd).Slice(); len(found) > 0 {
			present = append(present, messages[i])
		}
	}
	return present, nil
}

// streamWriter writes the state of a stream by commands.
type streamWriter struct {
	ctx    context.Context
	target *server
	key    copyplan.Key
	// begun says that the stream has an entry and so exists.
	begun bool
}

// copyStreamState copies what a stream is beside its entries.
func (c *copier) copyStreamState(ctx context.Context, v value, begun bool) error {
	return c.source.readStreamState(ctx, v.key, &streamWriter{ctx: ctx, target: c.target, key: v.key, begun: begun})
}

func (w *streamWriter) do(arguments ...any) error {
	return w.target.wrap(fmt.Sprint(arguments[0]), w.target.db(w.key.DB).Do(w.ctx, arguments...).Err())
}

// stream creates an empty stream by a group that goes away again, and sets its IDs.
func (w *streamWriter) stream(fields map[string]string) error {
	if !w.begun {
		if err := w.do("XGROUP", "CREATE", w.key.Name, "redis-ha-copy", "0", "MKSTREAM"); err != nil {
			return err
		}
		if err := w.do("XGROUP", "DESTROY", w.key.Name, "redis-ha-copy"); err != nil {
			return err
		}
	}
	arguments := []any{"XSETID", w.key.Name, fields["last-generated-id"]}
	if added, deleted := fields["entries-added"], fields["max-deleted-entry-id"]; added != "" && deleted != "" {
		arguments = append(arguments, "ENTRIESADDED", added, "MAXDELETEDID", deleted)
	}
	return w.do(arguments...)
}

func (w *streamWriter) group(fields map[string]string) error {
	arguments := []any{"XGROUP", "CREATE", w.key.Name, fields["name"], fields["last-delivered-id"]}
	if read := fields["entries-read"]; read != "" {
		arguments = append(arguments, "ENTRIESREAD", read)
	}
	return w.do(arguments...)
}

func (w *streamWriter) consumer(group, name string) error {
	return w.do("XGROUP", "CREATECONSUMER", w.key.Name, group, name)
}

func (w *streamWriter) pending(group string, messages []pending) error {
	now := time.Now()
	commands, err := w.target.pipelined(w.ctx, w.key.DB, func(pipe redis.Pipeliner) {
		for _, m := range messages {
			pipe.Do(w.ctx, "XCLAIM", w.key.Name, group, m.consumer, 0, m.id,
				"TIME", now.Add(-m.idle).UnixMilli(), "RETRYCOUNT", m.deliveries, "FORCE", "JUSTID")
		}
	})
	if err == nil {
		err = first(commands)
	}
	return w.target.wrap("XCLAIM", err)
}

// streamSum adds the state of a stream to its digest: what a client can tell apart, but not when it was read.
type streamSum struct{ digest *copyplan.Digest }

func (s *server) streamDigest(ctx context.Context, v value, d *copyplan.Digest) ([32]byte, error) {
	if d.Rows() == 0 {
		exists, err := s.db(v.key.DB).Exists(ctx, v.key.Name).Result()
		if err != nil || exists == 0 {
			return d.Sum(), err
		}
	}
	err := s.readStreamState(ctx, v.key, streamSum{digest: d})
	return d.Sum(), err
}

func (s streamSum) stream(fields map[string]string) error {
	s.digest.Add(row{"last", fields["last-generated-id"]})
	return nil
}

func (s streamSum) group(fields map[string]string) error {
	s.digest.Add(row{"group", fields["name"], fields["last-delivered-id"]})
	return nil
}

func (s streamSum) consumer(group, name string) error {
	s.digest.Add(row{"consumer", group, name})
	return nil
}

func (s streamSum) pending(group string, messages []pending) error {
	for _, m := range messages {
		s.digest.Add(row{"pending", group, m.id, m.consumer, strconv.FormatInt(m.deliveries, 10)})
	}
	return nil
}
