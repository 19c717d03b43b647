package agent

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

// awaitWord waits until this pod may take over.
func (s *Server) awaitWord(r *replacing) {
	if s.replacing != r || !r.at(restoration.Loaded) {
		return
	}
	s.step(func() func() {
		var err error
		select {
		case <-r.teller.Free():
		case <-r.child.Done():
			err = fmt.Errorf("redis-server has ended after it had loaded the backup: %w", r.ended())
		case <-r.ctx.Done():
			err = r.ctx.Err()
		}
		return func() {
			s.proceed(r, restoration.Taking, err)
			s.takeOver(r)
		}
	})
}

// takeOver makes this pod the master with the data of the backup, beside the loop.
func (s *Server) takeOver(r *replacing) {
	if s.replacing != r || !r.at(restoration.Taking) {
		return
	}
	carrier := s.carrier()
	standing := s.disk()
	t := succession.Takeover{
		Master: s.memory.Record.Master, Backup: r.order.Backup,
		Show: func(ctx context.Context) error { return r.show(ctx, s.config.TLS.Port(), s.config.RedisPort) },
		Keep: func(written record.Record) error {
			r.kept = true
			if s.config.Persistence {
				if err := s.swap().Commit(); err != nil {
					return err
				}
				standing.Hand(role.Standing{Generation: written.Generation, Master: true})
				standing.Wait()
			}
			return nil
		},
	}
	ctx := context.WithoutCancel(r.ctx) // from the fence on all of it is carried out
	s.step(func() func() {
		var written record.Record
		var committed bool
		var err error
		for try := range takeoverTries {
			if try > 0 {
				s.log.Warn("the takeover has failed; trying again", "backup", r.order.Backup, "error", err)
				time.Sleep(takeoverPause)
			}
			t.Until = r.teller.Until()
			if written, committed, err = carrier.TakeOver(ctx, t); committed || r.kept {
				break
			}
		}
		return func() { s.tookOver(r, written, committed, err) }
	})
}

// show has Redis listen at its port. It tries again while the launcher still uses the port to pass connections on.
func (r *replacing) show(ctx context.Context, directive string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	for {
		err := r.node.Set(ctx, directive, port)
		if err == nil {
			return nil
		}
		select {
		case <-r.child.Done():
			return err
		case <-ctx.Done():
			return fmt.Errorf("have redis-server listen at port %d: %w", port, err)
		case <-time.After(pollEvery):
		}
	}
}

// tookOver takes the end of the takeover.
func (s *Server) tookOver(r *replacing, written record.Record, committed bool, err error) {
	if !committed {
		s.memory.ReadAgain()
		s.giveUp(fmt.Errorf("take over from the master: %w", err))
		return
	}
	if err != nil {
		s.log.Error("the record names this pod with the data of the backup, but its Redis does not listen yet", "error", err)
	}
	now := time.Now()
	s.replacing, s.child, s.reads = nil, r.child, nil
	s.restarts.Started, s.priority, s.limit = now, redisconf.BootPriority, r.started.MemoryLimit
	s.directives.started(r.started)
	s.certified, s.authorized = r.started.TLS.Folder, r.authorized
	s.guard.Guard(r.child)
	s.memory.ProcessStarted(false, now)
	s.recordIs(written)
	standing := role.Standing{Generation: written.Generation, Master: true}
	s.memory.Worth = role.Worth{Standing: standing, Filed: standing}
	s.held.Store(written.Generation)
	s.log.Info("the backup has replaced the data of the release", "backup", r.order.Backup, "generation", written.Generation, "keys", r.told.Keys)
	r.farewell(restoration.Told{Stage: restoration.Done, Generation: written.Generation, Keys: r.told.Keys})
	r.node.Close()
	s.step(func() func() { // before another order, which puts data aside
		s.removeFetched()
		s.discard()
		return func() {}
	})
}

// discard removes files that nobody needs after a takeover: the old data or, without persistence, the file of the backup.
func (s *Server) discard() {
	remove := s.swap().Discard
	if !s.config.Persistence {
		remove = s.removeDump
	}
	if err := remove(); err != nil {
		s.log.Warn("files that the takeover has left could not be removed; they take up room", "error", err)
	}
}

// farewell tells launcher restore how the loading has ended, until launcher restore has heard it or gives up.
func (r *replacing) farewell(told restoration.Told) {
	r.teller.Set(told)
	r.end()
	time.AfterFunc(restoration.Silence, r.hush)
}

// giveUp has this pod go on with its old data.
func (s *Server) giveUp(reason error) {
	r := s.replacing
	s.replacing = nil
	s.log.Error("the backup does not replace the data of the release; this pod goes on with its old data", "backup", r.order.Backup, "reason", reason)
	if r.child != nil {
		r.child.Stop(syscall.SIGKILL, time.Second)
		r.node.Close()
	}
	if s.config.Persistence {
		undone, err := s.swap().Undo()
		switch {
		case err != nil:
			// The next launcher brings the old data back. All that Redis wrote until then would be lost.
			s.fatal = err
		case r.child != nil && !undone:
			s.log.Error("the old data of this pod were replaced already; the master sends a copy")
			s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{Empty: true}, role.Standing{Empty: true}
			s.keepEmpty() // before the data that were put aside are removed
			s.discard()
		}
	}
	s.removeFetched()
	r.farewell(restoration.Told{Stage: restoration.Failed, Reason: reason.Error()})
}

// watchReplacing gives up if the command has ended, or if the rules have decided something else for replacingGrace. If the master is lost, this pod may
// be needed.
func (s *Server) watchReplacing(d role.Decision, now time.Time) {
	r := s.replacing
	if r == nil || r.at(restoration.Taking) {
		return
	}
	switch {
	case r.teller.Err() != nil:
		s.giveUp(r.teller.Err())
	case r.at(restoration.Fetching):
	case d.Action == role.Detach || d.Action == role.LoadBackup:
		r.strayed = time.Time{}
	case r.strayed.IsZero():
		r.strayed = now
	case now.Sub(r.strayed) > replacingGrace:
		s.giveUp(fmt.Errorf("the release has no master that this pod can take over from: %s", d.Reason))
	}
}

// leaveReplacing says whether a pod that leaves has to wait for the end of its takeover. Before the takeover it gives the backup up.
func (s *Server) leaveReplacing() (wait bool) {
	if s.replacing == nil {
		return false
	}
	if s.replacing.at(restoration.Taking) {
		return true
	}
	s.giveUp(errors.New("this pod is leaving"))
	return false
}
