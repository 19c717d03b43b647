package chart_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// normalized takes out what changes with every version or rendering.
func normalized(text string) string {
	for _, change := range []struct{ pattern, with string }{
		{`redis-ha-\d+\.\d+\.\d+`, "redis-ha-VERSION"},
		{`(app\.kubernetes\.io/version: )"[^"]*"`, `${1}"VERSION"`},
		{`"redis-ha:[^"]*"`, `"redis-ha:VERSION"`},
		{`(redis-ha/pod-template: )[0-9a-f]{64}`, "${1}SUM"},
		{`(?m)^# Source: .*\n`, ""},
	} {
		text = regexp.MustCompile(change.pattern).ReplaceAllString(text, change.with)
	}
	return strings.TrimSpace(text) + "\n"
}

// The goldens show a reviewer what a change of the chart does to the objects of each values file. They state no rule: whatever
// has a reason is asserted by a test of its own. `make golden` writes them.
func TestGoldens(t *testing.T) {
	const dir = "testdata/golden"
	orphans := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	require.NoError(t, err)
	for _, file := range files {
		orphans[file] = true
	}
	for _, c := range render.Cases(t) {
		file := filepath.Join(dir, c.Name+".txtar")
		delete(orphans, file)
		t.Run(c.Name, func(t *testing.T) {
			m := render.Chart(t, c.Values)
			archive := &txtar.Archive{}
			for _, o := range m.Objects {
				text := normalized(o.YAML)
				if strings.HasPrefix(o.ID(), "Secret/") {
					text = regexp.MustCompile(`(?m)^(  auth: ).*$`).ReplaceAllString(text, `${1}"PASSWORD"`)
					text = regexp.MustCompile(`(?m)^(  (ca|tls)\.(crt|key): |  renewed-after: ).*$`).ReplaceAllString(text, `${1}"DRAWN"`)
				}
				archive.Files = append(archive.Files, txtar.File{Name: o.ID(), Data: []byte(text)})
			}
			archive.Files = append(archive.Files, txtar.File{Name: "NOTES.txt", Data: []byte(normalized(m.Notes))})
			if *render.Update {
				require.NoError(t, os.MkdirAll(dir, 0o755))
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
				return
			}
			golden, err := txtar.ParseFile(file)
			require.NoError(t, err, "write it with -update")
			want := map[string]string{}
			for _, f := range golden.Files {
				want[f.Name] = string(f.Data)
			}
			for _, f := range archive.Files {
				assert.Equal(t, want[f.Name], string(f.Data), "%s has changed: look at the difference, and if it is meant, write it with -update", f.Name)
				delete(want, f.Name)
			}
			assert.Empty(t, want, "the golden has objects that are no longer rendered")
		})
	}
	for file := range orphans {
		if *render.Update {
			assert.NoError(t, os.Remove(file))
			continue
		}
		t.Errorf("%s belongs to no values file of charts/redis-ha/ci: remove it, or write the goldens with -update", file)
	}
}
