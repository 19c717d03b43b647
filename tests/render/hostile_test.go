package chart_test

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tests/render/generate"
	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
)

// marks are harmless texts, one of which every place accepts that accepts any text of its own.
var marks = []string{"zzmarkzz", "777777777", "77777777", "7777Ki", "https://zzmarkzz", "zzmarkzz:1", "10.77.77.64/27", "7777d", "7777h", "57 17 27 7 6", "77777777T777777Z-77777777"}

// fixedWords are the places that take one of a few words, so that no text of one's own reaches an object.
func fixedWords(p schema.Place) bool {
	return p.Node.Enum != nil || p.String() == "servers.config.<key>"
}

// tree is an object as YAML reads it. Passwords are decoded.
func tree(t render.T, o render.Object) map[string]any {
	t.Helper()
	var read map[string]any
	if err := yaml.Unmarshal([]byte(o.YAML), &read); err != nil {
		t.Fatalf("read %s: %v", o.ID(), err)
	}
	if data, ok := read["data"].(map[string]any); ok && read["kind"] == "Secret" {
		for key, value := range data {
			decoded, err := base64.StdEncoding.DecodeString(value.(string))
			if err != nil {
				t.Fatalf("read %s: %v", o.ID(), err)
			}
			data[key] = string(decoded)
		}
	}
	return read
}

// byID finds the objects of a rendering by their names, with a text in place of a mark.
func byID(m *render.Manifests, mark, text string) map[string]render.Object {
	found := map[string]render.Object{}
	for _, o := range m.Objects {
		found[strings.ReplaceAll(o.ID(), mark, text)] = o
	}
	return found
}

// sums are those of a text: they have to differ.
var sums = regexp.MustCompile(`(?m)^# redis\.conf [0-9a-f]{8}$`)

// replaced is a tree with a text in place of a mark, in names and in values, without sums.
func replaced(tree any, mark, text string) any {
	switch tree := tree.(type) {
	case map[string]any:
		result := map[string]any{}
		for key, value := range tree {
			if key != "checksum/config" && key != "redis-ha/pod-template" {
				result[strings.ReplaceAll(key, mark, text)] = replaced(value, mark, text)
			}
		}
		return result
	case []any:
		result := []any{}
		for _, value := range tree {
			result = append(result, replaced(value, mark, text))
		}
		return result
	case string:
		return sums.ReplaceAllString(strings.ReplaceAll(tree, mark, text), "")
	}
	return tree
}

// template renders the first mark that a place accepts.
func template(t *testing.T, p schema.Place) (m *render.Manifests, mark string) {
	t.Helper()
	var problem error
	for _, mark := range marks {
		m, err := render.Try(with(t, p.Leaf(), p.Values(mark)))
		if err == nil {
			return m, mark
		}
		problem = err
	}
	require.NoError(t, problem, "%s accepts none of %q: add a mark that it accepts", p, marks)
	return nil, ""
}

// unset are the texts that stand for no choice, where the chart has one of its own.
func unset(p schema.Place, text string) bool {
	return text == "" && !strings.HasSuffix(p.String(), "annotations.*") && !strings.HasSuffix(p.String(), "Annotations.*") ||
		text == "-" && p.String() == "persistence.storageClass"
}

// At every place where a text can stand, each hostile text and some that the schema likes are refused by name or arrive where
// a harmless text arrives, unchanged, while nothing else in any object moves: there is no way into the YAML or redis.conf.
func TestNoTextBreaksOutOfItsPlace(t *testing.T) {
	t.Parallel()
	var places, arrived atomic.Int32
	t.Run("places", func(t *testing.T) {
		for _, p := range readSchema(t).Texts() {
			if fixedWords(p) {
				continue
			}
			places.Add(1)
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				if stays(t, p) {
					arrived.Add(1)
				}
			})
		}
	})
	assert.GreaterOrEqual(t, places.Load(), int32(40))
	assert.Greater(t, arrived.Load(), places.Load()/2, "the rest refused all texts")
}

// stays puts the texts into one place, and says whether the chart accepted any.
func stays(t *testing.T, p schema.Place) (arrived bool) {
	rendered, mark := template(t, p)
	texts := slices.Clone(hostileTexts)
	if p.Node.Pattern != "" {
		for seed := range 3 {
			if own, ok := generate.Text(p.Node).Example(seed).(string); ok {
				texts = append(texts, own)
			}
		}
	}
	for _, text := range texts {
		if unset(p, text) {
			continue
		}
		m, err := render.Try(with(t, p.Leaf(), p.Values(text)))
		if err != nil {
			assertNamed(t, err, p, text)
			continue
		}
		arrived = true
		want, found := byID(rendered, mark, text), byID(m, mark, mark)
		require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(found)), "%q", text)
		for id, o := range found {
			if o.YAML == want[id].YAML && !strings.Contains(o.YAML, mark) {
				continue // the text has nothing to do with this one
			}
			require.Equal(t, replaced(tree(t, want[id]), mark, text), replaced(tree(t, o), mark, mark), "%s with %q", id, text)
		}
	}
	return arrived
}

// assertNamed checks that a refusal names the place, by the schema or by the chart.
func assertNamed(t *testing.T, err error, p schema.Place, text string) {
	t.Helper()
	pointer := "/" + strings.Join(slices.DeleteFunc(strings.Split(p.Leaf(), "."), func(s string) bool { return s == "" }), "/")
	line := regexp.MustCompile(`\n  ([^ ]+, )*` + regexp.QuoteMeta(p.Leaf()) + `(\[\][^ ,]*)?(, [^ ]+)*: `)
	named := strings.Contains(err.Error(), "at '"+pointer) || line.MatchString(err.Error())
	if p.Leaf() == "nameOverride" {
		named = named || strings.Contains(err.Error(), "\n  release name: ")
	}
	assert.True(t, named, "%q in %s is refused without its name: %v", text, p, err)
}
