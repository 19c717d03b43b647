package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// Helm's own check does not see the values: the compiled schema has to be the one of the chart that is rendered.
func TestASchemaIsAppliedFromTheDirectoryItIsIn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(Path(t, "."))))
	values := Values{"logLevel": "debug"}
	_, err := Try(values, Dir(dir))
	require.NoError(t, err)

	changed := t.TempDir()
	require.NoError(t, os.CopyFS(changed, os.DirFS(dir)))
	require.NoError(t, os.WriteFile(filepath.Join(changed, "values.schema.json"), []byte(`{"properties": {"logLevel": {"enum": ["info"]}}}`), 0o600))
	_, err = Try(values, Dir(changed))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "values don't meet the specifications of the schema(s) in the following chart(s):\nredis-ha:\n- at '/logLevel': value must be 'info'")
	_, err = Try(nil, Dir(changed))
	assert.NoError(t, err)
}

// What Helm itself says to somebody who installs the chart is what a refusal in the tests says, but for the order of the problems,
// which is another each time.
func TestTheSchemaRefusesInHelmsWords(t *testing.T) {
	for _, text := range []string{"logLevel: loud", "rbac: {create: red}", "replicas: {servers: many}\nservers: {config: [a]}", "auth: 1\nlogLevel: 2"} {
		values := YAML(t, text)
		loaded, err := loader.Load(Path(t, "."))
		require.NoError(t, err)
		_, want := chartutil.ToRenderValues(loaded, values, chartutil.ReleaseOptions{}, nil)
		require.Error(t, want)
		_, err = Try(values)
		require.Error(t, err)
		assert.ElementsMatch(t, strings.SplitAfter(want.Error(), "\n"), strings.SplitAfter(err.Error(), "\n"))
	}
}

func TestBrokenChartIsToldWithTheStepThatFailed(t *testing.T) {
	for content, says := range map[string]string{"{": "parse values.schema.json", `{"type": "colour"}`: "compile values.schema.json"} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(Path(t, "."))))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "values.schema.json"), []byte(content), 0o600))
		_, err := Try(nil, Dir(dir))
		assert.ErrorContains(t, err, says)
	}
	_, err := Try(nil, Dir(filepath.Join(t.TempDir(), "none")))
	assert.ErrorContains(t, err, "read the chart")
}
