package chart_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
)

// defined is the YAML between the lines of a definition in a template.
func defined(t render.T, file, name string) map[string]any {
	t.Helper()
	_, after, found := strings.Cut(render.File(t, "templates/"+file), fmt.Sprintf("{{- define %q -}}", name))
	if !found {
		t.Fatalf("templates/%s does not define %s", file, name)
	}
	text, _, _ := strings.Cut(after, "{{- end -}}")
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return content
}

// keyShapes is redis-ha.keys as paths: what the chart takes at each of them.
func keyShapes(t render.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var walk func(path string, shape any)
	walk = func(path string, shape any) {
		switch shape := shape.(type) {
		case string:
			found[path] = shape
		case []any:
			walk(path+"[]", shape[0])
		case map[string]any:
			for key, child := range shape {
				walk(strings.TrimPrefix(path+"."+key, "."), child)
			}
		}
	}
	walk("", defined(t, "_validate_keys.tpl", "redis-ha.keys"))
	return found
}

// The schema is for editors and for types, the list is for messages. Both know the same keys.
func TestKeysOfTheChartAreThoseOfTheSchema(t *testing.T) {
	root, err := schema.Read(render.File(t, "values.schema.json"))
	require.NoError(t, err)
	left := keyShapes(t)
	text, anyType := []string{"string", "number", "boolean"}, []string{"boolean", "string", "number", "object"}
	for _, p := range root.Places() {
		path := p.String()
		shape := left[path]
		delete(left, path)
		if path != "servers.config.*" {
			assert.Equal(t, slices.Equal(text, p.Node.Types), shape == "text", "the schema refuses numbers in %s in words of its own", path)
		}
		assert.Equal(t, slices.Equal(anyType, p.Node.Types), shape == "switch", "the schema refuses other types of %s in words of its own", path)
		if slices.Equal([]string{"string"}, p.Node.Types) && p.Node.Enum == nil && p.Path[len(p.Path)-1] != schema.Key {
			assert.Contains(t, path, "ipBlock", "Helm may read %s as a number, and the schema does not say --set-string", path)
		}
	}
	assert.Empty(t, left, "the schema does not know these")
}

func TestUnknownKeysAreRefusedAtEveryLevel(t *testing.T) {
	sections := 0
	for _, p := range readSchema(t).Places() {
		if !p.Node.Is("object") || len(p.Node.Properties) == 0 {
			continue
		}
		sections++
		section := map[string]any{"surprise": 1}
		for _, required := range p.Node.Required {
			if child := p.Node.Properties[required]; !child.Declared && len(child.Properties) == 0 {
				section[required] = child.Sample()
			}
		}
		values := with(t, p.Leaf(), p.Values(section))
		assert.Contains(t, strings.Join(problems(t, values), "\n"), p.String()+".surprise: the chart has no such value; remove it, or use one of the keys ", p)
	}
	assert.GreaterOrEqual(t, sections, 20)
	assert.Contains(t, problems(t, render.Values{"surprise": nil, "auth": true})[0], "surprise: the chart has no such value; ")
}

// What people type who know other charts, or this one a little, is answered with the right key.
func TestUnknownKeysAreAnsweredWithTheRightOnes(t *testing.T) {
	for values, lines := range map[string][]string{
		"image: {tag: '8', repository: x}": {
			"image.repository: the chart has no such value; set redis_image to the whole name with its tag",
			"image.tag: the chart has no such value; set redis_image to the whole name with its tag",
		},
		"image: {pullPolicy: Always}":        {"image.pullPolicy: the chart has no such value; set imagePullPolicy"},
		"image: redis":                       {"image: the chart has no such value; set redis_image to the whole name with its tag"},
		"resources: {limits: {memory: 1Gi}}": {"resources.limits.memory: the chart has no such value; set resources.server.limits, and resources.sentinel.limits"},
		"resources: {requests: {}}":          {"resources.requests: the chart has no such value; set resources.server.requests, and resources.sentinel.requests"},
		"replicas: {server: 3}":              {"replicas.server: the chart has no such value; set replicas.servers"},
		"replicas: {sentinel: 3}":            {"replicas.sentinel: the chart has no such value; set replicas.sentinels"},
		"autoscaling: {minReplicas: 3, maxReplicas: 7}": {
			"autoscaling.maxReplicas: the chart has no such value; set replicas.external to true, and make a HorizontalPodAutoscaler of the servers",
			"autoscaling.minReplicas: the chart has no such value; set replicas.external to true, and make a HorizontalPodAutoscaler of the servers",
		},
		"replica: {servers: 3}":              {"replica: the chart has no such value; correct the key to replicas"},
		"persistence: {storageClassName: x}": {"persistence.storageClassName: the chart has no such value; set persistence.storageClass"},
		"persistence: {storageclass: x}":     {"persistence.storageclass: the chart has no such value; correct the key to storageClass"},
		"persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}": {
			"persistentVolumeClaimRetentionPolicy.whenDeleted: the chart has no such value; set persistence.retention",
		},
		"persistence: {persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}}": {
			"persistence.persistentVolumeClaimRetentionPolicy.whenScaled: the chart has no such value; set persistence.retention",
		},
		"service: {type: LoadBalancer}":                         {"service.type: the chart has no such value; set servers.serviceType"},
		"servers: {type: LoadBalancer}":                         {"servers.type: the chart has no such value; set servers.serviceType"},
		"password: secret":                                      {"password: the chart has no such value; set auth to true, and redisPassword"},
		"auth: {password: secret}":                              {"auth.password: the chart has no such value; set auth to true, and redisPassword"},
		"auth: {secret: x}":                                     {"auth.secret: auth has no values below it; set auth to true or false"},
		"auth: secret":                                          {"auth: the value is neither true nor false; set it to true, and redisPassword to a password of your own, or set it to false"},
		"sentinel: {replicas: 3}":                               {"sentinel.replicas: the chart has no such value; set replicas.sentinels"},
		"sentinel: {downAfterMiliseconds: 1}":                   {"sentinel.downAfterMiliseconds: the chart has no such value; correct the key to downAfterMilliseconds"},
		"notifications: {webhook: {uri: x}}":                    {"notifications.webhook.uri: the chart has no such value; correct the key to url"},
		"backup: {bucket: x}":                                   {"backup.bucket: the chart has no such value; set backup.s3.bucket"},
		"backup: {existingSecret: x}":                           {"backup.existingSecret: the chart has no such value; set backup.s3.existingSecret, or backup.encryption.existingSecret"},
		"backup: {pvc: x}":                                      {"backup.pvc: the chart has no such value; set backup.persistentVolumeClaim"},
		"backup: {existingClaim: x}":                            {"backup.existingClaim: the chart has no such value; set backup.persistentVolumeClaim"},
		"backup: {cron: x}":                                     {"backup.cron: the chart has no such value; set backup.schedule"},
		"backup: {restore: latest}":                             {"backup.restore: the chart has no such value; set restore.from"},
		"restore: {name: latest}":                               {"restore.name: the chart has no such value; set restore.from"},
		"resources: {server: {request: {}}}":                    {"resources.server.request: the chart has no such value; correct the key to requests"},
		"resources: {server: {limits: {hugepages-2Mi: 2Mi}}}":   {"resources.server.limits.hugepages-2Mi: the chart has no such value; remove it, or use one of the keys cpu, ephemeral-storage, memory"},
		"resources: {slave: {requests: {example.com/fpga: 1}}}": {"resources.slave.requests.example.com/fpga: the chart has no such value; remove it, or use one of the keys cpu, ephemeral-storage, memory"},
		"tolerations: [{name: x, operator: Exists}]":            {"tolerations[].name: the chart has no such value; remove it, or use one of the keys effect, key, operator, tolerationSeconds, value"},
		`{"rbac": {"a\nb": 1}}`:                                 {`"rbac.a\nb": the chart has no such value; remove it, or use one of the keys create`},
	} {
		assert.Equal(t, lines, problems(t, render.YAML(t, values)), values)
	}
}

