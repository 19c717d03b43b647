package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// changed is a copy of the chart with some text of a file replaced.
func changed(t *testing.T, file, from, to string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(render.Path(t, "."))))
	path := filepath.Join(dir, file)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(content), from)
	require.NoError(t, os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600))
	return dir
}

func TestEqualChartsDoNotDiffer(t *testing.T) {
	var output strings.Builder
	found, err := compare(render.Path(t, "."), render.Path(t, "."), &output)
	require.NoError(t, err)
	assert.False(t, found)
	assert.Empty(t, output.String(), "a random password is no difference")
}

func TestChangedLineIsShownForEveryValuesFile(t *testing.T) {
	dir := changed(t, "templates/redis-pdb.yaml", "maxUnavailable: 1", "maxUnavailable: 2")
	var output strings.Builder
	found, err := compare(render.Path(t, "."), dir, &output)
	require.NoError(t, err)
	assert.True(t, found)
	for _, line := range []string{"--- old/01-default/PodDisruptionBudget/redis-ha-redis-ha-server", "+++ new/01-default/PodDisruptionBudget/redis-ha-redis-ha-server",
		"-  maxUnavailable: 1\n+  maxUnavailable: 2\n", "+++ new/05-everything/PodDisruptionBudget/sessions-sentinel"} {
		assert.Contains(t, output.String(), line)
	}
	assert.NotContains(t, output.String(), "Service/")
}

func TestValuesThatTheNewerChartRefusesAreADifference(t *testing.T) {
	dir := changed(t, "values.schema.json", `"minimum": 1500`, `"minimum": 5001`)
	var output strings.Builder
	found, err := compare(render.Path(t, "."), dir, &output)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Contains(t, output.String(), "+++ new/05-everything/refusal")
	assert.Contains(t, output.String(), "+- at '/sentinel/downAfterMilliseconds'")
}

func TestNewValuesFileIsShownWhole(t *testing.T) {
	dir := changed(t, "values.yaml", "# Default", "# Default")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ci", "99-new-novalues.yaml"), []byte("logLevel: debug\n"), 0o600))
	var output strings.Builder
	found, err := compare(render.Path(t, "."), dir, &output)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Contains(t, output.String(), "+++ new/99-new/Deployment/redis-ha-redis-ha-server\n@@ -0,0 ")
}

func TestMissingReferenceIsExplained(t *testing.T) {
	_, err := compareWith(t.Context(), "", nil)
	assert.ErrorContains(t, err, "make diff OLD=")
	_, err = compareWith(t.Context(), "no-such-reference", nil)
	assert.ErrorContains(t, err, "is it a commit, a branch or a tag")
}
