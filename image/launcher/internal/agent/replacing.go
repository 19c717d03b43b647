package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/dataswap"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

const (
	// ordersEvery is how often a server looks for an order to load a backup.
	ordersEvery = 5 * time.Second
	// loadPoll is how often a Redis that loads a backup is asked whether it has.
	loadPoll = 100 * time.Millisecond
	// replacingGrace is how long the rules may decide something else before this pod gives up. One late answer of the master is no reason to give up.
	replacingGrace = 3 * time.Second
	// takeoverTries is how often this pod tries to take over, and takeoverPause the time between two attempts.
	takeoverTries = 3
	takeoverPause = 2 * time.Second
	// showTime bounds the attempts to have a loaded Redis listen at its port. The launcher may use the port for lateEndpoints to pass connections on.
	showTime = 2 * lateEndpoints
	// unseenSocket is the name of the socket of the Redis that loads the backup, in the run directory.
	unseenSocket = "unseen.sock"
)

// replacing is the loading of a backup that is to replace the data of the running release. Only the loop uses it.
type replacing struct {
	order   kube.Restoration
	command restoration.Taker   // the pod that has given the order
	teller  *restoration.Teller // tells that pod how far this one is
	end     context.CancelFunc  // ends the steps beside the loop
	ctx     context.Context
	hush    context.CancelFunc // ends the teller
	told    restoration.Told
	// strayed is since when the rules have decided something else than to load the backup; zero: they have not.
	strayed time.Time
	child   *process.Child // the Redis that loads the backup; nil: it has not been started
	node    *redisnode.Node
	started config.Config // the settings with which that Redis was started
	// authorized is what that Redis has of the passwords.
	authorized authorization
	kept       bool // the data of the backup count on the volume, or may
}

// tell notes a stage, and tells launcher restore.
func (r *replacing) tell(stage restoration.Stage) {
	r.told.Stage = stage
	r.teller.Set(r.told)
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

// note says for people how far the loading is; empty: no backup is being loaded.
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
		s.log.Warn("the launcher before this one ended while it loaded a backup; this pod has its old data again")
	}
	return s.swap().Discard()
}

// followOrders looks for orders to load a backup until ctx ends. It tells the loop of each order more than once, as the loop may still be busy with
// an earlier order.
func (s *Server) followOrders(ctx context.Context) {
	ticker := time.NewTicker(ordersEvery)
	defer ticker.Stop()
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
			s.log.Debug("whether there is an order to load a backup could not be read; looking again", "error", err)
			continue
		}
		if order := read.Restoration; order != nil && order.Server == s.self.UID && read.Holder != "" {
			s.beside(func() func() { return func() { s.ordered(ctx, *order) } })
		}
	}
}

// ordered begins to fetch a backup, once for each order. It waits for the last step of an order that was given up: both write the same files.
func (s *Server) ordered(ctx context.Context, order kube.Restoration) {
	if s.stopping || order == s.lastOrder || s.replacing != nil || s.replacingStep {
		return
	}
	s.lastOrder = order
	telling, hush := context.WithCancel(ctx)
	ctx, end := context.WithCancel(ctx)
	command, told := restoration.Take(order.URL, s.config.TLS.Links), restoration.Told{Stage: restoration.Fetching}
	r := &replacing{order: order, command: command, teller: command.Telling(telling, told), ctx: ctx, end: end, hush: hush, told: told}
	s.replacing = r
	s.log.Info("fetching a backup that is to replace the data of the release", "backup", order.Backup, "bytes", order.Size)
	dir := filepath.Join(s.config.DataDir, restoreDir)
	s.step(func() func() {
		err := r.fetch(ctx, dir)
		return func() { s.proceed(r, restoration.Fetched, err) }
	})
}

// step carries out a step beside the loop. One step runs at a time.
func (s *Server) step(task func() (then func())) {
	s.replacingStep = true
	s.beside(func() func() {
		then := task()
		return func() {
			s.replacingStep = false
			then()
		}
	})
}

// proceed takes the end of a step beside the loop.
func (s *Server) proceed(r *replacing, stage restoration.Stage, err error) {
	switch {
	case s.replacing != r: // it has been given up meanwhile
	case err != nil:
		s.giveUp(err)
	default:
		r.tell(stage)
		s.log.Info("a backup is to replace the data of the release", "backup", r.order.Backup, "stage", string(stage), "keys", r.told.Keys)
	}
}

// fetch writes the RDB file into a directory, and compares its checksum. The pod of the command has run redis-check-rdb. A server may lack the memory
// for that beside its data.
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
	if err := r.command.File(ctx, filepath.Join(dir, baseFile), r.order.Size, r.order.SHA256); err != nil {
		return err
	}
	if err := volume.Write(filepath.Join(dir, manifestFile), manifest); err != nil {
		return fmt.Errorf("write the manifest of the append-only file: %w", err)
	}
	return nil
}
