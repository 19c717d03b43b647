package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/internal/olderchart"
)

// newClone makes a clone of a repository whose main branch has the chart in
// version 1.2.3.
func newClone(t *testing.T) clone {
	t.Helper()
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.com",
		"GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.com",
	} {
		t.Setenv(name, value)
	}
	upstream := clone{dir: t.TempDir()}
	upstream.run(t, "init", "--quiet", "--initial-branch", "main")
	upstream.commit(t, "Chart.yaml", "name: redis-ha\nversion: 1.2.3\n")
	c := clone{dir: t.TempDir(), remote: "origin", branch: "main"}
	c.run(t, "clone", "--quiet", upstream.dir, ".")
	return c
}

func (c clone) run(t *testing.T, args ...string) {
	t.Helper()
	_, err := c.git(t.Context(), args...)
	require.NoError(t, err)
}

// commit writes a file of the chart.
func (c clone) commit(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(c.dir, olderchart.Path, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	c.run(t, "add", "--all")
	c.run(t, "commit", "--quiet", "--message", "Change "+name)
}

func TestVersionIsComparedOnceAReleasedChartChanges(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, c *clone)
		needed  bool
		why     string
	}{
		"changed after the release": {
			func(t *testing.T, c *clone) {
				c.run(t, "tag", "v1.2.3")
				c.commit(t, "values.yaml", "a: 1\n")
			}, true, "whose version 1.2.3 has been released",
		},
		"changed and not committed": {
			func(t *testing.T, c *clone) {
				c.run(t, "tag", "v1.2.3")
				path := filepath.Join(c.dir, olderchart.Path, "Chart.yaml")
				require.NoError(t, os.WriteFile(path, []byte("name: redis-ha\nversion: 1.2.3\nhome: x\n"), 0o644))
			}, true, "whose version 1.2.3 has been released",
		},
		"changed before the release": {
			func(t *testing.T, c *clone) { c.commit(t, "values.yaml", "a: 1\n") },
			false, "version 1.2.3 of origin/main has not been released",
		},
		"released and not changed": {
			func(t *testing.T, c *clone) { c.run(t, "tag", "v1.2.3") },
			false, "the chart is the one of origin/main",
		},
		"no target branch": {
			func(_ *testing.T, c *clone) { c.branch = "release" },
			false, "there is no branch origin/release here",
		},
		"no common history": {
			func(t *testing.T, c *clone) {
				c.run(t, "checkout", "--quiet", "--orphan", "other")
				c.commit(t, "values.yaml", "a: 1\n")
			}, false, "too shallow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClone(t)
			test.prepare(t, &c)
			needed, why, err := c.needsNewVersion(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.needed, needed, why)
			require.Contains(t, why, test.why)
		})
	}
}
