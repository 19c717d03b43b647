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

// errTakenSince: another pod has taken the record, and the loop has not decided by it yet.
var errTakenSince = errors.New("another pod has taken the record since; this pod decides again")

// recordAfterLabel writes this pod into the record after its label master has been written. The next turn of the loop takes over the record
// that was written.
func (s *Server) recordAfterLabel(ctx context.Context) {
	claim := claimant{self: s.self, own: s.generation.Load, held: s.held.Load, known: s.known.Load, desired: s.labels.WantsMaster}
	written, err := claim.takeRecord(ctx, s.api, s.log)
	if err != nil {
		s.log.Warn("the record of the master could not be written", "error", err)
		return
	}
	s.wrote(written)
}

// claimant is a pod that is labelled master. Its functions tell what the loop knows now; they are safe for concurrent use.
type claimant struct {
	self  record.Member
	own   func() int64 // the generation as which self is master; see record.Record.Names
	held  func() int64 // the generation of the data of self; see record.Record.Holding
	known func() int64 // the generation of the record by which the loop has decided
	// desired says whether self is to be master.
	desired func() bool
}

// takeRecord writes the claimant into the record as the master, unless the record names it. takeRecord reads the record again when another pod
// has written it. If the claimant is not to be master any more, the record stays, and the error is errNotDesired. If the loop has not decided by the
// record that is to be replaced, the record stays as well, and the error is errTakenSince; Server.keepRecord writes it if the loop stays with its decision.
func (c claimant) takeRecord(ctx context.Context, api *kube.Client, log *slog.Logger) (record.Record, error) {
	for {
		known := c.known() // before the reading, as the loop goes on
		read, err := api.Record(ctx)
		if err != nil || read.Names(c.self, c.own()) {
			return read, err
		}
		if !c.desired() || read.LeftToAnother(c.self, time.Now()) {
			return read, errNotDesired
		}
		if read.TakenSince(known, c.self) {
			return read, errTakenSince
		}
		written, err := takeRecordAt(ctx, api, read, c.self, c.own(), c.held())
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
