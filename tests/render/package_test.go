package chart_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// The other tests read the chart past .helmignore. Helm, which packages and installs what .helmignore leaves, gets every template
// and the Helm test, and none of the values files for chart-testing.
func TestHelmGetsEveryTemplateOfTheChart(t *testing.T) {
	loaded, err := loader.Load(render.Path(t, ""))
	require.NoError(t, err)
	packed := map[string]bool{}
	for _, file := range loaded.Raw {
		packed[file.Name] = true
		assert.False(t, strings.HasPrefix(file.Name, "ci/"), file.Name)
	}
	root := render.Path(t, "")
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "templates"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		assert.True(t, packed[filepath.ToSlash(name)], "Helm does not get %s: see .helmignore", name)
		return err
	}))
	for _, name := range []string{"templates/tests/test-verify.yaml", "values.yaml", "values.schema.json", "README.md", "Chart.yaml"} {
		assert.True(t, packed[name], "Helm does not get %s: see .helmignore", name)
	}
}
