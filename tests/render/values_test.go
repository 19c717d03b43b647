package chart_test

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// documented is one value as values.yaml describes it.
type documented struct {
	comment string // the line after "# --"
	kind    string // the type, where the comment begins with one in parentheses
	shown   string // the default as the README shows it
}

var typed = regexp.MustCompile(`^(?:\(([a-z]+)\) )?(.*)$`)

var keyLine = regexp.MustCompile(`^( *)([A-Za-z0-9_]+):`)

// documentedValues reads the comments of values.yaml: exactly one "# --" line above each value.
func documentedValues(t *testing.T) map[string]documented {
	t.Helper()
	found := map[string]documented{}
	var path []string
	var next documented
	for _, line := range strings.Split(render.File(t, "values.yaml"), "\n") {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "# -- "):
			require.Empty(t, next.comment, "two descriptions in a row: %s", text)
			match := typed.FindStringSubmatch(strings.TrimPrefix(text, "# -- "))
			next.kind, next.comment = match[1], match[2]
		case strings.HasPrefix(text, "# @default -- "):
			next.shown = strings.TrimPrefix(text, "# @default -- ")
		case keyLine.MatchString(line):
			match := keyLine.FindStringSubmatch(line)
			path = append(path[:len(match[1])/2], match[2])
			if next.comment != "" {
				found[strings.Join(path, ".")] = next
			}
			next = documented{}
		}
	}
	return found
}

// leaves lists the values that have no values of their own below them.
func leaves(path string, value any, visit func(path string, value any)) {
	section, ok := value.(map[string]any)
	if !ok || len(section) == 0 {
		visit(path, value)
		return
	}
	for key, child := range section {
		leaves(strings.TrimPrefix(path+"."+key, "."), child, visit)
	}
}

func TestEveryValueIsDescribed(t *testing.T) {
	comments := documentedValues(t)
	count := 0
	leaves("", defaults(t), func(path string, _ any) {
		count++
		assert.Contains(t, comments, path, "values.yaml has no \"# --\" line above %s", path)
		assert.True(t, strings.HasSuffix(comments[path].comment, "."), "the description of %s is a sentence: %q", path, comments[path].comment)
	})
	assert.Len(t, comments, count)
}

func TestSchemaDescribesValuesInTheSameWords(t *testing.T) {
	root := readSchema(t)
	for path, value := range documentedValues(t) {
		node := root
		for _, key := range strings.Split(path, ".") {
			require.Contains(t, node.Properties, key, path)
			node = node.Properties[key]
		}
		assert.Equal(t, value.comment, node.Description, path)
	}
}

// kindOf is the type of a default as the README calls it; null has none.
func kindOf(value any) string {
	switch value := value.(type) {
	case bool:
		return "bool"
	case float64:
		if value == math.Trunc(value) {
			return "int"
		}
		return "float"
	case string:
		return "string"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	return ""
}

// README.md is made from README.md.gotmpl and values.yaml; this fails when it is stale. To make it anew:
//
//	cd tools && go tool helm-docs --chart-search-root ../charts
func TestReadmeTableAgreesWithTheValues(t *testing.T) {
	rows := map[string][]string{}
	var order []string
	for _, line := range strings.Split(render.File(t, "README.md"), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if strings.HasPrefix(line, "| ") && len(cells) == 4 && strings.TrimSpace(cells[0]) != "Key" {
			key := strings.TrimSpace(cells[0])
			rows[key] = cells
			order = append(order, key)
		}
	}
	assert.True(t, slices.IsSorted(order))
	comments := documentedValues(t)
	leaves("", defaults(t), func(path string, value any) {
		require.Contains(t, rows, path, "the table lacks a value")
		shown := comments[path].shown
		if shown == "" {
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			shown = "`" + string(encoded) + "`"
		}
		kind := comments[path].kind
		if kind == "" {
			kind = kindOf(value)
		}
		require.NotEmpty(t, kind, "the type of %s cannot be told from its default: begin its description with the type in parentheses", path)
		assert.Equal(t, kind, strings.TrimSpace(rows[path][1]), "the type of %s", path)
		assert.Equal(t, shown, strings.TrimSpace(rows[path][2]), "the default of %s", path)
		assert.Equal(t, comments[path].comment, strings.TrimSpace(rows[path][3]), "the description of %s", path)
		delete(rows, path)
	})
	assert.Empty(t, rows, "the table has values that values.yaml does not know")
}

func TestImageTagIsTheAppVersion(t *testing.T) {
	var chart struct{ Version, AppVersion, KubeVersion string }
	require.NoError(t, yaml.Unmarshal([]byte(render.File(t, "Chart.yaml")), &chart))
	assert.Equal(t, "redis-ha:"+chart.AppVersion, defaults(t)["redis_image"])
	assert.Equal(t, ">="+render.KubeVersions[0]+".0-0", chart.KubeVersion)
}

// redis-ha.defaultServerResources repeats resources.server, to notice a change of it.
func TestDefaultServerResourcesAreThoseOfTheValues(t *testing.T) {
	_, text, found := strings.Cut(render.File(t, "templates/_helpers.tpl"), `{{- define "redis-ha.defaultServerResources" -}}`)
	require.True(t, found)
	text, _, _ = strings.Cut(text, "{{- end -}}")
	var repeated any
	require.NoError(t, yaml.Unmarshal([]byte(text), &repeated))
	assert.Equal(t, defaults(t)["resources"].(map[string]any)["server"], repeated)
}

// The values of the documents, by the names they have there.
func TestDocumentedValuesKeepTheirDefaults(t *testing.T) {
	values := defaults(t)
	for path, want := range map[string]any{
		"replicas.servers": float64(3), "replicas.sentinels": float64(3), "nodeSelector": map[string]any{}, "tolerations": []any{},
		"servers.serviceType": "ClusterIP", "servers.annotations": map[string]any{}, "rbac.create": true,
		"serviceAccount.create": true, "serviceAccount.name": "", "auth": false, "redisPassword": "",
		"resources.server.requests.memory": "200Mi", "resources.server.requests.cpu": "100m", "resources.server.limits.memory": "700Mi",
		"resources.sentinel.requests.memory": "200Mi", "resources.sentinel.requests.cpu": "100m", "resources.sentinel.limits.memory": "200Mi",
		"resources.master": map[string]any{}, "resources.slave": map[string]any{},
	} {
		var value any = values
		for _, key := range strings.Split(path, ".") {
			value = value.(map[string]any)[key]
		}
		assert.Equal(t, want, value, path)
	}
}

func TestTemplateFilesHaveTheDocumentedNames(t *testing.T) {
	for _, name := range []string{
		"NOTES.txt", "_helpers.tpl", "redis-auth-secret.yaml", "redis-master-service.yaml", "redis-role.yaml", "redis-rolebinding.yaml",
		"redis-sentinel-deployment.yaml", "redis-sentinel-service.yaml", "redis-server-deployment.yaml", "redis-serviceaccount.yaml", "redis-slave-service.yaml",
	} {
		assert.NotEmpty(t, render.File(t, "templates/"+name), name)
	}
}
