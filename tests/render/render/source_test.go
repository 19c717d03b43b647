package render

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Values that the compiled schema accepts are not shown to Helm's own check: the two must agree on a chart that changes.
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
