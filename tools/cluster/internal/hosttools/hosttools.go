// Package hosttools provides the command-line tools for the host, built from
// pinned modules and linked into one folder.
package hosttools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/gobuild"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/nodeimage"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

// What the Helms report as their version; tools/go.mod pins the modules themselves.
const (
	helmVersion  = "v3.22.0"
	helm4Version = "v4.3.1"
)

// Programs are the tools: tools is the folder of the module that pins them.
func Programs(tools string) []gobuild.Program {
	pinned := func(name, path string, variables ...string) gobuild.Program {
		return gobuild.Program{Name: name, Module: tools, Package: path, Variables: variables, Pinned: true}
	}
	return []gobuild.Program{
		nodeimage.Kubectl(filepath.Join(tools, "nodeimage")),
		pinned("helm", "helm.sh/helm/v3/cmd/helm",
			"helm.sh/helm/v3/internal/version.version="+helmVersion,
			// Without these helm takes every cluster it cannot ask for v1.20 and refuses the chart.
			"helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1", "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=37",
			"helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1", "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37"),
		pinned("helm4", "helm.sh/helm/v4/cmd/helm",
			"helm.sh/helm/v4/internal/version.version="+helm4Version),
		pinned("ct", "github.com/helm/chart-testing/v3/ct"),
		pinned("kind", "sigs.k8s.io/kind"),
	}
}

// Link builds programs that are not cached and links all into a folder.
func Link(ctx context.Context, builder gobuild.Builder, report *progress.Reporter, programs []gobuild.Program, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create the folder of tools: %w", err)
	}
	for _, program := range programs {
		path, found, err := builder.Cached(ctx, program)
		if err != nil {
			return err
		}
		if !found {
			err := report.Step("Build "+program.Name, func() error {
				path, err = builder.Build(ctx, program)
				return err
			})
			if err != nil {
				return err
			}
		}
		if err := link(path, filepath.Join(dir, program.Name)); err != nil {
			return err
		}
	}
	return nil
}

func link(path, name string) error {
	if current, err := os.Readlink(name); err == nil && current == path {
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := os.Symlink(path, name); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}
