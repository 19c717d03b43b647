package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/chartrepo"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/demo"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/kindcluster"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

// installAndShow installs the release and shows a failover. imageChanged
// tells that the nodes have a new image under the old name, which an upgrade
// of the release does not notice.
func (w *workplace) installAndShow(ctx context.Context, on *engine.Engine, cluster *kindcluster.Cluster, imageChanged bool) error {
	shown := func(command string) { w.progress.Line("  $ %s", command) }
	installer := chartrepo.Installer{
		Helm: filepath.Join(w.bin(), "helm"), Kubeconfig: cluster.Kubeconfig,
		Home: filepath.Join(w.repo, ".cache", "helm"), Chart: filepath.Join(w.repo, "charts", "redis-ha"),
		Runner: w.runner,
	}
	show := demo.Demo{
		Kubectl: cluster.Kubectl, Kubeconfig: cluster.Kubeconfig,
		Namespace: chartrepo.Namespace, Release: chartrepo.Release, Runner: w.runner,
	}
	err := w.progress.Step("Install the chart from a local repository", func() error {
		upgraded, err := installer.Install(ctx, shown)
		if err == nil && upgraded && imageChanged {
			err = show.Restart(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = w.progress.Step("Wait until Redis is ready", func() error { return show.WaitReady(ctx) })
	if err != nil {
		return err
	}
	if err := w.table(ctx, show); err != nil {
		return err
	}
	return w.failover(ctx, on, cluster, show)
}

// table prints the pods of the release and their roles.
func (w *workplace) table(ctx context.Context, show demo.Demo) error {
	table, err := show.Table(ctx)
	if err != nil {
		return err
	}
	w.progress.Text(fmt.Sprintf("\n$ kubectl get pods -L redis-role --namespace=%s\n%s\n", chartrepo.Namespace, table))
	return nil
}

// failover deletes the master while a client writes.
func (w *workplace) failover(ctx context.Context, on *engine.Engine, cluster *kindcluster.Cluster, show demo.Demo) error {
	image, err := w.images(on).Writer(ctx)
	if err != nil {
		return err
	}
	if _, err := w.load(ctx, cluster, image); err != nil {
		return err
	}
	show.WriterImage = image.Image
	var report writer.Report
	err = w.progress.Step("Delete the master while a client writes", func() error {
		report, err = show.Run(ctx, func(format string, args ...any) { w.progress.Line("  "+format, args...) })
		return err
	})
	if err != nil {
		return err
	}
	if err := w.progress.Step("Wait until Redis is complete again", func() error { return show.WaitReady(ctx) }); err != nil {
		return err
	}
	if err := w.table(ctx, show); err != nil {
		return err
	}
	w.progress.Text("What the client saw:\n" + report.Text())
	if report.Lost > 0 {
		return fmt.Errorf("%d acknowledged writes were lost", report.Lost)
	}
	return nil
}
