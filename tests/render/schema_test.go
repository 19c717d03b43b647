package chart_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
)

func TestSchemaRefusesWrongTypesByPath(t *testing.T) {
	for values, says := range map[string]string{
		"replicas: 3":                                "at '/replicas': got number, want object",
		"replicas: {servers: three}":                 "at '/replicas/servers': got string, want integer",
		"replicas: {servers: 2.5}":                   "at '/replicas/servers': got number, want integer",
		"redis_image: ''":                            "at '/redis_image'",
		"redis_image: 'a b'":                         "at '/redis_image'",
		"servers: {serviceType: Loadbalancer}":       "at '/servers/serviceType': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
		"servers: {workload: DaemonSet}":             "at '/servers/workload': value must be one of 'Deployment', 'StatefulSet'",
		"servers: {config: {save: [a]}}":             "at '/servers/config/save': got array",
		"servers: {config: [port]}":                  "at '/servers/config': got array, want object",
		"servers: {maxmemoryPercent: 75%}":           "at '/servers/maxmemoryPercent': got string, want integer",
		"servers: {maxmemoryPercent: null}":          "at '/servers': missing property 'maxmemoryPercent'",
		"sentinel: {quorum: two}":                    "at '/sentinel/quorum': got string",
		"sentinel: {masterName: 'a b'}":              "at '/sentinel/masterName'",
		"logLevel: verbose":                          "at '/logLevel': value must be one of 'debug', 'info', 'warn', 'error'",
		"imagePullPolicy: Sometimes":                 "at '/imagePullPolicy': value must be one of",
		"persistence: {size: big}":                   "at '/persistence/size'",
		"persistence: {accessModes: [ReadOnlyMany]}": "at '/persistence/accessModes/0': value must be one of",
		"persistence: {accessModes: []}":             "at '/persistence/accessModes'",
		"tolerations: [{operator: Is}]":              "at '/tolerations/0/operator': value must be one of",
		"resources: {server: {limits: {memory: x}}}": "at '/resources/server/limits/memory'",
		"resources: {slave: {limits: {memory: 1m}}}": "at '/resources/slave/limits/memory'",
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
		"passwordRotation.gracePeriodSeconds":   {120, 31536000},
		"servers.maxmemoryPercent":              {0, 75},
		"replicas.servers":                      {1, 50},
		"replicas.sentinels":                    {1, 15},
	} {
		section, key, _ := strings.Cut(path, ".")
		values := func(n int) render.Values { return render.Values{section: map[string]any{key: n}} }
		for _, legal := range bounds {
			assert.NotEmpty(t, render.Chart(t, values(legal)).Objects)
		}
		assert.Contains(t, render.Refused(t, values(bounds[0]-1)), key, path)
		assert.Contains(t, render.Refused(t, values(bounds[1]+1)), key, path)
	}
}

// Kubernetes takes dots between the parts of a name, and nowhere else; addresses and the prefixes of labels have their form too.
func TestSchemaRefusesNamesThatKubernetesRefuses(t *testing.T) {
	client := "networkPolicy: {enabled: true, clients: [%s]}"
	for form, names := range map[string]struct{ legal, refused []string }{
		"serviceAccount: {name: %s}":      {[]string{`"1"`, "a.b", "a-b.c"}, []string{"a..b", "a.-b", "a-.b", "A", "a_b"}},
		"imagePullSecrets: [{name: %s}]":  {[]string{"a.b"}, []string{"a..b"}},
		"persistence: {storageClass: %s}": {[]string{`"-"`, "a.b"}, []string{"a..b"}},
		"tolerations: [{key: %s}]":        {[]string{"a.b/C.d", "A"}, []string{"A.b/c", "a..b/c", strings.Repeat("x", 64)}},
		fmt.Sprintf(client, "{podSelector: {matchExpressions: [{key: %s, operator: Exists}]}}"): {[]string{"a.b/C"}, []string{"A/c", "a..b/c"}},
		fmt.Sprintf(client, "{ipBlock: {cidr: '%s'}}"):                                          {[]string{"10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::/0", "1:2:3:4:5:6:7:8/128"}, []string{"999.0.0.0/8", ":::/8", "1:2::3::/8", "1:2:3/8", "::12345/8", "10.0.0.0/33", "fd00::/129", "10.0.0.0"}},
	} {
		for _, name := range names.legal {
			assert.NotEmpty(t, render.Chart(t, render.YAML(t, fmt.Sprintf(form, name))).Objects, name)
		}
		for _, name := range names.refused {
			_, err := render.Try(render.YAML(t, fmt.Sprintf(form, name)))
			assert.ErrorContains(t, err, "schema", form, name)
		}
	}
}

