// Package dataswap puts other data into the place of the data on a volume, so that a crash at any moment leaves all of the old data or all of
// the new data. It knows directories only: redis-server must not run on them while one of its functions does.
package dataswap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

const (
	// journal says, while it exists, that the old data count.
	journal = "redis-ha.swap"
	// beforeSuffix ends the name of the directory that keeps the old data.
	beforeSuffix = ".before"
)

// Swap is the place of the data on a volume.
type Swap struct {
	// Volume is the directory of the volume, and Data the name of the directory with the data in it.
	Volume, Data string
}

func (s Swap) path(name string) string { return filepath.Join(s.Volume, name) }

// Begin puts the directory from, which is on the same volume, into the place of the data. The old data count until Commit. After an error the
// caller calls Undo.
func (s Swap) Begin(from string) error {
	if err := s.Discard(); err != nil {
		return err
	}
	err := errors.Join(os.WriteFile(s.path(journal), nil, 0o640), volume.SyncDirectory(s.Volume))
	if err != nil {
		return fmt.Errorf("note that the data are being replaced: %w", err)
	}
	data, before := s.path(s.Data), s.path(s.Data+beforeSuffix)
	err = os.Rename(data, before)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Mkdir(before, 0o750) // Undo knows by it that the data are the new ones
	}
	if err := errors.Join(err, volume.SyncDirectory(s.Volume)); err != nil {
		return fmt.Errorf("put the old data aside: %w", err)
	}
	if err := errors.Join(os.Rename(from, data), volume.SyncDirectory(s.Volume)); err != nil {
		return fmt.Errorf("move the new data to their place: %w", err)
	}
	return nil
}

// Commit has the new data count from now on. The old data stay aside until Discard. After an error and a crash either may count.
func (s Swap) Commit() error {
	if err := errors.Join(os.Remove(s.path(journal)), volume.SyncDirectory(s.Volume)); err != nil {
		return fmt.Errorf("note that the new data count: %w", err)
	}
	return nil
}

// Undo brings the old data back if Begin has been called and Commit has not, also by an earlier process. undone says that the old data are back.
func (s Swap) Undo() (undone bool, err error) {
	if _, err := os.Stat(s.path(journal)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	data, before := s.path(s.Data), s.path(s.Data+beforeSuffix)
	_, err = os.Stat(before)
	switch {
	case err == nil:
		err = errors.Join(os.RemoveAll(data), os.Rename(before, data))
	case errors.Is(err, fs.ErrNotExist): // a crash before the old data were put aside, or after they came back
		err = nil
	}
	if err = errors.Join(err, volume.SyncDirectory(s.Volume)); err == nil {
		err = s.Commit()
	}
	if err != nil {
		return false, fmt.Errorf("bring the data back that were put aside in %s: %w", before, err)
	}
	return true, nil
}

// Discard removes old data that were put aside. It must not be called between Begin and Commit.
func (s Swap) Discard() error {
	if err := os.RemoveAll(s.path(s.Data + beforeSuffix)); err != nil {
		return fmt.Errorf("remove data that were replaced; they take up room: %w", err)
	}
	return nil
}
