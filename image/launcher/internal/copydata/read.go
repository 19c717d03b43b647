package copydata

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// row is an element of a value: a piece of a string, an element of a list, a member of a set, a member with its score,
// a field with its value and the time at which it expires, or an entry of a stream with its ID in front.
type row = []string

// value is a key whose elements are read or written.
type value struct {
	key  copyplan.Key
	kind string
	// piece is the number of elements that are read at once.
	piece int64
	// fieldExpiry says that both servers know fields that expire.
	fieldExpiry bool
}

// lengths are the commands that count the elements of a value.
var lengths = map[string]string{"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN", "string": "STRLEN"}

// length counts the elements of a value.
func (s *server) length(ctx context.Context, key copyplan.Key, kind string) (int64, error) {
	return s.db(key.DB).Do(ctx, lengths[kind], key.Name).Int64()
}

// rows reads a value piece by piece. A key that does not exist has no rows.
func (s *server) rows(ctx context.Context, v value, each func([]row) error) error {
	switch v.kind {
	case "string":
		return s.pieces(ctx, v, each)
	case "list", "zset":
		return s.ranges(ctx, v, each)
	case "set", "hash":
		return s.scanElements(ctx, v, each)
	case "stream":
		return s.entries(ctx, v, each)
	}
	return fmt.Errorf("the type %s has no commands", v.kind)
}

func (s *server) pieces(ctx context.Context, v value, each func([]row) error) error {
	for offset := int64(0); ; offset += copyplan.StringPiece {
		piece, err := s.db(v.key.DB).GetRange(ctx, v.key.Name, offset, offset+copyplan.StringPiece-1).Result()
		if err != nil || piece == "" {
			return err
		}
		if err := each([]row{{piece}}); err != nil {
			return err
		}
		if len(piece) < copyplan.StringPiece {
			return nil
		}
	}
}

func (s *server) ranges(ctx context.Context, v value, each func([]row) error) error {
	for start := int64(0); ; start += v.piece {
		arguments, width := []any{"LRANGE", v.key.Name, start, start + v.piece - 1}, 1
		if v.kind == "zset" {
			arguments, width = append(arguments, "WITHSCORES"), 2
			arguments[0] = "ZRANGE"
		}
		flat, err := s.db(v.key.DB).Do(ctx, arguments...).StringSlice()
		if err != nil || len(flat) == 0 {
			return err
		}
		rows := inRows(flat, width)
		if v.kind == "zset" {
			if err := plainScores(rows); err != nil {
				return err
			}
		}
		if err := each(rows); err != nil {
			return err
		}
		if int64(len(rows)) < v.piece {
			return nil
		}
	}
}

// plainScores writes scores in one way: versions of Redis differ in the number of digits.
func plainScores(rows []row) error {
	for _, r := range rows {
		score, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return fmt.Errorf("read a score: %w", err)
		}
		r[1] = strconv.FormatFloat(score, 'g', -1, 64)
	}
	return nil
}

