package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
)

// detach ends the Redis of this replica. Its data stay on the volume.
func (s *Server) detach() {
	s.log.Info("redis-server ends; its data stay on the volume until the backup has replaced the data of the release", "backup", s.replacing.order.Backup)
	s.stopRedis()
}

// loadBackup starts a Redis that nobody sees with the data of the backup.
func (s *Server) loadBackup() {
	r := s.replacing
	if !r.at(restoration.Fetched) {
		return
	}
	if err := s.startUnseen(r); err != nil {
		s.giveUp(err)
		return
	}
	r.tell(restoration.Loading)
	s.step(func() func() {
		keys, err := r.awaitLoaded()
		return func() {
			r.told.Keys = keys
			s.proceed(r, restoration.Loaded, err)
			s.awaitWord(r)
		}
	})
}

// startUnseen puts the backup into the place of the data, and starts Redis.
func (s *Server) startUnseen(r *replacing) error {
	fetched := filepath.Join(s.config.DataDir, restoreDir)
	if s.config.Persistence {
		if err := s.swap().Begin(fetched); err != nil {
			return err
		}
	} else if err := os.Rename(filepath.Join(fetched, baseFile), filepath.Join(s.config.DataDir, dumpFile)); err != nil {
		return fmt.Errorf("move the backup to where Redis loads it: %w", err)
	}
	r.started = s.directives.startable(s.sized())
	r.started.TLS.Folder = s.certificates.Folder()
	if told := s.toldLimit(); told > 0 {
		r.started.MemoryLimit = told
	}
	socket, path := filepath.Join(s.config.RunDir, unseenSocket), filepath.Join(s.config.RunDir, "redis.conf")
	text := redisconf.Unseen(r.started, socket)
	if err := errors.Join(redisconf.WriteCertificate(r.started), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		return err
	}
	child, err := process.Start(s.config.RedisServer, path)
	if err != nil {
		return err
	}
	r.child, r.node = child, redisnode.AtSocket(socket, s.config.Password).Trying(s.config.PasswordSource.Trying)
	r.authorized = authorizationOf(r.started)
	s.log.Info("redis-server loads the backup, and nobody sees it", "pid", child.PID(), "backup", r.order.Backup)
	return nil
}

// awaitLoaded waits until Redis has loaded the backup, and counts its keys. It also fails if Redis would refuse writes then.
func (r *replacing) awaitLoaded() (keys int64, err error) {
	for {
		info, err := r.node.Info(r.ctx)
		if err == nil && !info.Loading {
			if err := r.roomForWrites(); err != nil {
				return 0, err
			}
			return r.node.Keys(r.ctx)
		}
		select {
		case <-r.child.Done():
			return 0, fmt.Errorf("redis-server could not load the backup; see its log: %w", r.ended())
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		case <-time.After(loadPoll):
		}
	}
}

// roomForWrites says with an error that the data of the backup leave no room for writes. Redis loads more than maxmemory.
func (r *replacing) roomForWrites() error {
	info, err := r.node.Load(r.ctx)
	if err != nil {
		return err
	}
	if info.NoEviction && info.MaxMemory > 0 && info.UsedMemory > info.MaxMemory {
		return fmt.Errorf("the data of the backup take %d bytes of memory, and maxmemory is %d, so Redis would refuse writes: give the servers more memory", info.UsedMemory, info.MaxMemory)
	}
	return nil
}

// ended says how the Redis that loads the backup has ended.
func (r *replacing) ended() error {
	if err := r.child.Err(); err != nil {
		return err
	}
	return errors.New("it has ended")
}

// unseen says whether the Redis that loads the backup runs, so that no other Redis may be started.
func (s *Server) unseen() bool { return s.replacing != nil && s.replacing.child != nil }
