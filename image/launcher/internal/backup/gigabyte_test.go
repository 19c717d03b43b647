package backup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// bulkKeys values of bulkSize bytes are a gigabyte.
	bulkKeys = 65536
	bulkSize = 16 << 10
	// batch is how many keys one request has.
	batch = 512
)

// fillBulk writes a gigabyte that cannot be compressed, and some keys of each other type.
func fillBulk(t *testing.T, client *redis.Client) {
	t.Helper()
	source := make([]byte, 1<<20)
	noiseInto(source)
	for first := 0; first < bulkKeys; first += batch {
		_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := first; i < first+batch; i++ {
				from := (i * 7919) % (len(source) - bulkSize)
				p.Set(t.Context(), fmt.Sprintf("bulk:%d", i), fmt.Sprint(i, ":")+string(source[from:from+bulkSize]), 0)
			}
			return nil
		})
		require.NoError(t, err)
	}
	_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		ctx := t.Context()
		p.HSet(ctx, "hash", "field", "value", "other", 5)
		for i := range 2000 {
			p.HSet(ctx, "large hash", fmt.Sprint(i), strings.Repeat("v", 100))
			p.RPush(ctx, "list", i)
			p.SAdd(ctx, "set", fmt.Sprint("member ", i))
			p.SAdd(ctx, "numbers", i)
			p.ZAdd(ctx, "sorted set", redis.Z{Score: float64(i) / 3, Member: i})
			p.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: fmt.Sprintf("%d-1", i+1), Values: []any{"n", i}})
		}
		p.XGroupCreate(ctx, "stream", "group", "5-1")
		p.PFAdd(ctx, "count", "a", "b")
		p.Set(ctx, "expires", "later", time.Hour)
		p.Set(ctx, "", "the empty key", 0)
		return nil
	})
	require.NoError(t, err)
}

// noiseInto fills a buffer with bytes that cannot be compressed: a linear congruential generator (Numerical Recipes).
func noiseInto(buffer []byte) {
	state := uint32(1)
	for i := range buffer {
		state = state*1664525 + 1013904223
		buffer[i] = byte(state >> 24)
	}
}

// keysOf lists all keys, sorted.
func keysOf(t *testing.T, client *redis.Client) []string {
	t.Helper()
	var keys []string
	all := client.Scan(t.Context(), 0, "", 10000).Iterator()
	for all.Next(t.Context()) {
		keys = append(keys, all.Val())
	}
	require.NoError(t, all.Err())
	slices.Sort(keys)
	return slices.Compact(keys)
}

// describe gives for each key the checksum of its value, whatever its type, and when it expires.
func describe(t *testing.T, client *redis.Client, keys []string) []string {
	t.Helper()
	var found []string
	for part := range slices.Chunk(keys, batch) {
		replies, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for _, key := range part {
				p.Do(t.Context(), "DEBUG", "DIGEST-VALUE", key)
				p.Do(t.Context(), "PEXPIRETIME", key)
			}
			return nil
		})
		require.NoError(t, err)
		for i, key := range part {
			found = append(found, fmt.Sprint(key, replies[2*i].(*redis.Cmd).Val(), replies[2*i+1].(*redis.Cmd).Val()))
		}
	}
	return found
}

func TestGigabyteComesBackKeyByKey(t *testing.T) {
	r := newRelease(t)
	fillBulk(t, r.clients[0])
	connection := r.clients[0].Conn() // WAIT waits for the last write of its own connection
	defer connection.Close()
	require.NoError(t, connection.Set(t.Context(), "last", "written", 0).Err())
	require.Eventually(t, func() bool {
		reply, err := connection.Do(t.Context(), "WAIT", 1, 1000).Int()
		return err == nil && reply == 1
	}, time.Minute, 100*time.Millisecond, "the slave has the gigabyte")
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	s := bucket(t, t.TempDir())
	began := time.Now()
	require.NoError(t, r.maker(t, s, key.Recipient().String()).Run(t.Context()))
	made := time.Since(began)
	path := filepath.Join(t.TempDir(), "fetched.rdb")
	began = time.Now()
	m, err := Fetch(t.Context(), s, Latest, key.String(), path, quiet)
	require.NoError(t, err)
	assert.Greater(t, m.RDB.Size, int64(1<<30))
	t.Logf("%d MiB: the backup took %.1f s, to fetch it %.1f s", m.RDB.Size>>20, made.Seconds(), time.Since(began).Seconds())

	restored := startRedis(t, "127.0.0.9", freePort(t), "--dir", filepath.Dir(path), "--dbfilename", filepath.Base(path))
	keys := keysOf(t, r.clients[0])
	require.Greater(t, len(keys), bulkKeys)
	require.Equal(t, keys, keysOf(t, restored), "the keys")
	want, got := describe(t, r.clients[0], keys), describe(t, restored, keys)
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
}
