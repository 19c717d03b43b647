// Package standingfile keeps the standing of a server's data in a file beside them, so that it survives the end of the container and a
// power loss.
package standingfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// name is the name of the present file.
	name = "redis-ha.json"
	// beforeSuffix ends the name of the previous file. Read takes that file where the present file is missing or damaged, as after a
	// power loss.
	beforeSuffix = ".before"
	// newSuffix ends the name of the file that is being written.
	newSuffix = ".new"
)

// ErrNone says that there is no file with a standing.
var ErrNone = errors.New("there is no file with a standing of the data")

// File keeps the standing of the data in a directory. A disk may be busy for seconds, so a goroutine of its own writes. It always writes
// the latest standing.
type File struct {
	// Flush brings what was written to a file or a directory to the disk. New sets it to (*os.File).Sync. Tests replace it before
	// the first call of Hand.
	Flush func(*os.File) error

	dir string
	log *slog.Logger

	mu      sync.Mutex
	on      role.Standing  // what the present file holds, if known
	known   bool           // the present file holds on, and has reached the disk
	next    *role.Standing // to be written next; nil: nothing
	current *role.Standing // being written; nil: nothing
	done    chan struct{}  // closed when nothing is left to be written; nil: nothing is
	failed  string         // the last error, which has been logged
}

// New prepares the file in the data directory dir. It neither reads nor writes.
func New(dir string, log *slog.Logger) *File {
	return &File{dir: dir, log: log, Flush: (*os.File).Sync}
}

func (f *File) path(suffix string) string { return filepath.Join(f.dir, name+suffix) }

// Read returns the standing in the present file, or else in the previous file. The error is ErrNone if there is neither. With any other
// error the present file is damaged or missing. The standing is then that of the previous file, or Unreadable.
func (f *File) Read() (role.Standing, error) {
	standing, err := read(f.path(""))
	f.mu.Lock()
	f.on, f.known = standing, err == nil
	f.mu.Unlock()
	if err == nil {
		return standing, nil
	}
	before, errBefore := read(f.path(beforeSuffix))
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case errBefore == nil && before.Empty:
		errBefore = errors.New("the previous file says that there were no data")
	case errBefore == nil:
		return before, fmt.Errorf("the file before it is used: %w", err)
	case missing && errors.Is(errBefore, fs.ErrNotExist):
		return role.Standing{}, ErrNone
	}
	return role.Standing{Unreadable: true}, errors.Join(err, errBefore)
}

func read(path string) (role.Standing, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return role.Standing{}, fmt.Errorf("read the standing: %w", err)
	}
	var standing role.Standing
	if err := json.Unmarshal(content, &standing); err != nil {
		return role.Standing{}, fmt.Errorf("read the standing in %s (%d bytes): %w", path, len(content), err)
	}
	return standing, nil
}

// Latest returns the standing that was handed over last, or else the standing on disk. known is false where neither is known, as before
// the first Read, or after a write that has failed halfway.
func (f *File) Latest() (latest role.Standing, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.next != nil:
		return *f.next, true
	case f.current != nil:
		return *f.current, true
	}
	return f.on, f.known
}

// Hand hands a standing over to be written, and does not wait. If an earlier standing is still waiting to be written, the new standing
// replaces it. A write that fails is logged. It is not tried again before the next Hand.
func (f *File) Hand(standing role.Standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = &standing
	if f.done == nil {
		f.done = make(chan struct{})
		go f.work(f.done)
	}
}

// written is closed when everything that was handed over has been written, or has failed.
func (f *File) written() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != nil {
		return f.done
	}
	nothing := make(chan struct{})
	close(nothing)
	return nothing
}

// Wait returns when everything that was handed over has been written, or has failed.
func (f *File) Wait() { <-f.written() }

// WaitFor is Wait for at most limit. It logs a warning if the limit ends the wait.
func (f *File) WaitFor(limit time.Duration) {
	select {
	case <-f.written():
	case <-time.After(limit):
		f.log.Warn("the last standing of the data has not reached the disk", "waited", limit.String())
	}
}

// work writes until nothing is left to be written.
func (f *File) work(done chan struct{}) {
	defer close(done)
	for {
		f.mu.Lock()
		f.current, f.next = f.next, nil
		if f.current == nil {
			f.done = nil
			f.mu.Unlock()
			return
		}
		standing, on, known := *f.current, f.on, f.known
		f.mu.Unlock()
		untouched, err := f.replace(standing, known && !on.Empty)
		f.mu.Lock()
		switch {
		case err == nil:
			f.on, f.known = standing, true
		case !untouched:
			f.known = false
		}
		f.mu.Unlock()
		f.note(err)
	}
}

// note logs a problem once, and again when the problem changes.
func (f *File) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.failed {
		f.log.Warn("the standing of the data could not be written; check the volume. Until it can, an election after a full restart may choose another server",
			"error", err)
	}
	f.failed = text
}

// replace replaces the present file. Its steps have such an order that a crash at any moment leaves a file that can be read. keep says
// that the present file is good and becomes the previous file. untouched says that the present file is as it was.
func (f *File) replace(standing role.Standing, keep bool) (untouched bool, err error) {
	if err := f.writeNew(standing); err != nil {
		_ = os.Remove(f.path(newSuffix))
		return true, fmt.Errorf("write the standing: %w", err)
	}
	switch {
	case standing.Empty:
		// The previous file tells of data that are gone.
		err = os.Remove(f.path(beforeSuffix))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case keep:
		err = os.Rename(f.path(""), f.path(beforeSuffix))
	}
	if err == nil {
		err = os.Rename(f.path(newSuffix), f.path(""))
	}
	if err == nil {
		err = f.flushDirectory()
	}
	if err != nil {
		return false, fmt.Errorf("replace the standing: %w", err)
	}
	return false, nil
}

func (f *File) writeNew(standing role.Standing) error {
	content, err := json.Marshal(standing)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path(newSuffix), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = f.Flush(file)
	}
	return errors.Join(err, file.Close())
}

// flushDirectory brings the new names of files to the disk, where the filesystem can.
func (f *File) flushDirectory() error {
	directory, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := f.Flush(directory); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
