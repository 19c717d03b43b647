package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/dataswap"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/rdb"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
)

const (
	// ordersEvery is how often a server looks for an order to load a backup.
	ordersEvery = 5 * time.Second
	// wordEvery is how often a server tells how far it is.
	wordEvery = 500 * time.Millisecond
	// replacingGrace is how long the rules may not have this pod go on, as after one late answer of the master, before it gives up.
	replacingGrace = 3 * time.Second
	// takeoverTries is how often this pod tries to take over, and takeoverPause the time between two attempts.
	takeoverTries = 3
	takeoverPause = 2 * time.Second
	// showTime bounds the attempts to have a loaded Redis listen at its port. Late connections are passed on for lateEndpoints.
	showTime = 2 * lateEndpoints
	// unseenSocket is where the Redis listens that loads the backup, in the folder for what runs.
	unseenSocket = "unseen.sock"
)

// replacing is the loading of a backup that is to replace the data of the running release. It belongs to the loop.
type replacing struct {
	order   kube.Restoration
	command restoration.Taker // the pod that has given the order
	end     context.CancelFunc
	ctx     context.Context
	told    restoration.Told
	// strayed is since when the rules have not had this pod go on; zero: they have.
	strayed time.Time
	child   *process.Child // the Redis that nobody sees; nil: it has not been started
	node    *redisnode.Node
	started config.Config // what it was started with
	kept    bool          // the data of the backup count on the volume
}

// at says whether a stage has been reached.
func (r *replacing) at(stages ...restoration.Stage) bool {
	for _, stage := range stages {
		if r != nil && r.told.Stage == stage {
			return true
		}
	}
	return false
}

// note says what this pod does, for people; empty where no backup is to replace the data.
func (r *replacing) note() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("backup %s is to replace the data of the release: %s", r.order.Backup, r.told.Stage)
}

// swap gives the place of the data on the volume.
func (s *Server) swap() dataswap.Swap {
	return dataswap.Swap{Volume: s.config.DataDir, Data: appendDir}
}

// undoReplacing brings the old data back after a launcher that has ended while it loaded a backup.
func (s *Server) undoReplacing() error {
	if !s.config.Persistence {
		return nil
	}
	undone, err := s.swap().Undo()
	switch {
	case err != nil:
		return err
	case undone:
		s.log.Warn("this launcher ended before a backup had replaced the data of the release; this pod has its old data again")
	}
	return s.swap().Discard()
}

// followOrders looks for orders to load a backup until ctx ends.
func (s *Server) followOrders(ctx context.Context) {
	ticker := time.NewTicker(ordersEvery)
	defer ticker.Stop()
	var last *kube.Restoration
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.labels.WantsMaster() {
			continue // a master gets no order
		}
		read, err := s.api.BackupRecord(ctx)
		if err != nil {
			continue // the Lease may be read the next time, and tellBackup tells why it could not
		}
		order := read.Restoration
		if order != nil && (order.Server != s.self.UID || read.Holder == "") {
			order = nil
		}
		if same := order == last || order != nil && last != nil && *order == *last; same {
			continue
		}
		last = order
		s.beside(func() func() { return func() { s.ordered(ctx, order) } })
	}
}

// ordered begins to fetch a backup.
func (s *Server) ordered(ctx context.Context, order *kube.Restoration) {
	if order == nil || s.replacing != nil || s.stopping {
		return // what is under way asks the pod that has given the order
	}
	ctx, end := context.WithCancel(ctx)
	r := &replacing{order: *order, command: restoration.Take(order.URL), ctx: ctx, end: end, told: restoration.Told{Stage: restoration.Fetching}}
	s.replacing = r
	s.log.Info("fetching a backup that is to replace the data of the release", "backup", order.Backup, "bytes", order.Size)
	dir := filepath.Join(s.config.DataDir, restoreDir)
	s.beside(func() func() {
		err := r.fetch(ctx, dir)
		return func() { s.proceed(r, restoration.Fetched, err) }
	})
}

// proceed takes the end of a step beside the loop.
func (s *Server) proceed(r *replacing, stage restoration.Stage, err error) {
	switch {
	case s.replacing != r: // it has been given up meanwhile
	case err != nil:
		s.giveUp(err)
	default:
		r.told.Stage = stage
		s.log.Info("a backup is to replace the data of the release", "backup", r.order.Backup, "stage", string(stage), "keys", r.told.Keys)
	}
}

