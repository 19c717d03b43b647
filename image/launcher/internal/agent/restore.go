package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

const (
	// restoreDir holds a backup while it is fetched.
	restoreDir = "restore.new"
	// restoredFile has the name of the backup that the data began with, until the record has it.
	restoredFile = "redis-ha.restored"
	// restoreEvery is the pause after an attempt to fetch a backup that has failed.
	restoreEvery = 10 * time.Second

	// What Redis calls the first files of an append-only file; see aof.c. The base file is an RDB file.
	baseFile     = "appendonly.aof.1.base.rdb"
	manifestFile = "appendonly.aof.manifest"
	manifest     = "file " + baseFile + " seq 1 type b\n"
)

// restoring is the fetching of a backup beside the loop.
type restoring struct {
	end    context.CancelFunc
	wanted bool   // the election may still wait for the backup
	name   string // the backup that has been fetched; empty: it is still being fetched
}

// restore begins to fetch the backup that the release begins with, if that is not under way. The data that have been fetched become those of this
// pod: the election waits for them.
func (s *Server) restore(ctx context.Context) {
	switch r := s.restoring; {
	case r != nil && r.name != "":
		s.restoring = nil
		if err := s.takeBackup(r.name); err != nil {
			s.notRestored(err)
		}
		return
	case r != nil || time.Now().Before(s.restoreAt):
		return
	}
	ctx, end := context.WithCancel(ctx)
	r := &restoring{end: end, wanted: true}
	s.restoring = r
	settings, dir, log := s.config.Backup, s.config.DataDir, s.log
	log.Info("fetching the backup that the release begins with", "backup", settings.RestoreFrom)
	s.beside(func() func() {
		name, err := fetchBackup(ctx, s, dir)
		return func() { s.fetched(r, name, err) }
	})
}

// fetchBackup writes the RDB file of the backup into restoreDir, and gives the name of the backup.
func fetchBackup(ctx context.Context, s *Server, dir string) (string, error) {
	into := filepath.Join(dir, restoreDir)
	if err := os.RemoveAll(into); err != nil {
		return "", fmt.Errorf("remove a backup that was fetched before: %w", err)
	}
	if err := os.Mkdir(into, 0o750); err != nil {
		return "", fmt.Errorf("make a directory for the backup: %w", err)
	}
	from, err := backup.Open(s.config.Backup)
	if err != nil {
		return "", err
	}
	m, err := backup.Fetch(ctx, from, s.config.Backup.RestoreFrom, s.config.Backup.Identity, filepath.Join(into, baseFile), s.log)
	if err != nil {
		return "", err
	}
	if err := volume.Write(filepath.Join(into, manifestFile), manifest); err != nil {
		return "", fmt.Errorf("write the manifest of the append-only file: %w", err)
	}
	return m.Name, nil
}

// fetched takes the end of an attempt. No other attempt has begun before: both would write the same files.
func (s *Server) fetched(r *restoring, name string, err error) {
	r.end()
	if err == nil && r.wanted {
		r.name = name // the next turn takes it, if the election waits for it
		return
	}
	s.restoring = nil
	s.removeFetched()
	if r.wanted {
		s.notRestored(err)
	}
}

// notRestored tells why an attempt has failed, and puts the next one off.
func (s *Server) notRestored(err error) {
	s.restoreAt = time.Now().Add(restoreEvery)
	s.restoreNote = fmt.Sprintf("the backup %s could not be restored; trying again: %v", s.config.Backup.RestoreFrom, err)
	s.log.Error("the backup that the release begins with could not be restored; trying again", "backup", s.config.Backup.RestoreFrom, "error", err)
}

// removeFetched removes a backup, or a part of it, that does not become the data of this pod. It may be as large as all data.
func (s *Server) removeFetched() {
	if err := os.RemoveAll(filepath.Join(s.config.DataDir, restoreDir)); err != nil {
		s.log.Warn("a backup that was fetched cannot be removed; it takes up room", "error", err)
	}
}

// takeBackup makes the fetched file the data of this pod.
func (s *Server) takeBackup(name string) error {
	from := filepath.Join(s.config.DataDir, restoreDir)
	if err := volume.Write(filepath.Join(s.config.DataDir, restoredFile), name); err != nil {
		return fmt.Errorf("write down which backup was restored: %w", err)
	}
	to := filepath.Join(s.config.DataDir, appendDir)
	if !s.config.Persistence {
		from, to = filepath.Join(from, baseFile), filepath.Join(s.config.DataDir, dumpFile)
	}
	// An empty directory may be there. Data are not: the election has found this pod empty.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make room for the restored data: %w", err)
	}
	if err := volume.Rename(from, to); err != nil {
		return fmt.Errorf("move the restored data to their place: %w", err)
	}
	s.dumpRestored, s.restoredSettled = !s.config.Persistence, false
	s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{}, role.Standing{}
	s.restoreNote = ""
	s.log.Info("the backup is restored: this pod holds its data", "backup", name)
	return nil
}

// watchRestore ends an attempt that no election will wait for any more, and tells of a backup that was not restored. An election that waits
// for something else meanwhile, as for an API that does not answer, may come back to the backup.
func (s *Server) watchRestore() {
	if r := s.restoring; r != nil && (s.child != nil || s.memory.Record.Initialised) {
		r.wanted = false
		r.end()
		if r.name != "" {
			s.restoring = nil
			s.removeFetched()
		}
	}
	s.settleRestored()
	wanted, r := s.config.Backup.RestoreFrom, s.memory.Record
	if wanted == "" || !s.memory.RecordKnown || !r.Initialised {
		return
	}
	note := ""
	if r.RestoredIn == 0 && r.Restored != wanted && (wanted != backup.Latest || r.Restored == "") {
		note = fmt.Sprintf("the backup %s is not restored, as the release had data before: remove restore.from, or install another release", wanted)
	}
	if note != s.restoreNote && note != "" {
		s.log.Error("a backup is not restored", "reason", note)
	}
	s.restoreNote = note
}

// settleRestored notes that Redis has loaded the restored data. Until then Redis loads them again whenever it is started.
func (s *Server) settleRestored() {
	if s.restoredSettled || s.child == nil || !s.memory.Loaded {
		return
	}
	s.restoredSettled, s.dumpRestored = true, false
	if err := os.Remove(filepath.Join(s.config.DataDir, restoredFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("a file could not be removed", "error", err)
	}
}

// restoredDump says whether this pod, which keeps nothing on disk, has a restored backup that Redis has not loaded yet.
func (s *Server) restoredDump() bool {
	_, err := os.Stat(filepath.Join(s.config.DataDir, dumpFile))
	return err == nil && s.restoredBackup() != ""
}

// restoredBackup names the backup that the data of this pod began with; empty if they began without one.
func (s *Server) restoredBackup() string {
	if s.config.Backup.RestoreFrom == "" {
		return ""
	}
	content, err := os.ReadFile(filepath.Join(s.config.DataDir, restoredFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