func (s *server) scanElements(ctx context.Context, v value, each func([]row) error) error {
	command, width := "SSCAN", 1
	if v.kind == "hash" {
		command, width = "HSCAN", 2
	}
	cursor := "0"
	for {
		answer, err := s.db(v.key.DB).Do(ctx, command, v.key.Name, cursor, "COUNT", v.piece).Slice()
		if err != nil {
			return err
		}
		next, flat, err := page(answer)
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		rows := inRows(flat, width)
		if v.kind == "hash" {
			if rows, err = s.addFieldExpiry(ctx, v, rows); err != nil {
				return err
			}
		}
		if len(rows) > 0 {
			if err := each(rows); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "0" {
			return nil
		}
	}
}

// page reads an answer of the SCAN family.
func page(answer []any) (next string, elements []string, err error) {
	if len(answer) != 2 {
		return "", nil, fmt.Errorf("the answer has %d parts instead of 2", len(answer))
	}
	next, isText := answer[0].(string)
	list, isList := answer[1].([]any)
	if !isText || !isList {
		return "", nil, fmt.Errorf("the answer is %T and %T instead of a cursor and a list", answer[0], answer[1])
	}
	return next, texts(list), nil
}

func texts(list []any) []string {
	all := make([]string, len(list))
	for i, element := range list {
		all[i] = fmt.Sprint(element)
	}
	return all
}

// inRows divides a flat list into rows.
func inRows(flat []string, width int) []row {
	rows := make([]row, 0, len(flat)/width)
	for ; len(flat) >= width; flat = flat[width:] {
		rows = append(rows, flat[:width:width])
	}
	return rows
}

// addFieldExpiry adds to each field the time at which it expires, where both servers know that.
func (s *server) addFieldExpiry(ctx context.Context, v value, rows []row) ([]row, error) {
	if !v.fieldExpiry || len(rows) == 0 {
		return rows, nil
	}
	times, err := s.fieldTimes(ctx, v.key, rows)
	if err != nil {
		return nil, err
	}
	return withTimes(rows, times), nil
}

// noField is the answer of HPEXPIRETIME for a field that does not exist.
const noField = -2

// withTimes adds to each field the time at which it expires. A field that has gone since it was read is left out: it
// would stay at the target for ever.
func withTimes(rows []row, times []int64) []row {
	present := make([]row, 0, len(rows))
	for i, r := range rows {
		if times[i] != noField {
			present = append(present, append(r, strconv.FormatInt(times[i], 10)))
		}
	}
	return present
}

// fieldTimes asks when fields of a hash expire; negative numbers are no time.
func (s *server) fieldTimes(ctx context.Context, key copyplan.Key, rows []row) ([]int64, error) {
	arguments := []any{"HPEXPIRETIME", key.Name, "FIELDS", len(rows)}
	for _, r := range rows {
		arguments = append(arguments, r[0])
	}
	times, err := s.db(key.DB).Do(ctx, arguments...).Int64Slice()
	if err != nil {
		return nil, err
	}
	if len(times) != len(rows) {
		return nil, fmt.Errorf("HPEXPIRETIME has %d answers for %d fields", len(times), len(rows))
	}
	return times, nil
}

func (s *server) entries(ctx context.Context, v value, each func([]row) error) error {
	for start := "-"; ; {
		messages, err := s.db(v.key.DB).Do(ctx, "XRANGE", v.key.Name, start, "+", "COUNT", v.piece).Slice()
		if err != nil || len(messages) == 0 {
			return err
		}
		rows := make([]row, len(messages))
		for i, message := range messages {
			if rows[i], err = entry(message); err != nil {
				return err
			}
		}
		if err := each(rows); err != nil {
			return err
		}
		if int64(len(rows)) < v.piece {
			return nil
		}
		if start, err = copyplan.NextID(rows[len(rows)-1][0]); err != nil {
			return err
		}
	}
}

// entry reads an entry of a stream.
func entry(message any) (row, error) {
	parts, isList := message.([]any)
	if !isList || len(parts) != 2 {
		return nil, fmt.Errorf("an entry of a stream is %v", message)
	}
	fields, isList := parts[1].([]any)
	if !isList {
		return nil, fmt.Errorf("an entry of a stream has the fields %v", parts[1])
	}
	return append(row{fmt.Sprint(parts[0])}, texts(fields)...), nil
}

// withoutCache blanks the count that PFCOUNT keeps in bytes 8 to 15 of an estimate (HyperLogLog): PFCOUNT changes it without a
// notification, and it follows from the rest.
func withoutCache(text string) string {
	if len(text) < 16 || !strings.HasPrefix(text, "HYLL") {
		return text
	}
	return text[:8] + text[16:]
}

// digest sums up a value. SSCAN and HSCAN may give an element twice while a table shrinks, so that the number of
// elements is compared with the length, and the value read again.
func (s *server) digest(ctx context.Context, v value) ([32]byte, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		d := copyplan.NewDigest(v.kind)
		err := s.rows(ctx, v, func(rows []row) error {
			for _, r := range rows {
				if v.kind == "string" && d.Rows() == 0 {
					r = row{withoutCache(r[0])}
				}
				d.Add(r)
			}
			return nil
		})
		if err != nil {
			return [32]byte{}, err
		}
		if v.kind == "stream" {
			return s.streamDigest(ctx, v, d)
		}
		if v.kind == "string" {
			return d.Sum(), nil
		}
		length, err := s.length(ctx, v.key, v.kind)
		if err != nil {
			return [32]byte{}, err
		}
		if length == d.Rows() || attempt == attempts {
			return d.Sum(), nil
		}
	}
}

// pipelined is for questions whose answers are needed together.
func (s *server) pipelined(ctx context.Context, db int, ask func(redis.Pipeliner)) ([]redis.Cmder, error) {
	pipe := s.db(db).Pipeline()
	ask(pipe)
	if pipe.Len() == 0 {
		return nil, nil
	}
	commands, err := pipe.Exec(ctx)
	if err != nil && !answered(err) {
		return nil, err
	}
	return commands, nil
}
