package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/internal/olderchart"
)

// clone is a clone of the repository, as far as an older chart can be found in
// it to compare the present one with.
type clone struct {
	dir string
	// remote and branch are what a change is to be merged into.
	remote, branch string
}

func (c clone) git(ctx context.Context, args ...string) (string, error) {
	return olderchart.Git(ctx, c.dir, args...)
}

func (c clone) target() string { return c.remote + "/" + c.branch }

// mergeBase is the commit that this one and the target branch come from; the
// error says why there is none.
func (c clone) mergeBase(ctx context.Context) (string, error) {
	if _, err := c.git(ctx, "rev-parse", "--verify", "--quiet", c.target()); err != nil {
		return "", fmt.Errorf("there is no branch %s here", c.target())
	}
	base, err := c.git(ctx, "merge-base", c.target(), "HEAD")
	if err != nil {
		return "", fmt.Errorf("this clone is too shallow to find where it left %s", c.target())
	}
	return base, nil
}

// changed says whether the chart differs from the one of the target branch, and
// why it does or cannot be compared.
func (c clone) changed(ctx context.Context) (changed bool, why string, err error) {
	base, err := c.mergeBase(ctx)
	if err != nil {
		return false, err.Error(), nil
	}
	if _, err := c.git(ctx, "cat-file", "-e", c.target()+":"+olderchart.Path+"/Chart.yaml"); err != nil {
		return false, fmt.Sprintf("%s has no chart", c.target()), nil
	}
	files, err := c.git(ctx, "diff", "--name-only", base, "--", olderchart.Path)
	if err != nil {
		return false, "", err
	}
	if files == "" {
		return false, fmt.Sprintf("the chart is the one of %s", c.target()), nil
	}
	return true, fmt.Sprintf("the chart differs from %s", c.target()), nil
}

// needsNewVersion says whether the chart has to have a higher version than on
// the target branch, and why: it has once a chart that was released is changed.
func (c clone) needsNewVersion(ctx context.Context) (needed bool, why string, err error) {
	changed, why, err := c.changed(ctx)
	if err != nil || !changed {
		return false, why, err
	}
	content, err := c.git(ctx, "show", c.target()+":"+olderchart.Path+"/Chart.yaml")
	if err != nil {
		return false, "", err
	}
	var metadata struct{ Version string }
	if err := yaml.Unmarshal([]byte(content), &metadata); err != nil {
		return false, "", fmt.Errorf("parse Chart.yaml of %s: %w", c.target(), err)
	}
	if _, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "refs/tags/v"+metadata.Version); err != nil {
		return false, fmt.Sprintf("version %s of %s has not been released (there is no tag v%s)",
			metadata.Version, c.target(), metadata.Version), nil
	}
	return true, fmt.Sprintf("%s, whose version %s has been released", why, metadata.Version), nil
}

// testing runs chart-testing in the repository.
func (c clone) testing(ctx context.Context, output io.Writer, args ...string) error {
	args = append(args, "--config", "ct.yaml", "--remote", c.remote, "--target-branch", c.branch)
	fmt.Fprintln(output, "$ ct "+strings.Join(args, " "))
	command := exec.CommandContext(ctx, "ct", args...)
	command.Dir, command.Stdout, command.Stderr = c.dir, output, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("ct %s: %w", args[0], err)
	}
	return nil
}

func lintCommand(repository string) *cobra.Command {
	return compareCommand(clone{dir: repository}, "lint", "Run ct lint, with the check of the version where it is due",
		func(cmd *cobra.Command, c clone) error {
			needed, why, err := c.needsNewVersion(cmd.Context())
			if err != nil {
				return err
			}
			if needed {
				fmt.Fprintf(cmd.OutOrStdout(), "the chart needs a new version: %s\n", why)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "the chart's version is not compared: %s\n", why)
			}
			return c.testing(cmd.Context(), cmd.OutOrStdout(), "lint", fmt.Sprintf("--check-version-increment=%t", needed))
		})
}

func installCommand(repository string) *cobra.Command {
	return compareCommand(clone{dir: repository}, "install",
		"Run ct install for every values file in ci/, and where the chart has changed also as an upgrade",
		func(cmd *cobra.Command, c clone) error {
			upgrade, why, err := c.changed(cmd.Context())
			if err != nil {
				return err
			}
			if upgrade {
				fmt.Fprintf(cmd.OutOrStdout(), "installed, and upgraded to: %s\n", why)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "installed, not upgraded to: %s\n", why)
			}
			return c.testing(cmd.Context(), cmd.OutOrStdout(), "install", fmt.Sprintf("--upgrade=%t", upgrade))
		})
}

func compareCommand(c clone, name, short string, run func(*cobra.Command, clone) error) *cobra.Command {
	command := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, c) },
	}
	command.Flags().StringVar(&c.remote, "remote", "origin", "remote whose chart is compared with")
	command.Flags().StringVar(&c.branch, "target-branch", "main", "branch whose chart is compared with")
	return command
}
