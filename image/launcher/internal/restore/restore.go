// Package restore is launcher restore, which replaces the data of a running release by those of a backup. It checks, asks, backs up the present data,
// and gives the backup to one slave. The launcher of that slave does the rest; see docs/adr/0043.
package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// Options say how to restore.
type Options struct {
	// Backup is the name of a backup, or backup.Latest.
	Backup string
	// Yes: nobody is asked.
	Yes bool
	// WithoutBackup: the present data are not backed up before.
	WithoutBackup bool
	// Terminal: somebody can answer.
	Terminal bool
}

// ErrNothingChanged is joined to an error that leaves the release with its old data.
var ErrNothingChanged = errors.New("the release has the data that it had: nothing was replaced")

// Restorer is one run of launcher restore.
type Restorer struct {
	config  config.Config
	api     *kube.Client
	store   store.Store
	options Options
	in      io.Reader
	out     io.Writer
	log     *slog.Logger
}

// New prepares a run. It sends nothing yet.
func New(c config.Config, api *kube.Client, s store.Store, o Options, in io.Reader, out io.Writer, log *slog.Logger) *Restorer {
	return &Restorer{config: c, api: api, store: s, options: o, in: in, out: out, log: log}
}

func (r *Restorer) say(format string, arguments ...any) {
	fmt.Fprintf(r.out, format+"\n", arguments...)
}

// Run replaces the data of the release. The error says which data the release has then.
func (r *Restorer) Run(ctx context.Context) error {
	maker, err := backup.NewMaker(r.config, r.api, r.store, r.log)
	if err != nil {
		return err
	}
	return maker.Alone(ctx, func(ctx context.Context, alone *backup.Alone) error { return r.run(ctx, alone) })
}

func (r *Restorer) run(ctx context.Context, alone *backup.Alone) error {
	found, err := r.check(ctx, alone)
	if err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	r.describe(found)
	if err := r.ask(); err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	if err := r.keepPresent(ctx, alone); err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	path := filepath.Join(r.config.Backup.WorkDir, "restore.rdb")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("remove the file of an earlier run: %w", err), ErrNothingChanged)
	}
	defer os.Remove(path)
	r.say("fetching backup %s and checking it", found.manifest.Name)
	if _, err := backup.Fetch(ctx, r.store, found.manifest.Name, r.config.Backup.Identity, path, r.log); err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	giver, err := restoration.Give(ctx, netip.AddrPortFrom(r.config.PodIP, uint16(r.config.HTTPPort)), path, r.config.TLS.Server)
	if err != nil {
		return errors.Join(err, ErrNothingChanged)
	}
	defer giver.Close()
	return r.carryOut(ctx, alone, giver, found)
}

// release names the release as a manifest does.
func (r *Restorer) release() string {
	return r.config.Namespace + "/" + strings.TrimSuffix(r.config.Prefix, "-")
}

// describe says what will be replaced by what.
func (r *Restorer) describe(f findings) {
	m := f.manifest
	r.say("release   %s: %d keys, generation %d, master %s", r.release(), f.keys, f.record.Generation, f.master.pod.Name)
	r.say("backup    %s: %s, %d bytes of Redis %s, made %s ago from %s of %s", m.Name, keysOf(m), m.RDB.Size, m.RedisVersion, time.Since(m.Time).Round(time.Second), m.Source, m.Release)
	r.say("All keys of the release are replaced by those of the backup. %s loads the backup, and then becomes master as generation %d.", f.chosen.pod.Name, f.record.Generation+1)
	if r.options.WithoutBackup {
		r.say("The present data are lost then.")
	} else {
		r.say("The present data are backed up before. What clients write after that backup is lost.")
	}
	for _, note := range f.notes {
		r.say("note: %s", note)
	}
}

// keysOf says how many keys a backup has. A backup of an earlier image does not tell.
func keysOf(m backup.Manifest) string {
	if m.Keys == nil {
		return "a number of keys that it does not tell"
	}
	return fmt.Sprintf("%d keys", *m.Keys)
}

// ask has somebody agree.
func (r *Restorer) ask() error {
	switch {
	case r.options.Yes:
		return nil
	case !r.options.Terminal:
		return errors.New("nobody can be asked here: give --yes to replace the data")
	}
	fmt.Fprint(r.out, "Replace the data? Write yes: ")
	line, err := bufio.NewReader(r.in).ReadString('\n')
	if answer := strings.TrimSpace(line); answer != "yes" {
		return fmt.Errorf("the answer was %q and not yes", answer)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// keepPresent backs up the present data.
func (r *Restorer) keepPresent(ctx context.Context, alone *backup.Alone) error {
	if r.options.WithoutBackup {
		return nil
	}
	r.say("backing up the present data")
	made, err := alone.Make(ctx)
	if err != nil {
		return fmt.Errorf("the present data could not be backed up (--without-backup replaces them without a copy): %w", err)
	}
	r.say("the present data are kept as backup %s, %s: launcher restore %s brings them back", made.Name, keysOf(made), made.Name)
	return nil
}
