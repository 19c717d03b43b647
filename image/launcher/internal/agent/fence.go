package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// rewrite changes the record once, and remembers what it has written. See succession.Carrier.Rewrite.
func (s *Server) rewrite(ctx context.Context, change func(record.Record) (next record.Record, changed bool, err error)) error {
	written, err := s.carrier().Rewrite(ctx, s.lastRecord(), change)
	if err == nil && written.Version != "" {
		s.setRecord(written)
	}
	return err
}

// lastRecord is the record as it is remembered. An empty Version means that it is not known.
func (s *Server) lastRecord() record.Record {
	if !s.memory.RecordKnown {
		return record.Record{}
	}
	return s.memory.Record
}

// setRecord takes a record that the loop has written.
func (s *Server) setRecord(r record.Record) {
	now := time.Now()
	s.memory.Wrote(now)
	s.memory.SetRecord(r, now)
}

// writtenRecord is a record that was written beside the loop, and when.
type writtenRecord struct {
	record.Record
	at time.Time
}

// wrote hands a record that was written beside the loop over to the loop. It is safe for concurrent use.
func (s *Server) wrote(r record.Record) { s.written.Store(&writtenRecord{r, time.Now()}) }

// takeWritten gives the record that was last written beside the loop since the call before; nil if there is none. own is what the own Redis
// has told in this look. A look that has asked Redis before its promotion leaves the record that names this pod to the next look.
func (s *Server) takeWritten(own role.Own) *record.Record {
	w := s.written.Load()
	if w == nil || w.Master == s.self && !own.Master && w.at.After(s.turnAt) || !s.written.CompareAndSwap(w, nil) {
		return nil
	}
	if !s.memory.Wrote(w.at) {
		return nil // the loop has written a later one
	}
	return &w.Record
}

// errReplaced: another pod has become master, or somebody is replacing this one.
var errReplaced = record.ErrReplaced

// fenceFor records that this master promotes a successor in its place. named says that a majority of the
// sentinels names this pod. With errReplaced somebody else replaces this master, or has replaced it.
// With record.ErrNotRecorded the record names another pod, and the sentinels name this one.
func (s *Server) fenceFor(ctx context.Context, successor string, named bool) error {
	err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) {
		next, err := r.HandOver(s.self, successor, named, time.Now())
		return next, true, err
	})
	if err != nil && !errors.Is(err, errReplaced) {
		err = fmt.Errorf("record the hand-over: %w", err)
	}
	return err
}

// unfence takes the fence back when the hand-over did not happen. With errReplaced the record names another
// master.
func (s *Server) unfence(ctx context.Context) error {
	for {
		err := s.rewrite(ctx, func(r record.Record) (record.Record, bool, error) { return r.Unfence(s.self, time.Now()) })
		if !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}
