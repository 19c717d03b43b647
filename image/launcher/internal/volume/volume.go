// Package volume tells the data volume of a server from every other volume, and keeps a second pod off it. A volume that is kept outlives its
// pod: what its data are worth belongs to the volume.
package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

const (
	// idFile holds the ID of the volume. The first launcher that uses the volume makes it.
	idFile = "redis-ha.volume"
	// lockFile is locked by the launcher that uses the volume.
	lockFile = "redis-ha.lock"
	// lockEvery is the pause between two attempts to lock the volume.
	lockEvery = 100 * time.Millisecond
	// tellEvery is how often the launcher tells that it waits for the volume.
	tellEvery = 10 * time.Second
)

// idPattern is an ID: 128 random bits in hexadecimal digits.
var idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Volume is the data volume of this pod. The launcher keeps the value until its process ends: the lock goes with it.
type Volume struct {
	// ID names the volume. No other volume has the same ID, unless somebody has copied the volume. It is empty if it could neither be read
	// nor written.
	ID string

	lock *os.File
}

// Open waits until no other pod uses the volume in dir, and then reads its ID, or makes one. A pod that was deleted by force may still run
// for some seconds beside its successor, which has the same volume. Two servers must not write the same files. Where the filesystem knows no
// locks, Open does not wait. The error is that of ctx, or that of the directory.
func Open(ctx context.Context, dir string, log *slog.Logger) (*Volume, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data volume (is the data directory writable?): %w", err)
	}
	if err := await(ctx, lock, log); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	id, err := identify(dir)
	if err != nil {
		log.Warn("the data volume has no identity; check it. Until it has, a new pod on this volume is not known to have the data of the recorded master", "error", err)
	}
	return &Volume{ID: id, lock: lock}, nil
}

// await waits until this process has locked the file.
func await(ctx context.Context, lock *os.File, log *slog.Logger) error {
	var told time.Time
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			log.Warn("the data volume cannot be locked; two pods that use it at once would damage the data", "error", err)
			return nil
		case time.Since(told) >= tellEvery:
			told = time.Now()
			log.Info("waiting for the pod that still uses the data volume to end")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another pod still uses the data volume: %w", ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}

// identify reads the ID of a volume, or makes one where there is none or a power loss has damaged it.
func identify(dir string) (string, error) {
	path := filepath.Join(dir, idFile)
	content, err := os.ReadFile(path)
	if err == nil && idPattern.Match(content) {
		return string(content), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the identity of the data volume: %w", err)
	}
	return create(path)
}

// create writes a new ID so that a crash leaves all of it or nothing.
func create(path string) (string, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails; see crypto/rand
	text := hex.EncodeToString(id)
	if err := Write(path, text); err != nil {
		return "", fmt.Errorf("write the identity of the data volume: %w", err)
	}
	return text, nil
}

// Write writes a file so that it survives a power loss, whole or not at all.
func Write(path, text string) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return Rename(path+".new", path)
}

// Rename renames a file within its directory so that the new name survives a power loss, where the filesystem can do that.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("rename a file on the data volume: %w", err)
	}
	return SyncDirectory(filepath.Dir(to))
}

// SyncDirectory waits until the names in a directory survive a power loss, where the filesystem can do that.
func SyncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the directory %s: %w", path, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("write the names of the files in %s to disk: %w", path, err)
	}
	return nil
}
