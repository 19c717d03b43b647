package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
)

// names are the mutants as the table of survivors calls them.
func names(mutants []mutant) (found []string) {
	count(mutants)
	for _, m := range mutants {
		found = append(found, m.name())
	}
	return found
}

func TestEveryLineOfATemplateButCommentsIsRemovedAndItsLiteralFlipped(t *testing.T) {
	assert.Equal(t, []string{
		"t.yaml: remove {{- if .Values.on }}",
		"t.yaml: remove readOnly: true",
		"t.yaml: flip readOnly: true -> readOnly: false",
		"t.yaml: remove - weight: 100",
		"t.yaml: flip - weight: 100 -> - weight: 101",
		`t.yaml: remove node: "true"`,
		`t.yaml: flip node: "true" -> node: "false"`,
		"t.yaml: remove readOnly: true (2)",
		"t.yaml: flip readOnly: true (2) -> readOnly: false",
		"t.yaml: remove {{- end }}",
	}, names(templateMutants("t.yaml", `{{- /* A comment
of two lines. */}}
{{- if .Values.on }}
# A comment.
  readOnly: true
  - weight: 100

  node: "true"
  readOnly: true
{{- end }}
{{/* One line. */}}
`)))
}

func TestEveryValueIsFlippedToOneThatTheSchemaKnows(t *testing.T) {
	root, err := schema.Read(`{"properties": {"pull": {"enum": ["Always", "Never"]}}}`)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"values.yaml: flip pull: Never -> pull: Always",
		"values.yaml: flip on: true -> on: false",
		"values.yaml: flip count: null -> count: 0",
		"values.yaml: flip memory: 200Mi -> memory: 201Mi",
		`values.yaml: flip name: "" -> name: "other"`,
		"values.yaml: flip name: master -> name: masterx",
	}, names(valueMutants("# A comment.\npull: Never\nsection:\n  on: true\n  count: null\n  memory: 200Mi\nname: \"\"\nempty: {}\nlist: []\nother:\n  name: master\n", root)))
}

func TestAMutantChangesOneLineOfItsFile(t *testing.T) {
	dir := t.TempDir()
	text := "a: 1\n  b: true\nc: 1\n"
	write := func(m mutant) string {
		require.NoError(t, m.write(dir, []byte(text)))
		content, err := os.ReadFile(filepath.Join(dir, "t.yaml"))
		require.NoError(t, err)
		return string(content)
	}
	assert.Equal(t, "a: 1\nc: 1\n", write(mutant{file: "t.yaml", number: 2, change: "remove", before: "b: true"}))
	assert.Equal(t, "a: 1\n  b: false\nc: 1\n", write(mutant{file: "t.yaml", number: 2, change: "flip", before: "b: true", after: "b: false"}))
}

func TestMutantsOfTheChartHaveDifferentNames(t *testing.T) {
	all, err := mutants(render.Path(t, "."))
	require.NoError(t, err)
	assert.Greater(t, len(all), 500)
	seen := map[string]bool{}
	for _, m := range all {
		assert.False(t, seen[m.name()], m.name())
		seen[m.name()] = true
	}
	reasons, err := explained()
	require.NoError(t, err)
	assert.NoError(t, known(all, reasons))
}

func TestVerdictAsksForReasonsAndForNoneTooMany(t *testing.T) {
	all := map[string]bool{"a": true, "b": true, "c": true}
	unexplained, unused := verdict([]string{"a", "b"}, all, map[string]string{"a": "why", "c": "why", "not run": "why"})
	assert.Equal(t, []string{"b"}, unexplained)
	assert.Equal(t, []string{"c"}, unused)
	assert.ErrorContains(t, known([]mutant{{file: "t", change: "remove", before: "x"}}, map[string]string{"gone": "why"}), `explains "gone"`)
}
