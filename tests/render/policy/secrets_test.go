package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// Passwords that the chart has in names, values and notes, or that are everywhere.
func TestPasswordsThatAreWordsOfTheChartAreNoFindings(t *testing.T) {
	for _, word := range []string{"redis-ha", "password", "true", "e", "xxxxxxxx"} {
		r := fresh(t, "{auth: true, redisPassword: '"+word+"'}")
		assert.Empty(t, Violations(&SecretsStayInSecrets, r), word)
	}
}

// A mutant changes one rendering only; a template that leaks does so in all of them.
func TestChartsThatLeakAPasswordAreFoundOut(t *testing.T) {
	chart, err := render.ChartDir()
	require.NoError(t, err)
	const object = "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: leak}, data: {password: {{ %s | quote }}}}\n"
	given := "{auth: true, redisPassword: redis-ha}"
	for name, leaking := range map[string]struct{ values, file, leak string }{
		"in the notes": {given, "NOTES.txt", "\n{{ .Values.redisPassword }}\n"},
		"as a sum":     {given, "redis-settings.yaml", fmt.Sprintf(object, ".Values.redisPassword | sha1sum")},
		"a random one": {"auth: true", "redis-settings.yaml", fmt.Sprintf(object, "randAlphaNum 10")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(chart)))
			path := filepath.Join(dir, "templates", leaking.file)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, append(bytes.TrimSpace(text), leaking.leak...), 0o600))
			t.Setenv(render.ChartVariable, dir)
			r, err := NewRelease(render.YAML(t, leaking.values), render.KubeVersions[0])
			require.NoError(t, err)
			assert.Len(t, Violations(&SecretsStayInSecrets, r), 1)
		})
	}
}