// fetch writes the RDB file into a directory, and checks it.
func (r *replacing) fetch(ctx context.Context, dir string) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o750)); err != nil {
		return fmt.Errorf("make a directory for the backup: %w", err)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("find out how much room the volume has: %w", err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < r.order.Size {
		return fmt.Errorf("the volume has %d bytes left, and the backup needs %d beside the present data", free, r.order.Size)
	}
	path, said := filepath.Join(dir, baseFile), time.Time{}
	err := r.command.File(ctx, path, r.order.Size, r.order.SHA256, func() {
		if time.Since(said) >= time.Second {
			said = time.Now()
			go func() { _, _ = r.command.Tell(ctx, restoration.Told{Stage: restoration.Fetching}) }()
		}
	})
	if err != nil {
		return err
	}
	checked := make(chan error, 1)
	go func() {
		_, err := rdb.Check(ctx, "redis-check-rdb", path)
		checked <- err
	}()
	if err := r.meanwhile(ctx, restoration.Told{Stage: restoration.Fetching}, checked); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, manifestFile), manifest); err != nil {
		return fmt.Errorf("write the manifest of the append-only file: %w", err)
	}
	return syncDirectory(dir)
}

// meanwhile tells how far this server is until something is done. The error says that it has failed, or that the command does not answer.
func (r *replacing) meanwhile(ctx context.Context, told restoration.Told, done <-chan error) error {
	answered := time.Now()
	for {
		_, err := r.command.Tell(ctx, told)
		if err == nil {
			answered = time.Now()
		} else if errors.Is(err, restoration.ErrStopped) || time.Since(answered) > restoration.Silence {
			return fmt.Errorf("launcher restore does not answer any more: %w", err)
		}
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wordEvery):
		}
	}
}

