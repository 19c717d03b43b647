package agent

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

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// standingName remembers, beside the data, what the data are worth.
	standingName = "redis-ha.json"
	// beforeSuffix ends the name of the previous file. It is read where
	// standingName is missing or damaged, as after a power loss.
	beforeSuffix = ".before"
	// newSuffix ends the name of the file that is being written.
	newSuffix = ".new"
)

// errNoStanding says that there is no file with a standing.
var errNoStanding = errors.New("there is no file with a standing of the data")

// standingFile keeps the standing of the data on disk. A disk may be busy for seconds,
// so a goroutine of its own writes, always the latest value.
type standingFile struct {
	dir   string
	log   *slog.Logger
	flush func(*os.File) error // brings what was written to a file or directory to the disk

	mu      sync.Mutex
	on      role.Standing  // what the present file holds, if known
	known   bool           // the present file holds on, and it has reached the disk
	next    *role.Standing // to be written next; nil: nothing
	current *role.Standing // being written; nil: nothing
	done    chan struct{}  // closed when everything has been written; nil: it has been
	failed  string         // the last error, which has been logged
}

func newStandingFile(c config.Config, log *slog.Logger) *standingFile {
	return &standingFile{dir: c.DataDir, log: log, flush: (*os.File).Sync}
}

func (f *standingFile) path(suffix string) string { return filepath.Join(f.dir, standingName+suffix) }

// read gives the standing in the present file, or else in the file before. The error is
// errNoStanding if there is neither. With any other error the present file is damaged
// or missing: the standing is that of the file before, or Unreadable.
func (f *standingFile) read() (role.Standing, error) {
	standing, err := readStandingFile(f.path(""))
	f.mu.Lock()
	f.on, f.known = standing, err == nil
	f.mu.Unlock()
	if err == nil {
		return standing, nil
	}
	before, errBefore := readStandingFile(f.path(beforeSuffix))
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case errBefore == nil && before.Empty:
		errBefore = errors.New("the previous file says that there were no data")
	case errBefore == nil:
		return before, fmt.Errorf("the file before it is used: %w", err)
	case missing && errors.Is(errBefore, fs.ErrNotExist):
		return role.Standing{}, errNoStanding
	}
	return role.Standing{Unreadable: true}, errors.Join(err, errBefore)
}

func readStandingFile(path string) (role.Standing, error) {
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

// latest gives the standing that is on disk, or is about to be, and whether there is one.
func (f *standingFile) latest() (role.Standing, bool) {
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

// hand gives a standing to be written, and does not wait. A standing that was handed
// over before, and is not being written yet, is left out.
func (f *standingFile) hand(standing role.Standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = &standing
	if f.done == nil {
		f.done = make(chan struct{})
		go f.work(f.done)
	}
}

// written is closed when everything that was handed over has been written, or has failed.
func (f *standingFile) written() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != nil {
		return f.done
	}
	nothing := make(chan struct{})
	close(nothing)
	return nothing
}

// wait returns when everything that was handed over has been written, or has failed.
func (f *standingFile) wait() { <-f.written() }

// waitFor is wait with a bound.
func (f *standingFile) waitFor(limit time.Duration) {
	select {
	case <-f.written():
	case <-time.After(limit):
		f.log.Warn("the last standing of the data has not reached the disk", "waited", limit.String())
	}
}

// work writes until nothing is left to be written.
func (f *standingFile) work(done chan struct{}) {
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
func (f *standingFile) note(err error) {
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

// replace writes a standing in the place of the present file, in such an order that
// a crash at any moment leaves a file that can be read. keep says that the present file
// is good and becomes the file before. untouched says that the present file is as it was.
func (f *standingFile) replace(standing role.Standing, keep bool) (untouched bool, err error) {
	if err := f.writeNew(standing); err != nil {
		_ = os.Remove(f.path(newSuffix))
		return true, fmt.Errorf("write the standing: %w", err)
	}
	switch {
	case standing.Empty:
		// The file before tells of data that are gone.
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

func (f *standingFile) writeNew(standing role.Standing) error {
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
		err = f.flush(file)
	}
	return errors.Join(err, file.Close())
}

// flushDirectory brings the new names of files to the disk, where the filesystem can.
func (f *standingFile) flushDirectory() error {
	directory, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := f.flush(directory); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
