package olderchart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// newRepository makes a repository without commits.
func newRepository(t *testing.T) (dir string) {
	t.Helper()
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.com",
		"GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.com",
	} {
		t.Setenv(name, value)
	}
	dir = t.TempDir()
	run(t, dir, "init", "--quiet", "--initial-branch", "main")
	return dir
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	output, err := Git(t.Context(), dir, args...)
	require.NoError(t, err)
	return output
}

// commit writes Chart.yaml and returns the new commit.
func commit(t *testing.T, dir, content string) string {
	t.Helper()
	path := filepath.Join(dir, Path, "Chart.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	run(t, dir, "add", "--all")
	run(t, dir, "commit", "--quiet", "--allow-empty", "--message", "Change the chart")
	return run(t, dir, "rev-parse", "HEAD")
}

func requirePrevious(t *testing.T, dir, want string) {
	t.Helper()
	got, err := Previous(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPreviousIsTheNewestReleaseBeforeThisCommit(t *testing.T) {
	dir := newRepository(t)
	first := commit(t, dir, "version: 0.1.0\n")
	requirePrevious(t, dir, first)
	commit(t, dir, "version: 0.1.1\n")
	requirePrevious(t, dir, first)

	run(t, dir, "tag", "v0.1.1")
	run(t, dir, "tag", "chart-of-the-day")
	requirePrevious(t, dir, first)
	commit(t, dir, "version: 0.2.0\n")
	requirePrevious(t, dir, "v0.1.1")
	run(t, dir, "tag", "v0.2.0")
	requirePrevious(t, dir, "v0.1.1")
}

func TestShallowCloneKnowsItsOwnChart(t *testing.T) {
	dir := newRepository(t)
	commit(t, dir, "version: 0.1.0\n")
	head := commit(t, dir, "version: 0.1.1\n")
	shallow := t.TempDir()
	run(t, shallow, "clone", "--quiet", "--depth", "1", "file://"+dir, ".")
	requirePrevious(t, shallow, head)
}

func TestRepositoryWithoutChartIsNamed(t *testing.T) {
	dir := newRepository(t)
	run(t, dir, "commit", "--quiet", "--allow-empty", "--message", "Start")
	_, err := Previous(t.Context(), dir)
	require.ErrorContains(t, err, "commit the chart")
}

func TestExportWritesTheChartOfAReference(t *testing.T) {
	dir := newRepository(t)
	first := commit(t, dir, "version: 0.1.0\n")
	commit(t, dir, "version: 0.2.0\n")
	chart, err := Export(t.Context(), dir, first, t.TempDir())
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(chart, "Chart.yaml"))
	require.NoError(t, err)
	require.Equal(t, "version: 0.1.0\n", string(content))

	_, err = Export(t.Context(), dir, "v9.9.9", t.TempDir())
	require.ErrorContains(t, err, "v9.9.9")
	require.ErrorContains(t, err, "a tag of this clone?")
}
