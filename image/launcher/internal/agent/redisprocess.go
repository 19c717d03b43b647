package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// dumpFile is where BGSAVE writes: the default of dbfilename, which the launcher owns.
const dumpFile = "dump.rdb"

// start starts Redis as a replica of master, or as a master. External says that the master is not one of the release.
func (s *Server) start(master netip.AddrPort, external bool) error {
	if !s.restarts.Due(time.Now()) {
		return nil
	}
	if waits := s.passwords.Waits(); waits != "" {
		s.log.Debug("redis-server does not start yet", "reason", waits)
		return nil
	}
	path := filepath.Join(s.config.RunDir, "redis.conf")
	settings := s.directives.startable(s.sized())
	settings.TLS.Folder = s.certificates.Folder()
	if told := s.toldLimit(); told > 0 {
		settings.MemoryLimit = told
	}
	if err := redisconf.WriteCertificate(settings); err != nil {
		return err
	}
	text := redisconf.Server(settings, master)
	if external {
		text = redisconf.ExternalReplica(settings, master)
	}
	saved := s.takeCopy() && master.IsValid()
	if saved {
		text = redisconf.FromSavedCopy(text)
	}
	before := s.beforeBackup() && master.IsValid()
	if before {
		text = redisconf.RefusingStaleReads(text)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if s.restarts.Broken() && master.IsValid() {
		s.setDataAside()
	}
	if s.config.Persistence && s.memory.Worth.Standing.Empty {
		s.keepEmpty()
	}
	if !s.config.Persistence && !s.dumpRestored {
		if err := s.removeDump(); err != nil {
			return err
		}
	}
	s.removeUnfinished()
	child, err := process.Start(s.config.RedisServer, path)
	if err != nil {
		return err
	}
	now := time.Now()
	if s.reads = nil; before {
		s.reads = &reads{stale: "no"}
	}
	s.child, s.restarts.Started, s.priority, s.limit = child, now, redisconf.BootPriority, settings.MemoryLimit
	s.directives.started(settings)
	s.certified, s.authorized = settings.TLS.Folder, authorizationOf(settings)
	s.guard.Guard(child)
	s.memory.ProcessStarted(saved, now)
	follows := "nobody"
	if master.IsValid() {
		follows = master.String()
	}
	s.log.Info("redis-server started", "pid", child.PID(), "replicaof", follows, "from a saved copy", saved)
	return nil
}

// removeDump removes the copy that a client's BGSAVE has left. Redis would load it at its
// start, whatever its age. Without persistence an election counts a server as empty when it starts.
func (s *Server) removeDump() error {
	err := os.Remove(filepath.Join(s.config.DataDir, dumpFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the dump that an earlier redis-server has left (is the data directory writable?): %w", err)
	}
	return nil
}

// unfinished are the files that Redis makes while it saves, rewrites or receives a copy. A Redis that is killed leaves them behind, and
// each may be as large as all data.
var unfinished = []string{"temp-*.rdb", "temp-*.aof"}

// removeUnfinished removes what an earlier redis-server has not finished. Redis runs without that as long as the disk has room.
func (s *Server) removeUnfinished() {
	for _, pattern := range unfinished {
		paths, _ := filepath.Glob(filepath.Join(s.config.DataDir, pattern)) // its only error is that of a wrong pattern
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				s.log.Warn("an unfinished file of an earlier redis-server cannot be removed; it takes up room", "error", err)
			}
		}
	}
}

// childEnded notes the end of redis-server.
func (s *Server) childEnded() {
	now := time.Now()
	s.log.Warn("redis-server has ended", "error", s.child.Err(), "lived", now.Sub(s.restarts.Started).Round(time.Millisecond).String())
	s.child = nil
	s.guard.Guard(nil)
	process.ReapOrphans()
	s.restarts = s.restarts.After(s.memory.Loaded, now)
	s.processEnded(true)
	s.memory.Worth.Standing.Broken = !s.memory.Worth.Standing.Empty && s.restarts.Broken()
}

// stopRedis ends Redis; its own TERM handling flushes the append-only file. Redis
// refuses TERM while it writes its first file after a full copy; there is nothing to flush then.
func (s *Server) stopRedis() {
	signal := syscall.SIGTERM
	if s.memory.Held.Copied {
		signal = syscall.SIGKILL
	}
	s.endRedis(signal)
}

// endRedis sends Redis a signal, and waits until it has ended.
func (s *Server) endRedis(signal syscall.Signal) {
	if s.child == nil {
		return
	}
	s.child.Stop(signal, 15*time.Second)
	s.guard.Guard(nil)
	s.child = nil
	s.processEnded(false)
	if s.config.Persistence && !s.memory.Worth.Standing.Empty {
		s.disk().Hand(s.memory.Worth.Standing) // Run waits for it
	}
}

// processEnded forgets what was true of the process that has ended. died says that it has ended by itself.
func (s *Server) processEnded(died bool) {
	s.memory.ProcessEnded(died, s.config.Persistence, time.Now())
	if s.dumpRestored { // it has not been loaded, and the next redis-server loads it
		s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{}, role.Standing{}
	}
	s.info = redisnode.Info{}
	s.demoting = false
	s.generation.Store(0)
}
