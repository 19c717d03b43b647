package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
)

const (
	// renewEvery is how often a run writes the Lease again, which shows that it lives.
	renewEvery = 10 * time.Second
	// expiry is how long the Lease of a run may stay as it is. After that the run has died. It leaves room for three writes that fail.
	expiry = 45 * time.Second
	// lookEvery is how often a run looks whether the one before it still lives.
	lookEvery = 2 * time.Second
)

// records is the Lease of backups.
type records interface {
	BackupRecord(context.Context) (kube.BackupRecord, error)
	WriteBackupRecord(context.Context, kube.BackupRecord) (kube.BackupRecord, error)
}

var _ records = (*kube.Client)(nil)

// errRunning says that another run makes a backup.
var errRunning = errors.New("another backup is being made")

// errLost says that another run has taken the Lease.
var errLost = errors.New("another run has taken the Lease of backups")

// times are how often the lock acts, and how patient it is.
type times struct{ renew, expiry, look time.Duration }

var usual = times{renewEvery, expiry, lookEvery}

// lock is the Lease of backups in the hand of this run.
type lock struct {
	records records
	self    string
	times   times
	log     *slog.Logger
	lost    context.CancelCauseFunc
	stop    context.CancelFunc
	stopped chan struct{}

	mu     sync.Mutex
	record kube.BackupRecord
}

// acquire takes the Lease for the pod self. The error is errRunning if another pod holds the Lease and lives. The context that it gives ends
// if another run takes the Lease. Call release at the end.
func acquire(ctx context.Context, r records, self string, t times, log *slog.Logger) (*lock, context.Context, error) {
	record, err := take(ctx, r, self, t, log)
	if err != nil {
		return nil, nil, err
	}
	held, lost := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(held)
	l := &lock{records: r, self: self, times: t, log: log, lost: lost, stop: stop, stopped: make(chan struct{}), record: record}
	go l.renew(renewing)
	return l, held, nil
}

// take writes this pod into the Lease when no other pod that lives is there.
func take(ctx context.Context, r records, self string, t times, log *slog.Logger) (kube.BackupRecord, error) {
	seen, since := kube.BackupRecord{}, time.Now()
	for {
		record, err := r.BackupRecord(ctx)
		if err != nil {
			return record, err
		}
		if record.Holder != seen.Holder {
			seen, since = record, time.Now()
		}
		switch {
		case record.Holder == "" || record.Holder == self || time.Since(since) >= t.expiry:
			if record.Holder != "" && record.Holder != self {
				log.Warn("the run before this one has ended without a word", "pod", record.Holder)
			}
			record.Holder, record.Restoration = self, nil
			written, err := r.WriteBackupRecord(ctx, record)
			if errors.Is(err, kube.ErrChanged) {
				continue
			}
			return written, err
		case record.Version != seen.Version:
			return record, fmt.Errorf("%w by pod %s", errRunning, record.Holder)
		}
		select {
		case <-ctx.Done():
			return record, context.Cause(ctx)
		case <-time.After(t.look):
		}
	}
}

// renew writes the Lease again and again.
func (l *lock) renew(ctx context.Context) {
	defer close(l.stopped)
	written := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.times.renew):
		}
		err := l.write(ctx, func(*kube.BackupRecord) {})
		switch {
		case err == nil:
			written = time.Now()
		case ctx.Err() != nil:
		case errors.Is(err, errLost) || time.Since(written) >= l.times.expiry:
			l.lost(err)
			return
		default:
			l.log.Warn("the Lease of backups could not be renewed; trying again", "error", err)
		}
	}
}

// write changes the Lease. It reads the Lease anew if somebody else, such as Helm, has written there. The error is errLost if another run
// holds the Lease.
func (l *lock) write(ctx context.Context, change func(*kube.BackupRecord)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.record.Holder != l.self {
			return errLost
		}
		record := l.record
		change(&record)
		written, err := l.records.WriteBackupRecord(ctx, record)
		if err == nil {
			l.record = written
			return nil
		}
		if !errors.Is(err, kube.ErrChanged) {
			return err
		}
		read, err := l.records.BackupRecord(ctx)
		if err != nil {
			return err
		}
		l.record = read
	}
}

// read gives the record as this run has read or written it last.
func (l *lock) read() kube.BackupRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}

// remember writes the last good backup into the Lease.
func (l *lock) remember(ctx context.Context, last kube.LastBackup) error {
	if err := l.write(ctx, func(r *kube.BackupRecord) { r.Last = last }); err != nil {
		return fmt.Errorf("write the last good backup into the Lease: %w", err)
	}
	return nil
}

// release gives the Lease back. It needs a context that has not ended.
func (l *lock) release(ctx context.Context) {
	l.stop()
	<-l.stopped
	err := l.write(ctx, func(r *kube.BackupRecord) { r.Holder, r.Restoration = "", nil })
	if err != nil && !errors.Is(err, errLost) {
		l.log.Warn("the Lease of backups could not be given back; the next run waits for it", "error", err, "seconds", l.times.expiry.Seconds())
	}
	l.lost(context.Canceled)
}
