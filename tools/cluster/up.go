package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/kindcluster"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/nodeimage"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/redisimage"
)

// Choices of the node image besides the name of one.
const (
	nodeImageAuto      = "auto"
	nodeImagePublished = "published"
	nodeImageLocal     = "local"
)

// up makes the cluster, the image in it, the release and the demonstration.
func up(ctx context.Context, opts options) error {
	return with(opts, func(w *workplace) error {
		on, err := w.engine(ctx)
		if err != nil {
			return err
		}
		cluster, err := w.ensureCluster(ctx, on)
		if err != nil {
			return err
		}
		archive, err := w.images(on).Redis(ctx, opts.variant)
		if err != nil {
			return err
		}
		changed, err := w.load(ctx, cluster, archive)
		if err != nil {
			return err
		}
		if !opts.onlyCluster {
			if err := w.installAndShow(ctx, on, cluster, changed); err != nil {
				return err
			}
		}
		w.progress.Text(fmt.Sprintf("\nThe cluster is yours:\n  export KUBECONFIG=%s\n  export PATH=%s:$PATH", w.kubeconfig(), w.bin()))
		return nil
	})
}

// ensureCluster reuses a healthy cluster and replaces any other.
func (w *workplace) ensureCluster(ctx context.Context, on *engine.Engine) (*kindcluster.Cluster, error) {
	if err := w.linkTools(ctx); err != nil {
		return nil, err
	}
	cluster := w.cluster(on)
	if cluster.Exists(ctx) && !w.opts.recreate {
		err := w.progress.Step("Check the existing cluster "+w.opts.name, func() error { return cluster.Check(ctx) })
		if err == nil {
			return cluster, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		w.progress.Line("the cluster is replaced, because %v", err)
	}
	image, err := w.nodeImage(ctx, on)
	if err != nil {
		return nil, err
	}
	return cluster, w.create(ctx, cluster, image)
}

// create replaces whatever is left of an earlier cluster by a new one. It
// tries twice: commands that a killed run had started may still be making
// nodes while the first attempt begins.
func (w *workplace) create(ctx context.Context, cluster *kindcluster.Cluster, image string) error {
	var failed error
	for range 2 {
		if failed != nil {
			w.progress.Line("trying once more, because: %v", failed)
		}
		err := w.progress.Step("Remove what is left of an earlier cluster", func() error { return cluster.Remove(ctx) })
		if err != nil {
			return err
		}
		failed = cluster.Create(ctx, image, nodeimage.IsLocal(image))
		if failed == nil || ctx.Err() != nil {
			return failed
		}
	}
	return failed
}

// nodeImage decides which image the nodes run and makes it available.
func (w *workplace) nodeImage(ctx context.Context, on *engine.Engine) (string, error) {
	switch w.opts.nodeImage {
	case nodeImageAuto, nodeImagePublished:
		err := errors.New("its systemd does not boot on cgroup v1, which this host has")
		if !kindcluster.ThisHost().CgroupV1 || w.opts.nodeImage == nodeImagePublished {
			err = nodeimage.Pull(ctx, on, w.progress)
		}
		if err == nil {
			return nodeimage.Published, nil
		}
		if w.opts.nodeImage == nodeImagePublished || ctx.Err() != nil {
			return "", fmt.Errorf("get the published node image: %w", err)
		}
		w.progress.Line("node image: a local one; not the published one, because %v", err)
	case nodeImageLocal:
	default:
		return w.opts.nodeImage, nil
	}
	builder := nodeimage.Builder{
		Cache: w.cache, Runner: w.runner, Progress: w.progress, Engine: on,
		Go: w.goBuilder(), Debian: w.debian(on), Modules: w.modules(), Beside: w.images(on).EnsureBase,
	}
	return builder.Image(ctx)
}

// down removes the cluster.
func down(ctx context.Context, opts options) error {
	return with(opts, func(w *workplace) error {
		on, err := w.engine(ctx)
		if err != nil {
			return err
		}
		return w.progress.Step("Remove the cluster "+opts.name, func() error {
			return w.cluster(on).Remove(ctx)
		})
	})
}

// kubeconfig writes the kubeconfig of the running cluster.
func kubeconfig(ctx context.Context, opts options) error {
	return with(opts, func(w *workplace) error {
		on, err := w.engine(ctx)
		if err != nil {
			return err
		}
		if err := w.cluster(on).Check(ctx); err != nil {
			return fmt.Errorf("the cluster %s cannot be used: %w (run make up)", opts.name, err)
		}
		w.progress.Text(w.kubeconfig())
		return nil
	})
}

// hostTools links the command-line tools.
func hostTools(ctx context.Context, opts options) error {
	return with(opts, func(w *workplace) error {
		if err := w.finder().InstallTestPrograms(ctx); err != nil {
			return err
		}
		return w.linkTools(ctx)
	})
}

// image builds the Redis image, and loads it if the cluster exists.
func image(ctx context.Context, opts options) error {
	return with(opts, func(w *workplace) error {
		on, err := w.engine(ctx)
		if err != nil {
			return err
		}
		archive, err := w.images(on).Redis(ctx, opts.variant)
		if err != nil {
			return err
		}
		w.progress.Line("image %s: %s", archive.Image, archive.Path)
		cluster := w.cluster(on)
		if !cluster.Exists(ctx) {
			return nil
		}
		_, err = w.load(ctx, cluster, archive)
		return err
	})
}

// load brings an image into the cluster and tells whether it was new there.
func (w *workplace) load(ctx context.Context, cluster *kindcluster.Cluster, archive redisimage.Archive) (loaded bool, err error) {
	err = w.progress.Step("Load "+archive.Image+" into the nodes", func() error {
		loaded, err = cluster.LoadImage(ctx, archive.Image, archive.Path, archive.Key)
		return err
	})
	return loaded, err
}
