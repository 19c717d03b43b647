package chart_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

func TestSchemaRefusesUnknownKeysByName(t *testing.T) {
	for values, says := range map[string]string{
		"replica: {servers: 3}":                       "additional properties 'replica' not allowed",
		"replicas: {server: 3}":                       "at '/replicas': additional properties 'server' not allowed",
		"servers: {type: LoadBalancer}":               "at '/servers': additional properties 'type' not allowed",
		"sentinel: {downAfterMiliseconds: 1}":         "at '/sentinel': additional properties 'downAfterMiliseconds' not allowed",
		"persistence: {storageclass: x}":              "at '/persistence': additional properties 'storageclass' not allowed",
		"rbac: {enabled: true}":                       "at '/rbac': additional properties 'enabled' not allowed",
		"serviceAccount: {annotations: {}}":           "at '/serviceAccount': additional properties 'annotations' not allowed",
		"notifications: {url: x}":                     "at '/notifications': additional properties 'url' not allowed",
		"notifications: {webhook: {uri: x}}":          "at '/notifications/webhook': additional properties 'uri' not allowed",
		"resources: {servers: {}}":                    "at '/resources': additional properties 'servers' not allowed",
		"resources: {server: {request: {}}}":          "at '/resources/server': additional properties 'request' not allowed",
		"resources: {server: {limits: {mem: 1Gi}}}":   "at '/resources/server/limits': additional properties 'mem' not allowed",
		"resources: {sentinel: {limits: {mem: 1Gi}}}": "at '/resources/sentinel/limits': additional properties 'mem' not allowed",
		"resources: {master: {limits: {mem: 1Gi}}}":   "at '/resources/master/limits': additional properties 'mem' not allowed",
		"tolerations: [{name: x}]":                    "at '/tolerations/0': additional properties 'name' not allowed",
		"imagePullSecrets: [{name: x, key: y}]":       "at '/imagePullSecrets/0': additional properties 'key' not allowed",
	} {
		assert.Contains(t, render.Refused(t, render.YAML(t, values)), says, values)
	}
}

func TestSchemaRefusesWrongTypesByPath(t *testing.T) {
	for values, says := range map[string]string{
		"replicas: 3":                                "at '/replicas': got number, want object",
		"replicas: {servers: three}":                 "at '/replicas/servers': got string, want integer",
		"replicas: {servers: 2.5}":                   "at '/replicas/servers': got number, want integer",
		"auth: 'yes'":                                "at '/auth': got string, want boolean",
		"redisPassword: 12345":                       "at '/redisPassword': got number, want string",
		"redis_image: ''":                            "at '/redis_image'",
		"redis_image: 'a b'":                         "at '/redis_image'",
		"servers: {serviceType: Loadbalancer}":       "at '/servers/serviceType': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
		"servers: {workload: DaemonSet}":             "at '/servers/workload': value must be one of 'Deployment', 'StatefulSet'",
		"servers: {annotations: {a: 1}}":             "at '/servers/annotations/a': got number, want string",
		"servers: {config: {save: [a]}}":             "at '/servers/config/save': got array",
		"servers: {config: [port]}":                  "at '/servers/config': got array, want object",
		"sentinel: {quorum: two}":                    "at '/sentinel/quorum': got string",
		"sentinel: {masterName: 'a b'}":              "at '/sentinel/masterName'",
		"logLevel: verbose":                          "at '/logLevel': value must be one of 'debug', 'info', 'warn', 'error'",
		"imagePullPolicy: Sometimes":                 "at '/imagePullPolicy': value must be one of",
		"persistence: {size: big}":                   "at '/persistence/size'",
		"persistence: {accessModes: [ReadOnlyMany]}": "at '/persistence/accessModes/0': value must be one of",
		"persistence: {accessModes: []}":             "at '/persistence/accessModes'",
		"nodeSelector: {a: true}":                    "at '/nodeSelector/a': got boolean, want string",
		"tolerations: [{operator: Is}]":              "at '/tolerations/0/operator': value must be one of",
		"resources: {server: {limits: {memory: x}}}": "at '/resources/server/limits/memory'",
		"serviceAccount: {name: A}":                  "at '/serviceAccount/name'",
		"existingSecret: A":                          "at '/existingSecret'",
		"replicas: {servers: null}":                  "at '/replicas': missing property 'servers'",
		"servers: null":                              "missing property 'servers'",
	} {
		assert.Contains(t, render.Refused(t, render.YAML(t, values)), says, values)
	}
}

