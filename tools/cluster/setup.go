package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/debian"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/gobuild"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/hosttools"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/kindcluster"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/nodeimage"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/redisimage"
)

// workplace is what every command works with.
type workplace struct {
	opts     options
	repo     string
	cache    cache.Dir
	runner   command.Runner
	progress *progress.Reporter
	log      string
	close    func()
}

// open finds the repository and the cache, and waits until it is the only run.
func open(opts options) (*workplace, error) {
	repo, err := findRepository()
	if err != nil {
		return nil, err
	}
	dir, err := cache.Open()
	if err != nil {
		return nil, err
	}
	w := &workplace{opts: opts, repo: repo, cache: dir, progress: progress.New(os.Stdout)}
	unlock, err := dir.Lock(func() { w.progress.Line("another run works on this machine's clusters: waiting for it to end") })
	if err != nil {
		return nil, err
	}
	if err := dir.Clean(); err != nil {
		unlock()
		return nil, err
	}
	file, err := dir.NewLog()
	if err != nil {
		unlock()
		return nil, err
	}
	w.log = file.Name()
	w.runner.Log = file
	w.close = func() {
		_ = file.Close()
		unlock()
	}
	return w, nil
}

// with opens the workplace for one command; if the command fails, the error
// says where to read more.
func with(opts options, do func(w *workplace) error) error {
	w, err := open(opts)
	if err != nil {
		return err
	}
	defer w.close()
	err = do(w)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w\neverything that was run: %s", err, w.log)
	}
	return err
}

// findRepository looks for the repository from the current folder upwards.
func findRepository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "nodeimage")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the redis-ha repository: run this in its tools folder", start)
		}
	}
}

func (w *workplace) modules() string { return filepath.Join(w.repo, "tools", "nodeimage") }

func (w *workplace) bin() string { return filepath.Join(w.repo, ".cache", "bin") }

func (w *workplace) kubeconfig() string {
	if w.opts.kubeconfig != "" {
		return w.opts.kubeconfig
	}
	return filepath.Join(w.repo, ".cache", "kubeconfig")
}

func (w *workplace) goBuilder() gobuild.Builder {
	return gobuild.Builder{Cache: w.cache, Runner: w.runner}
}

func (w *workplace) finder() engine.Finder {
	return engine.Finder{
		Cache: w.cache, Runner: w.runner, Progress: w.progress,
		Probe: func(ctx context.Context) (string, error) {
			return w.goBuilder().Build(ctx, nodeimage.Pause(w.modules()))
		},
	}
}

func (w *workplace) engine(ctx context.Context) (*engine.Engine, error) {
	found, err := w.finder().Find(ctx, w.opts.engine)
	if err != nil {
		return nil, err
	}
	w.progress.Line("container engine: %s", found.Name)
	return found, nil
}

func (w *workplace) debian(on *engine.Engine) debian.Maker {
	return debian.Maker{
		Cache: w.cache, Runner: w.runner, Progress: w.progress, Engine: on,
		Install: w.finder().InstallDebootstrap,
	}
}

func (w *workplace) images(on *engine.Engine) redisimage.Builder {
	return redisimage.Builder{
		Cache: w.cache, Runner: w.runner, Progress: w.progress, Engine: on, Debian: w.debian(on), Repo: w.repo,
	}
}

func (w *workplace) cluster(on *engine.Engine) *kindcluster.Cluster {
	return &kindcluster.Cluster{
		Name: w.opts.name, Workers: w.opts.workers, Kubeconfig: w.kubeconfig(),
		Kubectl: filepath.Join(w.bin(), "kubectl"),
		Engine:  on, Runner: w.runner, Progress: w.progress,
	}
}

func (w *workplace) linkTools(ctx context.Context) error {
	programs := hosttools.Programs(filepath.Join(w.repo, "tools"))
	return hosttools.Link(ctx, w.goBuilder(), w.progress, programs, w.bin())
}
