package copydata

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// checkScript gives the end of a payload, which has its checksum, instead of all of it.
const checkScript = `local payload = redis.call('DUMP', KEYS[1]) if payload then return string.sub(payload, -10) end return false`

// changedMeanwhile says that a key has got another type, or has gone, while it was read.
func changedMeanwhile(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "WRONGTYPE") || strings.Contains(err.Error(), "no such key") ||
		strings.Contains(err.Error(), "NOGROUP"))
}

// short is an answer without the arguments of the command, which may be data.
func short(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", with args")
	return text
}

// withHint adds what the operator can do about an answer of the target.
func withHint(err error) error {
	switch {
	case strings.Contains(err.Error(), "OOM "):
		return fmt.Errorf("%w; raise maxmemory of the target, or its memory limit", err)
	case strings.Contains(err.Error(), "DB index is out of range"):
		return fmt.Errorf("%w; raise databases of the target (servers.config.databases)", err)
	}
	return err
}

// fingerprint is what is compared first: the end of the payload, and the time at which the key expires.
type fingerprint struct {
	check  copyplan.Check
	expiry int64
}

// fingerprints asks for the fingerprints of keys of one database.
func (s *server) fingerprints(ctx context.Context, items []item) ([]fingerprint, error) {
	if len(items) == 0 {
		return nil, nil
	}
	pipe := s.db(items[0].key.DB).Pipeline()
	checks, expiries := make([]*redis.Cmd, len(items)), make([]expiryQuestion, len(items))
	for n, i := range items {
		if s.readScripts {
			checks[n] = pipe.Do(ctx, "EVAL_RO", checkScript, 1, i.key.Name)
		} else {
			checks[n] = pipe.Do(ctx, "DUMP", i.key.Name)
		}
		expiries[n] = s.askExpiry(ctx, pipe, i.key.Name)
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, s.wrap("compare keys", err)
	}
	found := make([]fingerprint, len(items))
	for n := range items {
		payload, err := checks[n].Text()
		if err != nil && !errors.Is(err, redis.Nil) && !copyplan.PayloadRefused(err.Error()) {
			return nil, s.wrap("compare a key", err)
		}
		found[n].check = copyplan.CheckOf(payload)
		if found[n].expiry, err = s.expiry(expiries[n]); err != nil {
			return nil, s.wrap("ask when a key expires", err)
		}
	}
	return found, nil
}

// sameExpiry compares the times at which a key expires at the two servers.
func (c *copier) sameExpiry(a, b int64) bool {
	return copyplan.SameExpiry(a, b, c.source.expireTime && c.target.expireTime)
}

// different leaves out the keys that are equal at both servers.
func (c *copier) different(ctx context.Context, byPayload, byCommands []item) (payload, commands []item, err error) {
	for _, part := range inParts(byPayload) {
		theirs, err := c.source.fingerprints(ctx, part)
		if err != nil {
			return nil, nil, err
		}
		ours, err := c.target.fingerprints(ctx, part)
		if err != nil {
			return nil, nil, err
		}
		for n, i := range part {
			same := c.sameExpiry(theirs[n].expiry, ours[n].expiry)
			switch comparison := theirs[n].check.Compare(ours[n].check); {
			case same && comparison == copyplan.Equal:
				c.equal.Add(1)
			case same && (comparison == copyplan.Unlike || copyplan.Varies(i.kind)):
				byCommands = append(byCommands, i)
			default:
				payload = append(payload, i)
			}
		}
	}
	for _, i := range byCommands {
		difference, err := c.difference(ctx, i.key, c.follow)
		switch {
		case err != nil:
			return nil, nil, err
		case difference == "":
			c.equal.Add(1)
		case i.method == copyplan.ByPayload:
			payload = append(payload, i)
		default:
			commands = append(commands, i)
		}
	}
	return payload, commands, nil
}

// difference compares a key value by value, and says what differs; "" means nothing. Moving says that the source may
// change the key meanwhile.
func (c *copier) difference(ctx context.Context, key copyplan.Key, moving bool) (string, error) {
	kinds, expiries := [2]string{}, [2]int64{}
	for n, s := range []*server{c.source, c.target} {
		pipe := s.db(key.DB).Pipeline()
		kind, expiry := pipe.Type(ctx, key.Name), s.askExpiry(ctx, pipe, key.Name)
		if err := execute(ctx, pipe); err != nil {
			return "", s.wrap("compare a key", err)
		}
		var err error
		if kinds[n], err = kind.Result(); err != nil {
			return "", s.wrap("ask for the type of a key", err)
		}
		if expiries[n], err = s.expiry(expiry); err != nil {
			return "", s.wrap("ask when a key expires", err)
		}
	}
	switch {
	case kinds[0] != kinds[1]:
		return fmt.Sprintf("the type is %s at the source and %s at the target", kinds[0], kinds[1]), nil
	case kinds[0] == "none":
		return "", nil
	case !c.sameExpiry(expiries[0], expiries[1]):
		return fmt.Sprintf("it expires at %d at the source and at %d at the target", expiries[0], expiries[1]), nil
	}
	difference, err := c.valueDifference(ctx, key, kinds[0])
	if changedMeanwhile(err) && moving {
		return "it changes", nil
	}
	return difference, err
}

func (c *copier) valueDifference(ctx context.Context, key copyplan.Key, kind string) (string, error) {
	if lengths[kind] == "" {
		return c.moduleDifference(ctx, key, kind)
	}
	items, err := c.inspect(ctx, []copyplan.Key{key})
	if err != nil {
		return "", err
	}
	items[0].kind = kind
	v, err := c.valueOf(ctx, items[0])
	if err != nil {
		return "", err
	}
	length, err := c.target.length(ctx, key, kind)
	if err != nil {
		return "", c.target.wrap("count the elements of a "+kind, err)
	}
	if ours, err := c.source.length(ctx, key, kind); err != nil || ours != length {
		return fmt.Sprintf("its length is %d at the source and %d at the target", ours, length), c.source.wrap("count the elements of a "+kind, err)
	}
	theirs, err := c.source.digest(ctx, v)
	if err != nil {
		return "", c.source.wrap("read a "+kind, err)
	}
	ours, err := c.target.digest(ctx, v)
	if err != nil {
		return "", c.target.wrap("read a "+kind, err)
	}
	if theirs != ours {
		return "the values of the " + kind + " differ", nil
	}
	return "", nil
}

// moduleDifference compares a value of a module, which only DUMP can read.
func (c *copier) moduleDifference(ctx context.Context, key copyplan.Key, kind string) (string, error) {
	items := []item{{key: key, kind: kind}}
	theirs, err := c.source.fingerprints(ctx, items)
	if err != nil {
		return "", err
	}
	ours, err := c.target.fingerprints(ctx, items)
	if err != nil {
		return "", err
	}
	if theirs[0].check.Compare(ours[0].check) == copyplan.Equal {
		return "", nil
	}
	return "the payloads of the type " + kind + " differ", nil
}
