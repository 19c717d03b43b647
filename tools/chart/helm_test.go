package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	repositoryRoot = "../.."
	image          = "registry.example.com/redis-ha:8.0.2-r1"
)

// helm is one of Helm's command lines, with a home of its own.
type helm struct {
	path string
	home string
}

// eachHelm runs a test with every Helm that .cache/bin has to have.
func eachHelm(t *testing.T, test func(t *testing.T, h helm)) {
	t.Helper()
	for _, name := range []string{"helm", "helm4"} {
		t.Run(name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join(repositoryRoot, ".cache", "bin", name))
			require.NoError(t, err)
			_, err = os.Stat(path)
			require.NoError(t, err, "run `make tools` first")
			test(t, helm{path: path, home: t.TempDir()})
		})
	}
}

// run gives the standard output of a command that has to work.
func (h helm) run(t *testing.T, args ...string) string {
	t.Helper()
	output, failure, err := h.try(t, args...)
	require.NoError(t, err, "helm %s: %s", strings.Join(args, " "), failure)
	return output
}

// try gives the standard output and the standard error of a command.
func (h helm) try(t *testing.T, args ...string) (output, failure string, err error) {
	t.Helper()
	var out, errors bytes.Buffer
	command := exec.CommandContext(t.Context(), h.path, args...)
	command.Stdout, command.Stderr = &out, &errors
	command.Env = append(os.Environ(),
		"KUBECONFIG="+os.DevNull,
		"HELM_CONFIG_HOME="+filepath.Join(h.home, "config"),
		"HELM_CACHE_HOME="+filepath.Join(h.home, "cache"),
		"HELM_DATA_HOME="+filepath.Join(h.home, "data"))
	err = command.Run()
	return out.String(), errors.String(), err
}

// packageChart runs `chart package` and returns the archive.
func packageChart(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var output bytes.Buffer
	program := rootCommand(repositoryRoot)
	program.SetOut(&output)
	program.SetArgs(append([]string{"package", "--destination", dir}, args...))
	require.NoError(t, program.ExecuteContext(t.Context()))
	return strings.TrimSpace(output.String())
}

// serve offers a folder over HTTP until the test ends.
func serve(t *testing.T, dir string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return server.URL
}

// versionOf reads the version in the name of an archive.
func versionOf(archive string) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(archive), "redis-ha-"), ".tgz")
}
