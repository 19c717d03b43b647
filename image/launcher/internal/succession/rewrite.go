package succession

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// Rewrite changes the record once, and gives the record that was written. Its Version is empty if there was nothing to change. The error is
// kube.ErrChanged if somebody has written the record since it was read. Rewrite reads the record only where the known one is old, or does
// not allow the change: each request to the API lengthens a failover. An empty Version of known means that no record is known.
func (c Carrier) Rewrite(ctx context.Context, known record.Record, change func(record.Record) (next record.Record, changed bool, err error)) (record.Record, error) {
	if known.Version != "" {
		next, changed, err := change(known)
		if err == nil && changed {
			written, err := c.api.WriteRecord(ctx, next)
			if !errors.Is(err, kube.ErrChanged) {
				return written, err
			}
		}
	}
	read, err := c.api.Record(ctx)
	if err != nil {
		return record.Record{}, err
	}
	next, changed, err := change(read)
	if err != nil || !changed {
		return record.Record{}, err
	}
	return c.api.WriteRecord(ctx, next)
}

// OrderFailover records that this launcher tells a sentinel to replace a master that is down. See record.Record.OrderFailover.
func (c Carrier) OrderFailover(ctx context.Context, known record.Record) (record.Record, error) {
	written, err := c.Rewrite(ctx, known, func(r record.Record) (record.Record, bool, error) {
		next, err := r.OrderFailover(c.self, time.Now())
		return next, true, err
	})
	if err != nil {
		return record.Record{}, fmt.Errorf("record the order to replace the master: %w", err)
	}
	return written, nil
}
