package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

const introduction = `# Policies

<!-- Written by "make golden" from tests/render/policy. -->

What must be true of every rendering of the chart, whatever its values: %d rules. The tests run each of them on each values file in
` + "`charts/redis-ha/ci`" + ` for each supported Kubernetes version, and break a real rendering in %d ways that the rules must notice. The same rules on
your own values, in a clone of this repository:

` + "```console" + `
$ go run ./tools/policy -f my-values.yaml
$ make policy VALUES=my-values.yaml
` + "```" + `

` + "`-f` and `--set` are those of Helm and may be repeated; `--kube-version` names one Kubernetes version instead of all supported ones; `-o junit` and" + `
` + "`-o sarif`" + ` write what CI systems read.

| exit code | means |
| --- | --- |
| 0 | every rule is kept |
| 1 | there are findings |
| 2 | there are no values or no chart, the values cannot be read, or the chart refuses them |

Under ` + "`go run`" + ` each of the last two is 1, and the code is printed; a built program (` + "`go build -o policy ./tools/policy`" + `) exits with it.

A rule is a file in ` + "`tests/render/policy`" + ` with one exported variable, listed in ` + "`rules.go`" + `. What is accepted for a reason is in ` + "`exceptions.go`" + `.
`

// document is docs/policies.md.
func document() string {
	mutants := 0
	for _, rule := range Rules {
		mutants += len(rule.Mutants)
	}
	var text strings.Builder
	fmt.Fprintf(&text, introduction, len(Rules), mutants)
	for _, rule := range Rules {
		link := rule.Reference
		if !strings.HasPrefix(link, "https://") {
			var inDocs bool
			if link, inDocs = strings.CutPrefix(link, "docs/"); !inDocs {
				link = "../" + link
			}
			link = fmt.Sprintf("[%s](%s)", rule.Reference, link)
		}
		fmt.Fprintf(&text, "\n## %s\n\n%s.\n\n- Why: %s\n- What to do: %s\n- Read on: %s\n", rule.ID, rule.Title, rule.Why, rule.Fix, link)
	}
	text.WriteString("\n## Exceptions\n\n| rule | where | why it is accepted |\n| --- | --- | --- |\n")
	for _, e := range Exceptions {
		fmt.Fprintf(&text, "| %s | %s, `%s` | %s |\n", e.Rule.ID, e.Kind, e.Path, e.Reason)
	}
	return text.String()
}

func TestGoldenDocument(t *testing.T) {
	root, err := render.Root()
	require.NoError(t, err)
	file := filepath.Join(root, "docs", "policies.md")
	if *render.Update {
		require.NoError(t, os.WriteFile(file, []byte(document()), 0o644))
		return
	}
	content, err := os.ReadFile(file)
	require.NoError(t, err, "write it with make golden")
	assert.Equal(t, document(), string(content), "docs/policies.md is stale: write it with make golden")
}
