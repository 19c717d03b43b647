package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

const (
	// savedCopy is the RDB file that a leaving replica has saved, under a name of its own: Redis writes dumpFile for other reasons, too.
	savedCopy = "redis-ha.saved.rdb"
	// saveLooks is the pause between two looks at a Redis that saves. A Redis that answers does not save any more.
	saveLooks = 250 * time.Millisecond
	// rejoinTime is how long a former master may need to become a replica in sync of its successor. Redis connects within a second.
	rejoinTime = 5 * time.Second
)

// saveCopy has the Redis of a leaving replica save a copy of its data and end. The next pod on this volume goes on from there. Where Redis
// cannot save, it runs on.
func (s *Server) saveCopy(ctx context.Context, o role.Observation) {
	ctx, cancel := s.untilExit(ctx)
	defer cancel()
	if deadline, _ := ctx.Deadline(); s.memory.SavesCopy(o, time.Until(deadline)) {
		s.report(s.save(ctx, s.local(), s.child))
	}
}

// saveAfterHandOver is saveCopy for a master that has handed over. Its Redis becomes a replica of the successor before it saves. The channel
// is closed when Redis has ended, or when it cannot save. nil means that Redis is not to save.
func (s *Server) saveAfterHandOver(ctx context.Context, o role.Observation, successor netip.AddrPort) <-chan struct{} {
	ctx, cancel := s.untilExit(ctx)
	if deadline, _ := ctx.Deadline(); !s.memory.SavesAfterHandOver(o, time.Until(deadline)) {
		cancel()
		return nil
	}
	node, child, done := s.local(), s.child, make(chan struct{})
	s.guard.Guard(nil) // a replica accepts no writes
	go func() {
		defer close(done)
		defer cancel()
		err := s.rejoin(ctx, node, successor)
		if err == nil {
			err = s.save(ctx, node, child)
		}
		s.report(err)
	}()
	return done
}

// rejoin makes the Redis of a former master a replica in sync of its successor. Nobody has written since the successor had everything, so
// that takes no full copy.
func (s *Server) rejoin(ctx context.Context, node *redisnode.Node, successor netip.AddrPort) error {
	if err := s.setLink(ctx, false); err != nil { // it may still have the password of an external master; see promote
		return fmt.Errorf("give Redis the password of the successor: %w", err)
	}
	if err := node.Follow(ctx, successor); err != nil {
		return fmt.Errorf("follow the successor: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, rejoinTime)
	defer cancel()
	for {
		info, err := node.Info(ctx)
		switch {
		case err == nil && info.LinkUp:
			return nil
		case err == nil && info.Syncing:
			return errors.New("the successor sends a full copy")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the link to the successor: %w", ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// report logs why a copy of the data could not be saved.
func (s *Server) report(err error) {
	if err != nil {
		s.log.Warn("no copy of the data is saved: the next pod on this volume gets a full copy from the master", "error", err)
	}
}

// save has Redis save all its data and end, and keeps the file.
func (s *Server) save(ctx context.Context, node *redisnode.Node, child *process.Child) error {
	began := time.Now()
	node.SaveAndShutdown(ctx)
	looks := time.NewTicker(saveLooks)
	defer looks.Stop()
	for {
		select {
		case <-child.Done():
			return s.keepCopy(child, time.Since(began))
		case <-ctx.Done():
			return fmt.Errorf("wait for redis-server to save: %w", ctx.Err())
		case <-looks.C:
			s.watchdog.turn()
			if _, err := node.Info(ctx); err == nil {
				return errors.New("redis-server runs on; see its log for what kept it from saving")
			}
		}
	}
}

// keepCopy gives the file that a Redis has saved the name under which the next start finds it.
func (s *Server) keepCopy(child *process.Child, took time.Duration) error {
	if err := child.Err(); err != nil {
		return fmt.Errorf("redis-server did not end in order: %w", err)
	}
	if err := s.renameData(dumpFile, savedCopy); err != nil {
		return err
	}
	s.log.Info("a copy of the data is saved for the next pod on this volume", "took", took.Round(time.Millisecond).String())
	return nil
}

// takeCopy says whether there is a saved copy to start from. The copy counts for one start: afterwards the append-only file has later data.
func (s *Server) takeCopy() bool {
	if !s.config.Persistence {
		return false
	}
	err := s.renameData(savedCopy, dumpFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the saved copy of the data cannot be used: the master sends a full copy", "error", err)
	}
	return err == nil
}

// renameData renames a file in the data directory.
func (s *Server) renameData(from, to string) error {
	return volume.Rename(filepath.Join(s.config.DataDir, from), filepath.Join(s.config.DataDir, to))
}

// appendAgain has a Redis that has started from a saved copy write its append-only file.
func (s *Server) appendAgain(ctx context.Context, o role.Observation) {
	if !s.memory.AppendsAgain(o) {
		return
	}
	if err := s.local().Set(ctx, "appendonly", "yes"); err != nil {
		s.log.Warn("redis-server does not write its append-only file yet; trying again", "error", err)
	}
}
