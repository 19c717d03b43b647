// Package debian makes Debian base images without a registry: debootstrap
// puts a minimal system together from Debian's packages.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

// Maker makes base images for one engine.
type Maker struct {
	Cache    cache.Dir
	Runner   command.Runner
	Progress *progress.Reporter
	Engine   *engine.Engine
	// Install makes debootstrap available.
	Install func(ctx context.Context) error
}

// Image makes sure that the engine has a minimal system of a Debian suite
// under the given name. The root file system stays in the cache.
func (m Maker) Image(ctx context.Context, suite, image string) error {
	if m.Engine.HasImage(ctx, image) {
		return nil
	}
	archive := m.Cache.Path("images", "debian-"+suite+".tar")
	if _, err := os.Stat(archive); errors.Is(err, os.ErrNotExist) {
		if os.Geteuid() != 0 {
			return fmt.Errorf("make a Debian %s image: no registry answers, and debootstrap needs root: run this as root", suite)
		}
		if err := m.Install(ctx); err != nil {
			return err
		}
		err := m.Progress.Step("Make a Debian "+suite+" root file system", func() error {
			return m.bootstrap(ctx, suite, archive)
		})
		if err != nil {
			return err
		}
	}
	if err := m.Engine.Run(ctx, "import", "--change", `CMD ["bash"]`, archive, image); err != nil {
		return fmt.Errorf("import the Debian %s image: %w", suite, err)
	}
	return nil
}

func (m Maker) bootstrap(ctx context.Context, suite, archive string) error {
	dir, err := m.Cache.Temp("debian-" + suite)
	if err != nil {
		return err
	}
	// debootstrap takes its mounts off again unless it is killed; then the
	// next run does, before it removes anything (cache.Clean).
	root := filepath.Join(dir, "root")
	if err := m.Runner.Run(ctx, "debootstrap", "--variant=minbase", "--include=ca-certificates", suite, root); err != nil {
		return fmt.Errorf("debootstrap: %w", err)
	}
	unfinished := archive + ".unfinished"
	args := []string{"-C", root, "--numeric-owner", "--one-file-system"}
	for _, unneeded := range []string{
		"./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./debootstrap",
		"./usr/share/doc/*", "./usr/share/man/*", "./usr/share/info/*", "./usr/share/locale/*",
		"./proc/*", "./sys/*", "./dev/*", "./tmp/*", "./run/*",
	} {
		args = append(args, "--exclude="+unneeded)
	}
	if err := m.Runner.Run(ctx, "tar", append(args, "-cf", unfinished, ".")...); err != nil {
		return fmt.Errorf("archive the root file system: %w", err)
	}
	if err := os.Rename(unfinished, archive); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
