// Package chartrepo packages the chart into a local chart repository, serves
// it while a release is installed from it, and installs the release with the
// documented commands.
package chartrepo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
)

// The names in the documented commands.
const (
	// Repository is the local name of the chart repository.
	Repository = "stable"
	// Release and Namespace are those of the documented installation.
	Release   = "redis-ha"
	Namespace = "kube-public"
	chart     = "redis-ha"
)

// Installer installs the chart into a cluster.
type Installer struct {
	// Helm and Kubeconfig are the program and the cluster's access.
	Helm, Kubeconfig string
	// Home is the folder for helm's own files: the user's stay untouched.
	Home string
	// Chart is the folder of the chart.
	Chart  string
	Runner command.Runner
}

func (i Installer) helm(ctx context.Context, args ...string) (string, error) {
	env := []string{
		"KUBECONFIG=" + i.Kubeconfig,
		"HELM_CONFIG_HOME=" + filepath.Join(i.Home, "config"),
		"HELM_CACHE_HOME=" + filepath.Join(i.Home, "cache"),
		"HELM_DATA_HOME=" + filepath.Join(i.Home, "data"),
	}
	return i.Runner.With(env...).Output(ctx, i.Helm, args...)
}

// Install packages the chart and installs it, or upgrades the release that is
// there. What an interrupted installation left behind is removed first. shown
// receives each documented command before it runs. It returns whether there
// was a release to upgrade.
func (i Installer) Install(ctx context.Context, shown func(command string)) (upgraded bool, err error) {
	dir := filepath.Join(i.Home, "charts")
	if err := i.pack(ctx, dir); err != nil {
		return false, err
	}
	url, stop, err := serve(dir)
	if err != nil {
		return false, err
	}
	defer stop()
	run := func(args ...string) error {
		shown("helm " + strings.Join(args, " "))
		_, err := i.helm(ctx, args...)
		return err
	}
	if err := run("repo", "add", Repository, url, "--force-update"); err != nil {
		return false, err
	}
	status, err := i.status(ctx)
	if err != nil {
		return false, err
	}
	if status != "" && status != "deployed" {
		if err := run("uninstall", Release, "--namespace", Namespace, "--ignore-not-found", "--wait"); err != nil {
			return false, err
		}
		status = ""
	}
	verb := "install"
	if status == "deployed" {
		verb = "upgrade"
	}
	return verb == "upgrade", run(verb, Release, Repository+"/"+chart, "--namespace", Namespace)
}

// pack makes the repository's files in an empty folder.
func (i Installer) pack(ctx context.Context, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty the chart repository: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create the chart repository: %w", err)
	}
	if _, err := i.helm(ctx, "package", i.Chart, "--destination", dir); err != nil {
		return fmt.Errorf("package the chart: %w", err)
	}
	if _, err := i.helm(ctx, "repo", "index", dir); err != nil {
		return fmt.Errorf("index the chart repository: %w", err)
	}
	return nil
}

// status returns the state of the release, empty if there is none.
func (i Installer) status(ctx context.Context) (string, error) {
	output, err := i.helm(ctx, "list", "--all", "--namespace", Namespace, "--filter", "^"+Release+"$", "--output", "json")
	if err != nil {
		return "", fmt.Errorf("look for the release: %w", err)
	}
	return parseStatus(output)
}

// parseStatus reads the state of the first release of a listing.
func parseStatus(output string) (string, error) {
	var releases []struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(output), &releases); err != nil {
		return "", fmt.Errorf("parse the list of releases: %w", err)
	}
	if len(releases) == 0 {
		return "", nil
	}
	return releases[0].Status, nil
}

// serve offers a folder over HTTP on a free port of the loopback interface.
func serve(dir string) (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the chart repository: %w", err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "chart repository:", err)
		}
	}, nil
}
