package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// serveChart packages the chart into a repository of its own on 127.0.0.1, and
// gives Helm a home of its own, so that the documented commands can be run word
// for word without touching the user's settings.
func (e *environment) serveChart(ctx context.Context) (stop func(), err error) {
	for _, kind := range []string{"CONFIG", "CACHE", "DATA"} {
		if err := os.Setenv("HELM_"+kind+"_HOME", filepath.Join(e.dir, "helm", kind)); err != nil {
			return nil, fmt.Errorf("give Helm a home of its own: %w", err)
		}
	}
	chart := filepath.Join(repositoryRoot, "charts", "redis-ha")
	if e.Image, err = defaultImage(filepath.Join(chart, "values.yaml")); err != nil {
		return nil, err
	}
	dir := filepath.Join(e.dir, "charts")
	if err := command(ctx, "helm", "package", chart, "--destination", dir); err != nil {
		return nil, err
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	if err := command(ctx, "helm", "repo", "index", dir, "--url", server.URL); err != nil {
		server.Close()
		return nil, err
	}
	e.charts = server.URL
	return server.Close, nil
}

// pushChart puts the chart into a registry of its own on 127.0.0.1, which ends
// with the test, and returns its address there.
func pushChart(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	archives, err := filepath.Glob(filepath.Join(env.dir, "charts", "redis-ha-*.tgz"))
	require.NoError(t, err)
	require.Len(t, archives, 1)
	charts := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/charts"
	require.NoError(t, command(t.Context(), "helm", "push", archives[0], charts, "--plain-http"))
	return charts + "/redis-ha"
}

// defaultImage reads the image of a values file.
func defaultImage(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the chart's values: %w", err)
	}
	var values struct {
		Image string `json:"redis_image"`
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		return "", fmt.Errorf("parse %s: %w", path, err)
	}
	if values.Image == "" {
		return "", fmt.Errorf("%s has no redis_image", path)
	}
	return values.Image, nil
}
