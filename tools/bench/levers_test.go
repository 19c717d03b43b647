package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A patch that does not apply any more would be found an hour into a benchmark.
func TestEachLeverHasAPatchThatApplies(t *testing.T) {
	patches, err := filepath.Glob("levers/*.patch")
	require.NoError(t, err)
	require.Len(t, patches, len(levers), "patches: %v", patches)
	for _, l := range levers {
		patch, err := filepath.Abs(filepath.Join("levers", l.Name+".patch"))
		require.NoError(t, err)
		check := exec.CommandContext(t.Context(), "git", "apply", "--check", patch)
		check.Dir = "../.."
		output, err := check.CombinedOutput()
		require.NoError(t, err, "%s does not apply; make it again from the present code: %s", patch, output)
		for _, fault := range l.Faults {
			require.True(t, slices.Contains(names(), fault), "fault %s of lever %s", fault, l.Name)
		}
	}
}

func TestLeverTableComparesWithAndWithout(t *testing.T) {
	all := results{Levers: []leverRuns{
		{Fault: "kill-redis", Gaps: []float64{300, 400, 350}},
		{Fault: "kill-redis", Off: "crash-at-waitpid", Gaps: []float64{3500, 3600, 4000}, Lost: 7},
		{Fault: "delete", Off: "early-label", Gaps: []float64{1}},
	}}
	text := all.markdown()
	require.Contains(t, text, "| kill-redis | 0.35 s, 0.40 s | 3.60 s, 4.00 s | 3.25 s, x 10.3 | 7 | 3, 3 |")
	require.Equal(t, 1, strings.Count(text, "| the launcher"), "a lever without both is left out")
	require.NotContains(t, text, "before the sentinels name it")
}
