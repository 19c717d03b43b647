package agent

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// appendDir holds the append-only file; see package redisconf.
	appendDir = "appendonlydir"
	// brokenAfter is how many processes in a row may end before they have loaded a
	// server's own data until these count as broken. A replica puts them aside: its
	// master has them all. In an election any other data come first, but these
	// still before none. A process that ends later, however often, says nothing
	// about the data.
	brokenAfter = 4
)

// restartPause is the pause before the next start: none after the first end,
// then doubling from 1 s to 16 s.
func restartPause(crashes int) time.Duration {
	if crashes < 2 {
		return 0
	}
	return time.Second << min(crashes-2, 4)
}

// disk gives the file that keeps the standing on disk.
func (s *Server) disk() *standingFile {
	if s.standingFile == nil {
		s.standingFile = newStandingFile(s.config, s.log)
	}
	return s.standingFile
}

// loadStanding reads what the data in the data directory are worth. Without
// persistence nothing of an earlier process is left.
func (s *Server) loadStanding() role.Standing {
	if !s.config.Persistence {
		return role.Standing{Empty: true}
	}
	standing, err := s.disk().read()
	entries, errData := os.ReadDir(filepath.Join(s.config.DataDir, appendDir))
	switch {
	case errData != nil || len(entries) == 0:
		return role.Standing{Empty: true}
	case errors.Is(err, errNoStanding):
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

// keepStanding brings the standing up to date, in memory and, where there is
// persistence, on disk. The standing in memory is what the running Redis would bring
// as a master. The standing on disk is what its files would bring after a restart; it
// stays as it is until a full copy has reached the files.
func (s *Server) keepStanding(o role.Observation) {
	m := &s.observed
	if s.child == nil {
		if !s.config.Persistence && !m.standing.Empty {
			m.standing = role.Standing{Empty: true}
		}
		return
	}
	if o.Local.Answering && !o.Local.Master {
		s.keepDemotion()
	}
	if !o.Local.Answering || o.Local.Loading {
		return
	}
	if !o.Local.Master && !o.Local.Synced {
		if m.standing.Empty && o.Local.Offset > 1 {
			// No look has seen the replica in sync, and it waits for another copy: what it has is better than nothing.
			m.standing = role.Standing{Offset: o.Local.Offset}
			return
		}
		s.keepFiled(o.Local)
		return
	}
	next := m.standing
	next.Broken = false
	epoch, named := o.NamedIn()
	switch {
	case !s.ofRecordedMaster(o.Local) && s.sharesHistory(o.Local) && m.masters != nil && (next.Empty || !m.masters.Before(next)):
		next = role.Standing{Generation: m.masters.Generation, Epoch: m.masters.Epoch, Offset: o.Local.Offset}
	case !m.recordOK && next.Empty:
		next = s.leastStanding(o.Local)
	case !m.recordOK && o.Local.Master && named && (!next.Master || epoch > m.namedIn || next.Disputed(o.Peers)):
		next = role.Standing{Generation: next.Generation, Epoch: epoch, Master: true, Offset: o.Local.Offset}
		s.generation.Store(0) // this mastership is to be recorded
	case !m.recordOK:
		// Several servers may be unable to read the API. The offset tells which of them went on longest.
		next.Master, next.Offset = next.Master && o.Local.Master, o.Local.Offset
	case o.Local.Master && recorded(m.record, s.self, s.generation.Load()):
		next = role.Standing{Generation: m.record.Generation, Master: true, Offset: o.Local.Offset}
	case !o.Local.Master && s.ofRecordedMaster(o.Local):
		next = role.Standing{Generation: m.record.Generation, Offset: o.Local.Offset}
	case !o.Local.Master && !next.Empty && !next.Master:
		next.Offset = o.Local.Offset
	case !o.Local.Master && next.Empty && (o.Local.LinkUp || s.followsTheRecord(o.Local)) && (!s.askedMaster(o.Local) || s.sharesHistory(o.Local)):
		// The record is not up to date yet; the data are there all the same.
		next = role.Standing{Generation: m.record.Generation, Offset: o.Local.Offset}
	case !o.Local.Master && next.Empty:
		next = s.leastStanding(o.Local)
	}
	if m.recordOK && o.Local.Master && s.decided.Label == role.MasterLabel {
		s.claimed = false
	}
	if named && o.Local.Master {
		m.namedIn = max(m.namedIn, epoch)
	}
	m.standing = next
	if s.ofRecordedMaster(o.Local) || m.masters != nil && s.sharesHistory(o.Local) {
		m.standingOf = o.Local.History.ID
	}
	s.keepFiled(o.Local)
}

// leastStanding is what the data of a replica are worth at least. Their generation is that of the master's
// own data, or 0 if it is not known.
func (s *Server) leastStanding(local role.Local) role.Standing {
	least := role.Standing{Offset: local.Offset}
	if s.sharesHistory(local) {
		least.Generation, least.Epoch = s.observed.atLeast.Generation, s.observed.atLeast.Epoch
	}
	return least
}

// keepFiled brings the standing on disk up to date, as far as the files hold the data.
func (s *Server) keepFiled(local role.Local) {
	next := s.observed.standing
	switch {
	case !local.Copied:
		s.filed = next
	case next.Before(s.filed):
		// The files hold data of a promotion that was given up for the master of the copy.
		s.filed = role.Standing{Generation: next.Generation, Epoch: next.Epoch}
	}
	if s.config.Persistence && (!local.Copied || !s.filed.Empty) {
		s.writeStanding(s.filed)
	}
}

// keepDemotion records that this pod is no longer a master, nor about to become one, because writes now
// go to another server. This also applies to the files, even before they hold the copy of the new master.
func (s *Server) keepDemotion() {
	s.observed.standing.Master = false
	s.claimed = s.claimed && s.decided.Action == role.Claim // this look was before the claim
	if s.filed.Master {
		s.filed.Master = false
		if s.config.Persistence {
			s.writeStanding(s.filed)
		}
	}
}

// writeStanding has the standing written to disk, if it is not there, at most once a
// second where only the offset moves: it moves all the time.
func (s *Server) writeStanding(next role.Standing) {
	if latest, known := s.disk().latest(); known && next == latest {
		return
	}
	advanced := s.handed
	advanced.Offset = next.Offset
	if next == advanced && time.Since(s.standingAt) < time.Second {
		return
	}
	s.handed, s.standingAt = next, time.Now()
	s.disk().hand(next)
}

// setDataAside moves data that redis-server cannot load out of its way; the
// master sends a full copy. One set is kept for whoever wants to look at it.
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
	s.crashes, s.unloaded = 0, 0
	s.observed.standing, s.filed = role.Standing{Empty: true}, role.Standing{Empty: true}
	s.log.Error("redis-server could not start with the data on disk several times; they were put aside and come anew from the master", "kept", to)
}

// keepEmpty writes down that there are no data: Redis makes files of its own
// before its master's copy has come, and they must not count for data when the
// container starts again. So it waits until that is on disk.
func (s *Server) keepEmpty() {
	s.disk().hand(s.observed.standing)
	s.disk().wait()
}
