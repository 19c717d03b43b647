package generate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/schema"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

const wide = `{
  "type": "object", "additionalProperties": false, "properties": {
    "count": {"type": ["integer", "null"], "minimum": 2, "maximum": 9, "default": 3},
    "size": {"type": ["string", "number"], "pattern": "^[0-9]+Gi$", "minimum": 0, "default": "1Gi"},
    "name": {"type": "string", "minLength": 2, "maxLength": 5, "default": ""},
    "on": {"type": "boolean", "default": true},
    "modes": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1, "uniqueItems": true, "default": []},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
    "limits": {"type": "object", "additionalProperties": false, "required": ["cpu"], "default": {},
      "properties": {"cpu": {"type": "string", "enum": ["1"]}}},
    "from": {"type": "array", "default": [], "items": {"type": "object", "additionalProperties": false, "minProperties": 1,
      "properties": {"block": {"type": "string", "enum": ["10.0.0.0/8"]}, "a": {"type": "boolean"}, "b": {"type": "boolean"}},
      "dependencies": {"block": {"maxProperties": 1}}}},
    "selector": {"type": "object", "default": {}, "additionalProperties": {"type": "boolean"}}
  }
}`

// What is generated passes a validator that knows nothing of the generator, and every leaf and type turns up.
func TestPropertyGeneratedValuesMeetTheSchema(t *testing.T) {
	root, err := schema.Read(wide)
	require.NoError(t, err)
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(wide))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("wide.json", parsed))
	validator, err := compiler.Compile("wide.json")
	require.NoError(t, err)
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		values := Some(root.Leaves(), 3, rapid.String()).Draw(t, "values")
		require.NoError(t, validator.Validate(values))
		for name, value := range values {
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			seen[name+" "+string(encoded[:1])] = true
		}
	})
	for _, name := range root.Known() {
		assert.True(t, slices.ContainsFunc(slices.Collect(keys(seen)), func(s string) bool { return strings.HasPrefix(s, name+" ") }), name)
	}
	assert.True(t, seen["count n"], "a null")
	assert.True(t, seen[`size "`], "a size as text")
}

func keys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