// Unknown keys, texts that are none and the other problems are told together: one try shows all.
func TestUnknownKeysAreToldWithTheOtherProblems(t *testing.T) {
	lines := strings.Join(problems(t, render.YAML(t, "{image: {tag: '8'}, redisPassword: 12345, replicas: {servers: -1, sentinels: 2}, servers: {config: {timeout: abc}}}")), "\n")
	for _, path := range []string{"image.tag: ", "redisPassword: Helm reads", "redisPassword: has no effect", "replicas.servers: -1", "replicas.sentinels: 2", "servers.config: timeout"} {
		assert.Contains(t, lines, path)
	}
}

func TestKeysToSetInsteadExist(t *testing.T) {
	known := paths(t)
	word := regexp.MustCompile(`[a-z_]+[A-Za-z0-9._]*[A-Za-z0-9]`)
	elsewhere := defined(t, "_validate_keys.tpl", "redis-ha.elsewhere")
	assert.GreaterOrEqual(t, len(elsewhere), 20)
	for key, text := range elsewhere {
		assert.False(t, known[key], "%s is a value of the chart", key)
		named := 0
		for part := range strings.SplitSeq(text.(string), ", ") {
			path := word.FindString(strings.TrimPrefix(part, "and "))
			if known[path] {
				named++
			} else {
				assert.NotContains(t, path, ".", "%s names no value of the chart", part)
			}
		}
		assert.Positive(t, named, "%q names no value of the chart", text)
	}
}

// Helm reads the text behind --set as a number, or as true or false, where it looks like one.
func TestTextsThatHelmReadsOtherwiseAreRefusedWithTheWayOut(t *testing.T) {
	places := 0
	for _, p := range readSchema(t).Places() {
		if keyShapes(t)[p.String()] != "text" {
			continue
		}
		places++
		for value, kind := range map[any]string{int64(12345678987): "a number", 5.5: "a number", true: "true or false"} {
			lines := strings.Join(problems(t, with(t, p.Leaf(), p.Values(value))), "\n")
			assert.Regexp(t, `(?m)^`+regexp.QuoteMeta(strings.TrimSuffix(p.String(), ".*"))+`: Helm reads the value (of ".+" )?as `+kind+` and not as a text; use --set-string`, lines, p)
		}
	}
	assert.GreaterOrEqual(t, places, 20)
	assert.NotContains(t, render.Refused(t, render.Values{"auth": true, "redisPassword": 12345678987.0}), "2345678")
}

// A bound that a message of the schema names is legal, or another check would refuse what the message asked for.
func TestBoundsOfTheSchemaAreLegal(t *testing.T) {
	bounds := 0
	for _, p := range readSchema(t).Places() {
		for _, bound := range []*float64{p.Node.Minimum, p.Node.Maximum} {
			if bound == nil {
				continue
			}
			bounds++
			_, err := render.Try(with(t, p.Leaf(), p.Values(*bound)))
			assert.NoError(t, err, "%s: %v", p, *bound)
		}
	}
	assert.GreaterOrEqual(t, bounds, 10)
}
