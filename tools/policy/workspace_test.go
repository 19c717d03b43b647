package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// Where the versions agree, go.work chooses what each go.mod does.
func TestModulesOfTheWorkspaceAgreeOnVersions(t *testing.T) {
	root, err := render.Root()
	require.NoError(t, err)
	versions := map[string]map[string][]string{}
	for _, file := range []string{"go.mod", "tools/go.mod", "tests/e2e/go.mod"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`).FindAllStringSubmatch(string(content), -1) {
			if match[1] == "github.com/redis-ha/redis-ha" {
				continue // replaced by the folder
			}
			if versions[match[1]] == nil {
				versions[match[1]] = map[string][]string{}
			}
			versions[match[1]][match[2]] = append(versions[match[1]][match[2]], file)
		}
	}
	assert.Greater(t, len(versions), 100)
	for module, of := range versions {
		assert.Len(t, of, 1, "%s has several versions, run go get in the modules that lag behind: %v", module, of)
	}
}