// readSchema reads values.schema.json. Texts and switches have the type that the chart demands of them; the schema lets other types
// pass, for the chart to refuse in its own words.
func readSchema(t render.T) *schema.Node {
	t.Helper()
	root, err := schema.Read(render.File(t, "values.schema.json"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	shapes := keyShapes(t)
	for _, p := range root.Places() {
		switch shapes[p.String()] {
		case "text":
			p.Node.Types = []string{"string"}
		case "switch":
			p.Node.Types = []string{"boolean"}
		}
	}
	return root
}

// open is the only value that the schema says nothing about: what a parent chart keeps there is its own business.
const open = "global"

func TestSchemaIsDescribedAtEveryLevel(t *testing.T) {
	root := readSchema(t)
	sections := 0
	for _, p := range root.Places() {
		last := p.Path[len(p.Path)-1]
		if last != schema.Item && last != schema.Entry && last != schema.Key {
			assert.NotEmpty(t, p.Node.Description, p)
		}
		assert.NotEmpty(t, p.Node.Types, p)
		if p.Node.Is("object") && p.String() != open {
			sections++
			assert.True(t, len(p.Node.Properties) > 0 || p.Node.Others != nil, "%s accepts any name with any value", p)
		}
		if p.Node.Is("array") {
			assert.NotNil(t, p.Node.Items, "%s accepts items of any kind", p)
		}
	}
	assert.GreaterOrEqual(t, sections, 20)
}

// freeTexts are the strings without a pattern: what is wrong with them, the refusals of the chart say in better words.
var freeTexts = map[string]string{
	"nameOverride":              "refused with what a name may contain and its length",
	"fullnameOverride":          "the same, and the length depends on the longest suffix",
	"redisPassword":             "a schema's message would print it",
	"notifications.webhook.url": "refused with where to put credentials",
	"backup.s3.endpoint":        "the same",
	"servers.annotations.<key>": "refused by name", "servers.annotations.*": "any text",
	"podAnnotations.<key>": "refused by name", "podAnnotations.*": "any text",
	"nodeSelector.<key>": "refused by name",
	"networkPolicy.clients[].podSelector.matchLabels.<key>":       "refused by name: of propertyNames, Helm tells a wrong path",
	"networkPolicy.clients[].namespaceSelector.matchLabels.<key>": "refused by name",
	"networkPolicy.scrapers[].podSelector.matchLabels.<key>":      "refused by name", "networkPolicy.scrapers[].namespaceSelector.matchLabels.<key>": "refused by name",
	"servers.config.<key>": "refused with what to set instead", "servers.config.*": "refused with how to quote",
}

// freeNumbers are the numbers whose bounds depend on other values, or that the chart refuses in better words.
var freeNumbers = map[string]bool{"replicas.servers": true, "replicas.sentinels": true, "sentinel.quorum": true, "servers.minReplicasToWrite": true,
	"podSecurityContext.runAsUser": true, "podSecurityContext.fsGroup": true}

func TestTextsHaveAPatternAndNumbersHaveLimits(t *testing.T) {
	free := maps.Clone(freeTexts)
	for _, p := range readSchema(t).Places() {
		path, n := p.String(), p.Node
		if n.Is("string") && n.Pattern == "" && n.Enum == nil {
			assert.Contains(t, free, path, "%s has neither a pattern nor a list of words", path)
			delete(free, path)
		}
		if n.Is("integer") && !freeNumbers[path] {
			assert.True(t, n.Minimum != nil && n.Maximum != nil, "%s has no range", path)
		}
	}
	assert.Empty(t, free, "these have a pattern")
}

// defaults are the chart's values.
func defaults(t *testing.T) map[string]any {
	t.Helper()
	values := map[string]any{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(render.File(t, "values.yaml")), &values))
	return values
}

// declared are the leaves of the schema that have a default, by path.
func declared(t render.T) map[string]*schema.Node {
	t.Helper()
	found := map[string]*schema.Node{}
	for _, leaf := range readSchema(t).Leaves() {
		if leaf.Node.Declared {
			found[leaf.String()] = leaf.Node
		}
	}
	return found
}

// Both directions: each value of values.yaml has its default in the schema, and each default of the schema is in values.yaml.
func TestSchemaAndDefaultsAgree(t *testing.T) {
	left := declared(t)
	leaves("", defaults(t), func(path string, value any) {
		require.Contains(t, left, path, "the schema has no default for %s", path)
		assert.Equal(t, value, left[path].Default, "the default of %s", path)
		delete(left, path)
	})
	assert.Empty(t, left, "values.yaml lacks these")
}
