package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// standingFile remembers, beside the data, what the data are worth.
	standingFile = "redis-ha.json"
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

// readStanding reads what the data in the data directory are worth. Without
// persistence nothing of an earlier process is left.
func readStanding(c config.Config) role.Standing {
	if !c.Persistence {
		return role.Standing{Empty: true}
	}
	entries, err := os.ReadDir(filepath.Join(c.DataDir, appendDir))
	if err != nil || len(entries) == 0 {
		return role.Standing{Empty: true}
	}
	var standing role.Standing
	content, err := os.ReadFile(filepath.Join(c.DataDir, standingFile))
	if err == nil {
		err = json.Unmarshal(content, &standing)
	}
	if err != nil {
		// Data without a word on where they come from are better than none.
		return role.Standing{}
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
	if !o.Local.Answering || o.Local.Loading || !o.Local.Master && !o.Local.Synced {
		return
	}
	if !m.recordOK {
		if m.standing.Empty {
			m.standing = role.Standing{Offset: o.Local.Offset} // of an unknown generation, but data
		}
		return
	}
	next := m.standing
	next.Broken = false
	switch {
	case o.Local.Master && o.MasterUID == s.self.UID:
		next = role.Standing{Generation: m.record.Generation, Master: true, Offset: o.Local.Offset}
	case !o.Local.Master && o.Local.LinkUp && o.Local.Follows.String() == m.record.Master.IP:
		next = role.Standing{Generation: m.record.Generation, Offset: o.Local.Offset}
	case !o.Local.Master && !next.Empty && !next.Master:
		next.Offset = o.Local.Offset
	case !o.Local.Master && next.Empty && o.Local.LinkUp:
		// The record is not up to date yet; the data are there all the same.
		next = role.Standing{Generation: m.record.Generation, Offset: o.Local.Offset}
	}
	if o.Local.Master && s.decided.Label == role.MasterLabel {
		s.claimed = false
	}
	m.standing = next
	if !s.config.Persistence || o.Local.Copied || next == s.standingOn {
		return
	}
	advanced := s.standingOn
	advanced.Offset = next.Offset
	if next == advanced && time.Since(s.standingAt) < time.Second {
		return // only the offset moves, and it moves all the time
	}
	s.standingAt = time.Now()
	if err := writeStanding(s.config, next); err != nil {
		s.log.Warn("the standing could not be written; an election after a full restart may choose another server", "error", err)
		return
	}
	s.standingOn = next
}

func writeStanding(c config.Config, standing role.Standing) error {
	content, err := json.Marshal(standing)
	if err != nil {
		return fmt.Errorf("encode the standing: %w", err)
	}
	path := filepath.Join(c.DataDir, standingFile)
	if err := os.WriteFile(path+".new", content, 0o640); err != nil {
		return fmt.Errorf("write the standing: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the standing: %w", err)
	}
	return nil
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
	s.crashes, s.unloaded, s.observed.standing = 0, 0, role.Standing{Empty: true}
	s.log.Error("redis-server could not start with the data on disk several times; they were put aside and come anew from the master", "kept", to)
}

// keepEmpty writes down that there are no data: Redis makes files of its own
// before its master's copy has come, and they must not count for data when the
// container starts again.
func (s *Server) keepEmpty() {
	if err := writeStanding(s.config, s.observed.standing); err != nil {
		s.log.Warn("that there are no data could not be written; an election may take the first files of Redis for some", "error", err)
		return
	}
	s.standingOn = s.observed.standing
}
