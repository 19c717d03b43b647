package schema

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const example = `{
  "type": "object", "additionalProperties": false, "required": ["size"],
  "properties": {
    "size": {"allOf": [{"$ref": "#/definitions/size"}], "description": "How large.", "default": "1Gi"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
    "taints": {"type": "object", "additionalProperties": {"type": "string"}, "examples": [{"a": "b", "c": "d"}, {"dedicated": "redis"}], "default": {}},
    "list": {"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {"name": {"type": "string"}}}, "default": []},
    "pod": {"type": "object", "additionalProperties": false, "properties": {"count": {"type": ["integer", "null"], "minimum": 1, "default": null}}},
    "global": {"type": "object"}
  },
  "definitions": {"size": {"description": "A size.", "type": ["string", "number"], "pattern": "^[0-9]+Gi$"}}
}`

// paths are the places as text.
func paths(places []Place) (texts []string) {
	for _, p := range places {
		texts = append(texts, p.String())
	}
	return texts
}

func TestPlacesOfASchema(t *testing.T) {
	root, err := Read(example)
	require.NoError(t, err)
	assert.Equal(t, []string{"global", "labels", "labels.<key>", "labels.*", "list", "list[]", "list[].name", "pod", "pod.count", "size", "taints", "taints.<key>", "taints.*"}, paths(root.Places()))
	assert.Equal(t, []string{"labels", "list", "pod.count", "size", "taints"}, paths(root.Leaves()))
	assert.Equal(t, []string{"labels.<key>", "labels.*", "list[].name", "size", "taints.<key>", "taints.*"}, paths(root.Texts()))
}

func TestReferencesAreResolvedAndOverridden(t *testing.T) {
	root, err := Read(example)
	require.NoError(t, err)
	size := root.Properties["size"]
	assert.Equal(t, "How large.", size.Description)
	assert.Equal(t, "^[0-9]+Gi$", size.Pattern)
	assert.Equal(t, []string{"string", "number"}, size.Types)
	assert.Equal(t, "1Gi", size.Default)
	count := root.Properties["pod"].Properties["count"]
	assert.True(t, count.Declared)
	assert.Nil(t, count.Default)
	assert.True(t, root.Closed)
	assert.False(t, root.Properties["global"].Closed)
}

func TestValuesAtAPlace(t *testing.T) {
	root, err := Read(example)
	require.NoError(t, err)
	want := map[string]map[string]any{
		"size":         {"size": "x"},
		"labels.*":     {"labels": map[string]any{"example": "x"}},
		"labels.<key>": {"labels": map[string]any{"x": "example"}},
		"taints.*":     {"taints": map[string]any{"dedicated": "x"}},
		"taints.<key>": {"taints": map[string]any{"x": "example"}},
		"list[].name":  {"list": []any{map[string]any{"name": "x"}}},
	}
	for _, p := range root.Texts() {
		assert.Equal(t, want[p.String()], p.Values("x"), p)
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`{"if": {}}`:                                    `unknown field "if"`,
		`{"properties": {"a": {"oneOf": []}}}`:          `unknown field "oneOf"`,
		`{"additionalProperties": {"const": 1}}`:        `additionalProperties: json: unknown field "const"`,
		`{"properties": {"a": {"$ref": "other.json"}}}`: `a: resolve the reference "other.json"`,
		`{} {}`:       "more than one JSON value",
		`{"type": 1}`: "read a type",
	} {
		_, err := Read(text)
		assert.ErrorContains(t, err, says, text)
	}
}

func TestMergeKeepsWhatIsThere(t *testing.T) {
	into := map[string]any{"a": map[string]any{"b": 1, "c": 2}, "d": 3}
	Merge(into, map[string]any{"a": map[string]any{"b": 9}, "e": map[string]any{"f": 4}})
	assert.Equal(t, map[string]any{"a": map[string]any{"b": 9, "c": 2}, "d": 3, "e": map[string]any{"f": 4}}, into)
}
