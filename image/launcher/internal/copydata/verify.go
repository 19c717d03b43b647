package copydata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// samplePart is how many keys of a sample a worker takes at once.
const samplePart = 16

const (
	// randomPage is how many keys a question for a random key looks at: the source chooses the place, this program the key.
	randomPage = 10
	// randomTries bounds the questions for each key of a sample: a page may be empty, or have keys that were found before.
	randomTries = 4
)

// verify compares the numbers of keys, and a random sample value by value. The error says what differs.
func (c *copier) verify(ctx context.Context) error {
	theirs, ours, err := c.databases(ctx)
	if err != nil {
		return err
	}
	var problems []error
	all := maps.Clone(theirs)
	maps.Copy(all, ours)
	for _, db := range slices.Sorted(maps.Keys(all)) {
		problem, err := c.verifyCount(ctx, db)
		if err != nil {
			return err
		}
		problems = append(problems, problem)
	}
	problem, err := c.verifySample(ctx, theirs)
	if err != nil {
		return err
	}
	return errors.Join(append(problems, problem)...)
}

// verifyCount compares the numbers of keys of a database. Redis also counts keys that have expired and are not deleted
// yet, so that different numbers are followed by a comparison of all names.
func (c *copier) verifyCount(ctx context.Context, db int) (problem, err error) {
	theirs, err := c.source.size(ctx, db)
	if err != nil {
		return nil, err
	}
	ours, err := c.target.size(ctx, db)
	if err != nil {
		return nil, err
	}
	if theirs == ours {
		c.say("database %d: %d keys at both", db, theirs)
		return nil, nil
	}
	missing, err := c.names(ctx, db, c.source, c.target)
	if err != nil {
		return nil, err
	}
	extra, err := c.names(ctx, db, c.target, c.source)
	if err != nil {
		return nil, err
	}
	if missing.number.Load() == 0 && extra.number.Load() == 0 {
		c.say("database %d: the same keys at both; the source counts %d and the target %d, with keys that have expired", db, theirs, ours)
		return nil, nil
	}
	return fmt.Errorf("database %d has %d keys at the source and %d at the target: %d are missing, for instance %q, and the source does not have %d, for instance %q",
		db, theirs, ours, missing.number.Load(), missing.some(), extra.number.Load(), extra.some()), nil
}

// lack are keys that one server has and the other has not.
type lack struct {
	number atomic.Int64
	named  chan string
}

// some names a few of the keys.
func (l *lack) some() []string {
	close(l.named)
	var names []string
	for name := range l.named {
		names = append(names, name)
	}
	return names
}

// names finds the keys that one server has and another has not.
func (c *copier) names(ctx context.Context, db int, has, hasNot *server) (*lack, error) {
	found := &lack{named: make(chan string, namedFailures)}
	err := c.throughKeys(ctx, has, map[int]int64{db: 1}, func(ctx context.Context, keys []copyplan.Key) error {
		missing, err := hasNot.missing(ctx, keys)
		if err != nil {
			return err
		}
		expired, err := has.missing(ctx, missing)
		if err != nil {
			return err
		}
		for _, key := range missing {
			if slices.Contains(expired, key) {
				continue
			}
			found.number.Add(1)
			select {
			case found.named <- key.Name:
			default:
			}
		}
		return nil
	})
	return found, err
}

// sample is a comparison of random keys.
type sample struct {
	mu               sync.Mutex
	compared, differ int
	first            string
}

// few says that only few keys differ, so that there is time to compare each of them twice.
func (s *sample) few() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.differ < namedFailures
}

func (s *sample) add(key copyplan.Key, difference string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compared++
	if difference == "" {
		return
	}
	if s.differ++; s.first == "" {
		s.first = fmt.Sprintf("%q of database %d: %s", key.Name, key.DB, difference)
	}
}

// verifySample compares random keys value by value, or all keys if there are no more than that.
func (c *copier) verifySample(ctx context.Context, sizes map[int]int64) (problem, err error) {
	var found sample
	compare := func(ctx context.Context, keys []copyplan.Key) error {
		for _, key := range keys {
			difference, err := c.difference(ctx, key, true)
			if err == nil && difference != "" && found.few() {
				// A key that expires goes from one server before it goes from the other.
				if err = pause(ctx, retryAfter); err == nil {
					difference, err = c.difference(ctx, key, false)
				}
			}
			if err != nil {
				return fmt.Errorf("compare the key %q of database %d: %w", key.Name, key.DB, err)
			}
			found.add(key, difference)
		}
		return nil
	}
	for db, share := range copyplan.Shares(c.Sample, sizes) {
		if int64(share) >= sizes[db] {
			err = c.throughKeys(ctx, c.source, map[int]int64{db: sizes[db]}, compare)
		} else {
			err = c.throughRandomKeys(ctx, db, share, compare)
		}
		if err != nil {
			return nil, err
		}
	}
	c.say("sample: %d keys compared value by value, %d differ", found.compared, found.differ)
	if found.differ > 0 {
		return fmt.Errorf("%d of %d keys of the sample differ, for instance %s", found.differ, found.compared, found.first), nil
	}
	return nil, nil
}

func (c *copier) throughRandomKeys(ctx context.Context, db, number int, work func(context.Context, []copyplan.Key) error) error {
	keys, err := c.randomKeys(ctx, db, number)
	if err != nil {
		return err
	}
	return inParallel(ctx, slices.Chunk(keys, samplePart), work)
}

// randomKeys finds up to a number of random keys of a database of the source, each of them once. RANDOMKEY would be
// shorter, but while writes are paused and all keys of a database have expired, it never ends and so stops the source
// (https://github.com/redis/redis/issues/13862). SCAN from a random cursor always ends.
func (c *copier) randomKeys(ctx context.Context, db, number int) ([]copyplan.Key, error) {
	found := map[copyplan.Key]bool{}
	for asked := 0; asked < randomTries*number && len(found) < number; {
		pipe := c.source.db(db).Pipeline()
		pages := make([]*redis.ScanCmd, min(batchKeys, number-len(found)))
		for i := range pages {
			pages[i] = pipe.Scan(ctx, uint64(rand.Uint32()), "", randomPage)
		}
		asked += len(pages)
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, c.source.wrap("ask for random keys", err)
		}
		for _, page := range pages {
			if names, _ := page.Val(); len(names) > 0 {
				found[copyplan.Key{DB: db, Name: names[rand.IntN(len(names))]}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(found)), nil
}
