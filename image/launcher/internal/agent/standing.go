package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/standingfile"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

// appendDir holds the append-only file; see package redisconf.
const appendDir = "appendonlydir"

// openVolume waits until this pod alone uses its data volume, and learns the identity of the volume. The error is that of ctx if stop is closed
// before.
func (s *Server) openVolume(ctx context.Context, stop <-chan struct{}) error {
	if !s.config.Persistence {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	opened, err := volume.Open(ctx, s.config.DataDir, s.log)
	if err != nil {
		return err
	}
	s.volume, s.self.Volume = opened, opened.ID
	return nil
}

// disk gives the file that keeps the standing on disk.
func (s *Server) disk() *standingfile.File {
	if s.standingFile == nil {
		s.standingFile = standingfile.New(s.config.DataDir, s.log)
	}
	return s.standingFile
}

// loadStanding reads what the data in the data directory are worth. Without
// persistence nothing of an earlier process is left.
func (s *Server) loadStanding() role.Standing {
	if !s.config.Persistence {
		s.dumpRestored = s.restoredDump()
		return role.Standing{Empty: !s.dumpRestored}
	}
	standing, err := s.disk().Read()
	entries, errData := os.ReadDir(filepath.Join(s.config.DataDir, appendDir))
	switch {
	case errData != nil || len(entries) == 0:
		return role.Standing{Empty: true}
	case errors.Is(err, standingfile.ErrNone):
		// Data without a word on where they come from are better than none.
		return role.Standing{}
	case standing.Unreadable:
		s.log.Error("what the data are worth cannot be read, as after a power loss: in an election every server that knows it comes first, "+
			"and this one takes a copy of its data. Check the volume; if the elected master lacks data, restore a backup", "error", err)
	case err != nil:
		s.log.Warn("what the data are worth cannot be read, as after a power loss; what they were worth before is used", "error", err)
	}
	standing.Broken = false // it may have been repaired; the next starts will tell
	return standing
}

// keepStanding brings what the data are worth up to date, in memory and, where there is persistence, on disk.
func (s *Server) keepStanding(o role.Observation) {
	if s.child == nil {
		return
	}
	was := s.memory.Worth
	s.memory.Settle(o)
	s.generation.Store(s.memory.Own)
	s.held.Store(s.memory.Worth.Standing.Generation)
	filed := s.memory.Worth.Filed
	demoted := was.Filed.Master && !filed.Master
	looked := o.Local.Answering && !o.Local.Loading && (!o.Local.Copied || !filed.Empty)
	if s.config.Persistence && (demoted || looked) {
		s.writeStanding(filed)
	}
}

// writeStanding has the standing written to disk, if it is not there and due; see role.Memory.Files.
func (s *Server) writeStanding(next role.Standing) {
	if latest, known := s.disk().Latest(); known && next == latest {
		return
	}
	if s.memory.Files(next, time.Now()) {
		s.disk().Hand(next)
	}
}

// setDataAside moves data that redis-server cannot load out of its way; the
// master sends a full copy. One set is kept, so that a user can look at it.
func (s *Server) setDataAside() {
	from := filepath.Join(s.config.DataDir, appendDir)
	to := from + ".broken"
	if err := os.RemoveAll(to); err != nil {
		s.log.Warn("old broken data could not be removed", "error", err)
		return
	}
	if err := os.Rename(from, to); err != nil {
		s.log.Warn("broken data could not be put aside", "error", err)
		return
	}
	s.restarts = role.Restarts{}
	s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{Empty: true}, role.Standing{Empty: true}
	s.log.Error("redis-server could not start with the data on disk several times; they were put aside and come anew from the master", "kept", to)
}

// keepEmpty writes down that there are no data: Redis makes files of its own
// before its master's copy has come, and they must not count for data when the
// container starts again. So it waits until that is on disk.
func (s *Server) keepEmpty() {
	s.disk().Hand(s.memory.Worth.Standing)
	s.disk().Wait()
}
