package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// makesPassword says whether a values file leaves the password to the chart.
func makesPassword(t *testing.T, file string) bool {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var values struct {
		Auth                          bool
		RedisPassword, ExistingSecret string
	}
	require.NoError(t, yaml.Unmarshal(content, &values))
	return values.Auth && values.RedisPassword == "" && values.ExistingSecret == ""
}

// Tools that render without asking the cluster compare one render with the next.
func TestTwoRendersAreEqual(t *testing.T) {
	chart := filepath.Join(repositoryRoot, "charts", "redis-ha")
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	passwords := 0
	eachHelm(t, func(t *testing.T, h helm) {
		for _, file := range files {
			render := func(args ...string) string {
				return h.run(t, append([]string{"template", "redis-ha", chart, "--values", file}, args...)...)
			}
			if !makesPassword(t, file) {
				require.Equal(t, render(), render(), file)
				continue
			}
			passwords++
			for _, fixed := range []string{"redisPassword=known", "existingSecret=known"} {
				require.Equal(t, render("--set", fixed), render("--set", fixed), "%s with %s", file, fixed)
			}
			differ := differences(render(), render())
			require.Len(t, differ, 1, "%s: lines that differ without a password", file)
			require.Contains(t, differ[0], "auth: ")
		}
	})
	require.NotZero(t, passwords, "no values file leaves the password to the chart")
}

// differences are the lines of a text that another one of as many lines has not.
func differences(one, two string) []string {
	var differ []string
	lines := strings.Split(two, "\n")
	for i, line := range strings.Split(one, "\n") {
		if i >= len(lines) || line != lines[i] {
			differ = append(differ, line)
		}
	}
	return differ
}
