// Package cache keeps what is expensive to make in one folder per user, under
// names that contain a hash of everything it was made from. What is there
// under the right name is complete: it gets its name by a rename at the end.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// Dir is the cache folder of one user.
type Dir string

// Open returns ${XDG_CACHE_HOME:-$HOME/.cache}/redis-ha and creates it.
func Open() (Dir, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w (set HOME or XDG_CACHE_HOME)", err)
	}
	dir := Dir(filepath.Join(base, "redis-ha"))
	for _, sub := range []string{dir.Path("bin"), dir.Path("images"), dir.Path("tmp"), dir.Path("logs")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return "", fmt.Errorf("create the cache folder: %w", err)
		}
	}
	return dir, nil
}

// Path joins names to the folder.
func (d Dir) Path(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// Temp makes an empty folder for unfinished work, on the same file system as
// the rest, so that its results can be renamed into place.
func (d Dir) Temp(name string) (string, error) {
	return os.MkdirTemp(d.Path("tmp"), name+"-")
}

// Clean removes the unfinished work of earlier runs. It may only be called
// under the lock. Mounts that a killed run left inside are taken off first:
// removing files through them would reach what they lead to.
func (d Dir) Clean() error {
	tmp := d.Path("tmp")
	if err := unmountBelow(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove unfinished work: %w", err)
	}
	return os.MkdirAll(tmp, 0o755)
}

// Lock makes sure that only one run works on the cache and the clusters at a
// time, and tells who waits. The kernel drops the lock with the process.
func (d Dir) Lock(waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(d.Path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	fd := int(file.Fd())
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		for errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			time.Sleep(200 * time.Millisecond)
			err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { _ = file.Close() }, nil
}

// Prune removes all but the newest files of a folder whose names match a
// pattern. Newest means used last, where Used is called.
func (d Dir) Prune(folder, pattern string, keep int) error {
	paths, err := filepath.Glob(d.Path(folder, pattern))
	if err != nil {
		return err
	}
	used := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			used[path] = info.ModTime()
		}
	}
	sort.Slice(paths, func(i, j int) bool { return used[paths[i]].After(used[paths[j]]) })
	for i, path := range paths {
		if i < keep {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an old file from the cache: %w", err)
		}
	}
	return nil
}

// Used marks a file as used now.
func Used(path string) error {
	return os.Chtimes(path, time.Time{}, time.Now())
}

// keptLogs is how many logs of runs stay.
const keptLogs = 10

// NewLog creates the log of this run and removes the oldest ones.
func (d Dir) NewLog() (*os.File, error) {
	file, err := os.Create(d.Path("logs", time.Now().UTC().Format("20060102-150405.000")+".log"))
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := d.Prune("logs", "*.log", keptLogs); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// Key collects the inputs of something cached.
type Key struct{ sum hash.Hash }

// NewKey starts a key. The kind keeps keys of different things apart.
func NewKey(kind string) *Key {
	return (&Key{sum: sha256.New()}).Text(kind)
}

// Text adds strings to the key.
func (k *Key) Text(values ...string) *Key {
	for _, value := range values {
		fmt.Fprintf(k.sum, "%d:%s\n", len(value), value)
	}
	return k
}

// File adds the content of one file, and whether it may be executed.
func (k *Key) File(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("hash an input: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("hash an input: %w", err)
	}
	fmt.Fprintf(k.sum, "file %d %t\n", info.Size(), info.Mode()&0o111 != 0)
	if _, err := io.Copy(k.sum, file); err != nil {
		return fmt.Errorf("hash %s: %w", path, err)
	}
	return nil
}

// Tree adds the names and contents of the files below a folder that keep
// accepts; a nil keep accepts all.
func (k *Key) Tree(root string, keep func(name string) bool) error {
	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && (keep == nil || keep(name)) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("hash the inputs in %s: %w", root, err)
	}
	sort.Strings(names)
	for _, name := range names {
		k.Text(filepath.ToSlash(name))
		if err := k.File(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// Sum returns the key: 16 hexadecimal digits.
func (k *Key) Sum() string {
	return hex.EncodeToString(k.sum.Sum(nil))[:16]
}

// SourceFiles accepts what a Go build reads: sources, go.mod and go.sum,
// without the tests.
func SourceFiles(name string) bool {
	base := filepath.Base(name)
	return base == "go.mod" || base == "go.sum" || strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, "_test.go")
}