// detach ends the Redis of this replica. Its data stay on the volume.
func (s *Server) detach() {
	s.log.Info("redis-server ends, and keeps its data until the backup has replaced those of the release", "backup", s.replacing.order.Backup)
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
	r.told.Stage = restoration.Loading
	s.beside(func() func() {
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
	if told := s.toldLimit(); told > 0 {
		r.started.MemoryLimit = told
	}
	socket, path := filepath.Join(s.config.RunDir, unseenSocket), filepath.Join(s.config.RunDir, "redis.conf")
	text := redisconf.Unseen(redisconf.Server(r.started, netip.AddrPort{}), socket)
	if err := errors.Join(redisconf.WriteCertificate(r.started), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		return err
	}
	child, err := process.Start(s.config.RedisServer, path)
	if err != nil {
		return err
	}
	r.child, r.node = child, redisnode.AtSocket(socket, s.config.Password)
	s.log.Info("redis-server loads the backup, and nobody sees it", "pid", child.PID(), "backup", r.order.Backup)
	return nil
}

// awaitLoaded waits until the Redis that nobody sees has loaded its data, and counts them.
func (r *replacing) awaitLoaded() (keys int64, err error) {
	done := make(chan error, 1)
	go func() {
		for r.ctx.Err() == nil {
			info, err := r.node.Info(r.ctx)
			if err == nil && !info.Loading {
				keys, err = r.node.Keys(r.ctx)
				done <- err
				return
			}
			select {
			case <-r.child.Done():
				done <- fmt.Errorf("redis-server could not load the backup; see its log: %w", r.ended())
				return
			case <-r.ctx.Done():
			case <-time.After(wordEvery / 5):
			}
		}
	}()
	err = r.meanwhile(r.ctx, restoration.Told{Stage: restoration.Loading}, done)
	return keys, err
}

// ended says how the Redis that nobody sees has ended.
func (r *replacing) ended() error {
	if err := r.child.Err(); err != nil {
		return err
	}
	return errors.New("it has ended")
}

// awaitWord waits until this pod may take over.
func (s *Server) awaitWord(r *replacing) {
	if s.replacing != r || !r.at(restoration.Loaded) {
		return
	}
	told := r.told
	s.beside(func() func() {
		var err error
		for answered := time.Now(); ; {
			answer, failed := r.command.Tell(r.ctx, told)
			if failed == nil && answer.Go {
				break
			}
			if failed == nil {
				answered = time.Now()
			} else if errors.Is(failed, restoration.ErrStopped) || time.Since(answered) > restoration.Silence {
				err = fmt.Errorf("launcher restore does not answer any more: %w", failed)
				break
			}
			select {
			case <-r.child.Done():
				err = fmt.Errorf("redis-server has ended after it had loaded the backup: %w", r.ended())
			case <-r.ctx.Done():
				err = r.ctx.Err()
			case <-time.After(wordEvery):
				continue
			}
			break
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
		Master: s.memory.Record.Master, Backup: r.order.Backup, Show: func(ctx context.Context) error { return r.show(ctx, s.config.RedisPort) },
		Keep: func(written record.Record) error {
			if s.config.Persistence {
				if err := s.swap().Commit(); err != nil {
					return err
				}
				standing.Hand(role.Standing{Generation: written.Generation, Master: true})
				standing.Wait()
			}
			r.kept = true
			return nil
		},
	}
	ctx := context.WithoutCancel(r.ctx) // from the fence on all of it is carried out
	s.beside(func() func() {
		var written record.Record
		var err error
		for try := range takeoverTries {
			if try > 0 {
				s.log.Warn("the takeover has failed; trying again", "backup", r.order.Backup, "error", err)
				time.Sleep(takeoverPause)
			}
			var committed bool
			if written, committed, err = carrier.TakeOver(ctx, t); committed || err == nil {
				break
			}
		}
		return func() { s.tookOver(r, written, err) }
	})
}

// show has the Redis that nobody has seen listen at its port. The launcher may still be passing connections on that came late to an earlier Redis.
func (r *replacing) show(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	for {
		err := r.node.Set(ctx, "port", port)
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
func (s *Server) tookOver(r *replacing, written record.Record, err error) {
	if !r.kept {
		s.memory.ReadAgain()
		s.giveUp(fmt.Errorf("take over from the master: %w", err))
		return
	}
	if err != nil {
		s.log.Error("this pod is recorded as the master with the data of the backup, and its Redis is not seen yet", "error", err)
	}
	now := time.Now()
	s.replacing, s.child, s.reads = nil, r.child, nil
	s.restarts.Started, s.priority, s.limit = now, redisconf.BootPriority, r.started.MemoryLimit
	s.directives.started(r.started)
	s.guard.Guard(r.child)
	s.memory.ProcessStarted(false, now)
	s.recordIs(written)
	standing := role.Standing{Generation: written.Generation, Master: true}
	s.memory.Worth = role.Worth{Standing: standing, Filed: standing}
	s.held.Store(written.Generation)
	s.log.Info("the backup has replaced the data of the release", "backup", r.order.Backup, "generation", written.Generation, "keys", r.told.Keys)
	s.farewell(r, restoration.Told{Stage: restoration.Done, Generation: written.Generation, Keys: r.told.Keys})
	go func() {
		s.removeFetched()
		if err := s.swap().Discard(); err != nil {
			s.log.Warn("the data from before the backup could not be removed", "error", err)
		}
	}()
}

// farewell tells the command how it has ended, for as long as the command waits for a word.
func (s *Server) farewell(r *replacing, told restoration.Told) {
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), restoration.Silence)
		defer cancel()
		defer r.end()
		for ctx.Err() == nil {
			if _, err := r.command.Tell(ctx, told); err == nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(wordEvery):
			}
		}
	}()
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
		if _, err := s.swap().Undo(); err != nil {
			s.log.Error("the old data could not be brought back; the master sends a copy", "error", err)
			s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{Empty: true}, role.Standing{Empty: true}
		}
	}
	s.removeFetched()
	s.farewell(r, restoration.Told{Stage: restoration.Failed, Reason: reason.Error()})
}

// watchReplacing gives up if the rules have not had this pod go on for a while, as where the master is lost and this pod may be needed.
func (s *Server) watchReplacing(d role.Decision, now time.Time) {
	r := s.replacing
	if r == nil || r.at(restoration.Fetching, restoration.Taking) {
		return
	}
	switch {
	case d.Action == role.Detach || d.Action == role.LoadBackup:
		r.strayed = time.Time{}
	case r.strayed.IsZero():
		r.strayed = now
	case now.Sub(r.strayed) > replacingGrace:
		s.giveUp(fmt.Errorf("the release has no master that this pod can take over from: %s", d.Reason))
	}
}

// unseen says whether a Redis that nobody sees has the data of this pod, so that no other one may be started.
func (s *Server) unseen() bool { return s.replacing != nil && s.replacing.child != nil }

// leaveReplacing says whether a pod that leaves has to wait for its takeover. Otherwise it gives up what it loads.
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

// tuneReads has a replica whose data are older than a backup that has replaced those of the release refuse reads until it has the new ones, so
// that nobody reads old data after new ones.
func (s *Server) tuneReads(ctx context.Context, o role.Observation) {
	if !s.config.Backup.Enabled || !s.memory.RecordKnown {
		return
	}
	l, r := o.Local, s.memory.Record
	wanted := reads{follows: l.Follows, stale: s.live().Directive(succession.StaleReads, "yes")}
	if s.reads == nil {
		s.reads = &reads{wanted.follows, wanted.stale} // with which it has been started
	}
	if !l.Master && s.memory.Worth.Standing.Generation < r.RestoredIn {
		wanted.stale = "no"
	}
	if wanted == *s.reads {
		return // the launcher that takes over says no together with another master to follow
	}
	if err := s.local().Set(ctx, succession.StaleReads, wanted.stale); err != nil {
		s.log.Debug("which reads a replica without a link answers could not be set", "error", err)
		return
	}
	s.reads = &wanted
}

// reads is how the running Redis was last told to answer reads without a link to its master.
type reads struct {
	follows netip.Addr
	stale   string
}
