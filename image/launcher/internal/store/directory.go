package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

// unfinished ends the name of a file that Put has not written to its end yet.
const unfinished = ".part"

// Directory is a store in a directory.
type Directory struct{ path string }

var _ Store = Directory{}

// NewDirectory prepares a store in a directory, and makes the directory if it is missing.
func NewDirectory(path string) (Directory, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return Directory{}, fmt.Errorf("make the directory of the backups (mount a volume there that the pod's user or fsGroup may write to): %w", err)
	}
	return Directory{path}, nil
}

func (d Directory) String() string { return d.path }

func (d Directory) file(name string) string { return filepath.Join(d.path, name) }

// Put writes a file of another name first. The file gets its own name when all of it is on disk.
func (d Directory) Put(ctx context.Context, name string, content io.Reader, atMost int64) error {
	part := d.file(name) + unfinished
	err := write(part, &cancelled{ctx, &bounded{content, atMost}})
	if err == nil {
		err = os.Rename(part, d.file(name))
	}
	if err != nil {
		return failed("store", name, d, errors.Join(err, removeIfThere(part)))
	}
	if err := volume.SyncDirectory(d.path); err != nil {
		return failed("store", name, d, err)
	}
	return nil
}

func write(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Sync(), file.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// cancelled reads until a context ends.
type cancelled struct {
	ctx  context.Context
	from io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.Read(p)
}

// Get opens a file.
func (d Directory) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := os.Open(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotThere
	}
	if err != nil {
		return nil, failed("read", name, d, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{&cancelled{ctx, file}, file}, nil
}

// List leaves out files that Put has not written to their end, and directories.
func (d Directory) List(context.Context) ([]Object, error) {
	return d.list(func(name string) bool { return !strings.HasSuffix(name, unfinished) })
}

func (d Directory) list(wanted func(string) bool) ([]Object, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list the objects at %s: %w", d, err)
	}
	var objects []Object
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !wanted(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list the objects at %s: %w", d, err)
		}
		objects = append(objects, Object{Name: entry.Name(), Size: info.Size(), Modified: info.ModTime()})
	}
	return objects, nil
}

// Delete removes a file.
func (d Directory) Delete(_ context.Context, name string) error {
	if err := removeIfThere(d.file(name)); err != nil {
		return failed("delete", name, d, err)
	}
	return nil
}

// Discard removes files that Put has not written to their end, and has last written to before a time.
func (d Directory) Discard(ctx context.Context, before time.Time) error {
	parts, err := d.list(func(name string) bool { return strings.HasSuffix(name, unfinished) })
	if err != nil {
		return err
	}
	for _, part := range parts {
		if part.Modified.Before(before) {
			err = errors.Join(err, d.Delete(ctx, part.Name))
		}
	}
	return err
}
