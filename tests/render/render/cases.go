package render

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
)

// Update tells the golden tests to write their files anew instead of comparing with them.
var Update = flag.Bool("update", false, "write the goldens anew from the chart")

// Case is one values file of charts/redis-ha/ci.
type Case struct {
	Name      string // file name without "-values.yaml" or "-novalues.yaml"
	Values    Values
	Installed bool // installed by chart-testing; otherwise only rendered
}

// Cases are all values files of charts/redis-ha/ci, in the order of their numbers.
func Cases(t T) []Case {
	t.Helper()
	return CasesIn(t, Path(t, ""))
}

// CasesIn are the values files of the chart in another directory.
func CasesIn(t T, dir string) []Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "ci", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find values files in charts/redis-ha/ci: %d found, error %v", len(files), err)
	}
	var cases []Case
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("read a values file: %v", err)
		}
		base := filepath.Base(file)
		name, installed := strings.CutSuffix(base, "-values.yaml")
		if !installed {
			rest, ok := strings.CutSuffix(base, "-novalues.yaml")
			if !ok {
				t.Fatalf("%s: end the name in -values.yaml to have it installed, or in -novalues.yaml to have it rendered only", base)
			}
			name = rest
		}
		cases = append(cases, Case{Name: name, Values: YAML(t, string(content)), Installed: installed})
	}
	return cases
}
