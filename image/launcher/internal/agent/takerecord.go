package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// errNotDesired: this pod was labelled master, and is not to be master any more.
var errNotDesired = errors.New("this pod is not to be master any more")

// recordAfterLabel writes this pod into the record after its label master has been written. The next turn of the loop takes over the record
// that was written.
func (s *Server) recordAfterLabel(ctx context.Context) {
	written, err := takeRecord(ctx, s.api, s.self, s.generation.Load, s.held.Load, s.labels.WantsMaster, s.log)
	if err != nil {
		s.log.Warn("the record of the master could not be written", "error", err)
		return
	}
	s.wrote(written)
}

// takeRecord writes the pod self into the record as the master, unless the record names it. own gives the generation as which self is
// master, and held the generation of its data; see record.Record.Names and Holding. takeRecord reads the record again when another pod has written
// it, and calls desired each time: the other pod may have replaced self. If self is not to be master any more, the record stays, and the error is errNotDesired.
func takeRecord(ctx context.Context, api *kube.Client, self record.Member, own, held func() int64, desired func() bool, log *slog.Logger) (record.Record, error) {
	for {
		read, err := api.Record(ctx)
		if err != nil || read.Names(self, own()) {
			return read, err
		}
		if !desired() || read.LeftToAnother(self, time.Now()) {
			return read, errNotDesired
		}
		written, err := takeRecordAt(ctx, api, read, self, own(), held())
		if errors.Is(err, kube.ErrChanged) {
			continue
		}
		if err == nil {
			log.Info("this pod is the recorded master", "generation", written.Generation)
		}
		return written, err
	}
}

// takeRecordAt writes the pod self, which is master as generation own and holds data of the generation held, into the record that was read,
// unless that record names it. The error is kube.ErrChanged if somebody has written the record since.
func takeRecordAt(ctx context.Context, api *kube.Client, read record.Record, self record.Member, own, held int64) (record.Record, error) {
	if read.Names(self, own) {
		return read, nil
	}
	return api.WriteRecord(ctx, read.Claim(self).Holding(held))
}