func TestSchemaBoundsNumbers(t *testing.T) {
	for path, bounds := range map[string][2]int{
		"sentinel.downAfterMilliseconds":        {1500, 600000},
		"sentinel.failoverTimeoutMilliseconds":  {3000, 3600000},
		"servers.terminationGracePeriodSeconds": {15, 3600},
		"servers.minReplicasMaxLagSeconds":      {1, 3600},
		"replicas.servers":                      {1, 50},
		"replicas.sentinels":                    {1, 15},
	} {
		section, key, _ := strings.Cut(path, ".")
		values := func(n int) render.Values { return render.Values{section: map[string]any{key: n}} }
		for _, legal := range bounds {
			assert.NotEmpty(t, render.Chart(t, values(legal)).Objects)
		}
		assert.Contains(t, render.Refused(t, values(bounds[0]-1)), key, path)
		assert.Contains(t, render.Refused(t, values(bounds[1]+1)), "/"+section+"/"+key+"': maximum", path)
	}
}

// A parent chart adds the key "global" to the values of every chart it contains.
func TestChartCanBePartOfAnother(t *testing.T) {
	assert.NotEmpty(t, render.Chart(t, render.YAML(t, "global: {imageRegistry: example.com}")).Objects)
}

// schemaNode is the part of JSON Schema that the tests look at.
type schemaNode struct {
	Ref                  string                 `json:"$ref"`
	Description          string                 `json:"description"`
	Type                 any                    `json:"type"`
	Default              any                    `json:"default"`
	Properties           map[string]*schemaNode `json:"properties"`
	AdditionalProperties any                    `json:"additionalProperties"`
	Items                *schemaNode            `json:"items"`
	AllOf                []*schemaNode          `json:"allOf"`
}

// readSchema reads values.schema.json.
func readSchema(t *testing.T) *schemaNode {
	t.Helper()
	root := &schemaNode{}
	require.NoError(t, json.Unmarshal([]byte(render.File(t, "values.schema.json")), root))
	return root
}

// walkSchema visits every schema of the values, with its path.
func walkSchema(path string, node *schemaNode, visit func(path string, node *schemaNode)) {
	visit(path, node)
	for key, child := range node.Properties {
		walkSchema(strings.TrimPrefix(path+"."+key, "."), child, visit)
	}
	if node.Items != nil {
		walkSchema(path+"[]", node.Items, visit)
	}
}

func TestSchemaIsClosedAndDescribedAtEveryLevel(t *testing.T) {
	objects := 0
	walkSchema("", readSchema(t), func(path string, node *schemaNode) {
		if node.Ref == "" && path != "" && !strings.HasSuffix(path, "[]") {
			assert.NotEmpty(t, node.Description, path)
		}
		if node.Type != "object" || path == "global" {
			return
		}
		objects++
		if node.AdditionalProperties == false {
			return
		}
		_, typed := node.AdditionalProperties.(map[string]any)
		assert.True(t, typed, "%q accepts any key with any value", path)
	})
	assert.GreaterOrEqual(t, objects, 20)
}

// defaults are the chart's values.
func defaults(t *testing.T) map[string]any {
	t.Helper()
	values := map[string]any{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(render.File(t, "values.yaml")), &values))
	return values
}

func TestSchemaAndDefaultsAgree(t *testing.T) {
	var compare func(path string, value any, node *schemaNode)
	compare = func(path string, value any, node *schemaNode) {
		section, isMap := value.(map[string]any)
		if !isMap || len(section) == 0 {
			assert.Equal(t, value, node.Default, "the default of %s", path)
			return
		}
		for key, child := range section {
			require.Contains(t, node.Properties, key, "%s is missing from the schema below %q", key, path)
			compare(strings.TrimPrefix(path+"."+key, "."), child, node.Properties[key])
		}
	}
	schema, values := readSchema(t), defaults(t)
	compare("", values, schema)

	// The other direction: what the schema knows has a default, except what only the parts of a value may contain.
	for key, node := range schema.Properties {
		if key == "global" {
			continue
		}
		require.Contains(t, values, key)
		section, ok := values[key].(map[string]any)
		if !ok {
			continue
		}
		for inner := range node.Properties {
			assert.Contains(t, section, inner, "%s.%s is in the schema but not in values.yaml", key, inner)
		}
	}
}
