package backup

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
)

// lease is the Lease of backups, with the API's rule that a write needs the version that was read.
type lease struct {
	mu     sync.Mutex
	record kube.BackupRecord
	broken error
}

func (l *lease) BackupRecord(context.Context) (kube.BackupRecord, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record, l.broken
}

func (l *lease) WriteBackupRecord(_ context.Context, r kube.BackupRecord) (kube.BackupRecord, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return kube.BackupRecord{}, l.broken
	}
	if r.Version != l.record.Version {
		return kube.BackupRecord{}, kube.ErrChanged
	}
	number, _ := strconv.Atoi(r.Version)
	r.Version = strconv.Itoa(number + 1)
	l.record = r
	return r, nil
}

// touch writes as somebody else does.
func (l *lease) touch(change func(*kube.BackupRecord)) {
	r, _ := l.BackupRecord(context.Background())
	change(&r)
	_, _ = l.WriteBackupRecord(context.Background(), r)
}

func (l *lease) get() kube.BackupRecord {
	r, _ := l.BackupRecord(context.Background())
	return r
}

var (
	quick = times{renew: 5 * time.Millisecond, expiry: 300 * time.Millisecond, look: 5 * time.Millisecond}
	quiet = slog.New(slog.DiscardHandler)
)

func TestOnlyOneRunHoldsTheLease(t *testing.T) {
	l := &lease{}
	first, _, err := acquire(t.Context(), l, "first", quick, quiet)
	require.NoError(t, err)
	assert.Equal(t, "first", l.get().Holder)
	_, _, err = acquire(t.Context(), l, "second", quick, quiet)
	assert.ErrorIs(t, err, errRunning)
	assert.ErrorContains(t, err, "by pod first")
	require.NoError(t, first.remember(t.Context(), kube.LastBackup{Name: "n", Size: 5}))
	first.release(t.Context())
	assert.Empty(t, l.get().Holder)
	assert.Equal(t, "n", l.get().Last.Name, "the last backup is remembered")
	second, _, err := acquire(t.Context(), l, "second", quick, quiet)
	require.NoError(t, err)
	second.release(t.Context())
	assert.Equal(t, "n", l.get().Last.Name)
}

func TestTheLeaseOfADeadRunIsTakenOver(t *testing.T) {
	l := &lease{record: kube.BackupRecord{Holder: "dead"}}
	began := time.Now()
	held, _, err := acquire(t.Context(), l, "next", quick, quiet)
	require.NoError(t, err)
	defer held.release(t.Context())
	assert.GreaterOrEqual(t, time.Since(began), quick.expiry)
	assert.Equal(t, "next", l.get().Holder)
}

func TestARunThatLosesTheLeaseEnds(t *testing.T) {
	l := &lease{}
	held, ctx, err := acquire(t.Context(), l, "first", quick, quiet)
	require.NoError(t, err)
	l.touch(func(r *kube.BackupRecord) { r.Holder = "other" })
	<-ctx.Done()
	assert.ErrorIs(t, context.Cause(ctx), errLost)
	held.release(t.Context())
	assert.Equal(t, "other", l.get().Holder, "the Lease of the other run stays")
}

// Helm writes labels into the Lease in an upgrade.
func TestAWriteOfSomebodyElseLosesNothing(t *testing.T) {
	l := &lease{}
	held, ctx, err := acquire(t.Context(), l, "first", quick, quiet)
	require.NoError(t, err)
	l.touch(func(*kube.BackupRecord) {})
	require.NoError(t, held.remember(t.Context(), kube.LastBackup{Name: "n"}))
	assert.NoError(t, ctx.Err())
	held.release(t.Context())
	assert.Equal(t, "n", l.get().Last.Name)
}

func TestARunEndsWhenTheLeaseCannotBeRenewedForLong(t *testing.T) {
	l := &lease{}
	held, ctx, err := acquire(t.Context(), l, "first", quick, quiet)
	require.NoError(t, err)
	away := errors.New("the API is away")
	l.mu.Lock()
	l.broken = away
	l.mu.Unlock()
	began := time.Now()
	<-ctx.Done()
	assert.ErrorIs(t, context.Cause(ctx), away)
	assert.GreaterOrEqual(t, time.Since(began), quick.expiry/2, "one failure ends nothing")
	held.release(t.Context())
}

func TestAStepThatDoesNotMoveEnds(t *testing.T) {
	ctx, moved, over := watchEvery(t.Context(), quiet, "storing", 10, 5*time.Millisecond, 2*time.Second)
	defer over()
	for range 10 {
		_, _ = moved.Write([]byte("x"))
		time.Sleep(300 * time.Millisecond) // slower than the ticker, faster than the stall
	}
	require.NoError(t, ctx.Err())
	<-ctx.Done()
	assert.ErrorContains(t, context.Cause(ctx), "storing: nothing has moved for 2s after 10 bytes")
}
