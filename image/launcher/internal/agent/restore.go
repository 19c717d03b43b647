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
type restoring struct{ end context.CancelFunc }

// restore begins to fetch the backup that the release begins with, if that is not under way.
func (s *Server) restore(ctx context.Context) {
	if s.restoring != nil || time.Now().Before(s.restoreAt) {
		return
	}
	ctx, end := context.WithCancel(ctx)
	r := &restoring{end}
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
	if err := writeSynced(filepath.Join(into, manifestFile), manifest); err != nil {
		return "", fmt.Errorf("write the manifest of the append-only file: %w", err)
	}
	return m.Name, syncDirectory(into)
}

// writeSynced writes a file, and waits until it is on disk.
func writeSynced(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDirectory waits until the names in a directory are on disk.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// fetched takes the end of an attempt. The data count as those of this pod only if the election still waits for them: another server may
// have become master meanwhile.
func (s *Server) fetched(r *restoring, name string, err error) {
	r.end()
	wanted := s.restoring == r
	if wanted {
		s.restoring = nil
	}
	if err == nil && wanted && s.child == nil && s.plan.Action == role.Restore {
		err = s.takeBackup(name)
	}
	switch {
	case !wanted:
		_ = os.RemoveAll(filepath.Join(s.config.DataDir, restoreDir))
	case err != nil:
		s.restoreAt = time.Now().Add(restoreEvery)
		s.restoreNote = fmt.Sprintf("the backup %s could not be restored; trying again: %v", s.config.Backup.RestoreFrom, err)
		s.log.Error("the backup that the release begins with could not be restored; trying again", "backup", s.config.Backup.RestoreFrom, "error", err)
	}
}

// takeBackup makes the fetched file the data of this pod.
func (s *Server) takeBackup(name string) error {
	from := filepath.Join(s.config.DataDir, restoreDir)
	if err := writeSynced(filepath.Join(s.config.DataDir, restoredFile), name); err != nil {
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
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("move the restored data to their place: %w", err)
	}
	if err := syncDirectory(s.config.DataDir); err != nil {
		return fmt.Errorf("move the restored data to their place: %w", err)
	}
	s.dumpRestored = !s.config.Persistence
	s.memory.Worth.Standing, s.memory.Worth.Filed = role.Standing{}, role.Standing{}
	s.restoreNote = ""
	s.log.Info("the backup is restored: this pod holds its data", "backup", name)
	return nil
}

// watchRestore ends an attempt that the election does not wait for any more, and tells of a backup that was not restored.
func (s *Server) watchRestore(d role.Decision) {
	if s.restoring != nil && d.Action != role.Restore {
		s.restoring.end()
		s.restoring = nil
	}
	wanted, r := s.config.Backup.RestoreFrom, s.memory.Record
	if wanted == "" || !s.memory.RecordKnown || !r.Initialised {
		return
	}
	note := ""
	if r.Restored != wanted && (wanted != backup.Latest || r.Restored == "") {
		note = fmt.Sprintf("the backup %s is not restored, as the release had data before: remove restore.from, or install another release", wanted)
	}
	if note != s.restoreNote && note != "" {
		s.log.Error("a backup is not restored", "reason", note)
	}
	s.restoreNote = note
}

// forgetRestored removes what the record has by now.
func (s *Server) forgetRestored() {
	if err := os.Remove(filepath.Join(s.config.DataDir, restoredFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("a file could not be removed", "error", err)
	}
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
