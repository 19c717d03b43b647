package chart_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/generate"
	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
)

// needs are the values that another value has an effect with only.
var needs = map[string]string{
	"sentinel.quorum":                   "replicas: {sentinels: 5}",
	"rbac.create":                       "serviceAccount: {name: mine}",
	"redisPassword":                     "auth: true",
	"existingSecret":                    "auth: true",
	"notifications.webhook.key":         "notifications: {webhook: {existingSecret: mine}}",
	"persistence.retention.whenDeleted": "servers: {workload: StatefulSet}",
	"persistence.retention.whenScaled":  "servers: {workload: StatefulSet}",
	"networkPolicy.clients":             "networkPolicy: {enabled: true}",
	"networkPolicy.scrapers":            "networkPolicy: {enabled: true}",
	"externalMaster.enabled":            "externalMaster: {host: old}",
	"externalMaster.host":               "externalMaster: {enabled: true}",
	"externalMaster.port":               "externalMaster: {enabled: true, host: old}",
	"externalMaster.existingSecret":     "externalMaster: {enabled: true, host: old}",
	"externalMaster.key":                "externalMaster: {enabled: true, host: old, existingSecret: mine}",
	"externalMaster.tls":                "externalMaster: {enabled: true, host: old}",
	"networkPolicy.apiServerPorts":      "networkPolicy: {enabled: true}",
	"backup.schedule":                   "backup: {enabled: true, persistentVolumeClaim: mine}",
	"backup.retention":                  "backup: {enabled: true, persistentVolumeClaim: mine}",
	"backup.persistentVolumeClaim":      "backup: {enabled: true}",
	"backup.s3.endpoint":                "backup: {enabled: true, s3: {bucket: mine, existingSecret: mine}}",
	"backup.s3.bucket":                  "backup: {enabled: true, s3: {endpoint: 'https://example.com', existingSecret: mine}}",
	"backup.s3.prefix":                  "backup: {enabled: true, s3: {endpoint: 'https://example.com', bucket: mine, existingSecret: mine}}",
	"backup.s3.region":                  "backup: {enabled: true, s3: {endpoint: 'https://example.com', bucket: mine, existingSecret: mine}}",
	"backup.s3.existingSecret":          "backup: {enabled: true, s3: {endpoint: 'https://example.com', bucket: mine}}",
	"backup.encryption.existingSecret":  "backup: {enabled: true, persistentVolumeClaim: mine}",
	"restore.from":                      "backup: {enabled: true, persistentVolumeClaim: mine}",
}

// others are values that differ from the default and that the schema accepts, where not every text is one.
var others = map[string]any{"backup.schedule": "0 4 * * *", "backup.retention": "7d", "restore.from": "latest"}

// ignoredAlone are those that are not refused without what they need.
var ignoredAlone = map[string]string{
	"sentinel.quorum":               "three sentinels leave it one legal value, the majority",
	"externalMaster.host":           "may stay when the external master is switched off after the cut-over",
	"externalMaster.port":           "may stay as well",
	"externalMaster.existingSecret": "may stay as well",
	"externalMaster.key":            "may stay as well",
	"externalMaster.tls":            "may stay as well",
}

// oneChoice are values with a single legal choice, so that they can only be refused.
var oneChoice = map[string]string{
	"backup.enabled": "a claim or a bucket goes with true, and neither with false; see TestBackupsAreMadeOnRequestOnly",
	"enabled":        "the condition of a parent chart, which leaves this chart out before it can read it",
}

// outcome is everything that a user gets: the objects and the notes, or a refusal.
func outcome(values render.Values) (text string, refused bool) {
	m, err := render.Try(values)
	if err != nil {
		return err.Error(), true
	}
	var all strings.Builder
	for _, o := range m.Objects {
		all.WriteString(o.YAML)
	}
	return all.String() + m.Notes, false
}

// with adds the values that a place needs to those it gets.
func with(t render.T, leaf string, values map[string]any) render.Values {
	t.Helper()
	all := render.YAML(t, needs[leaf])
	schema.Merge(all, values)
	return all
}

// ownForms are texts that the chart accepts where it asks for more than the schema does.
var ownForms = map[string]string{
	"notifications.webhook.url": `https://[a-z]{3,9}`,
	"backup.s3.endpoint":        `https://[a-z]{3,9}`,
	"restore.from":              `20[0-9]{6}T[0-9]{6}Z-[0-9a-f]{8}`,
	"backup.schedule":           `[0-5][0-9] [1-9] \* \* \*`,
	"redis_image":               `[a-z]{3,9}:1`,
	// Not below the request, not above the limit.
	"resources.master.limits.memory":     `[1-9]Gi`,
	"resources.sentinel.limits.memory":   `[1-9]Gi`,
	"resources.server.limits.memory":     `[1-9]Gi`,
	"resources.slave.limits.memory":      `[1-9]Gi`,
	"resources.master.requests.memory":   `1[0-9]{2}Mi`,
	"resources.sentinel.requests.memory": `1[0-9]{2}Mi`,
	"resources.server.requests.memory":   `1[0-9]{2}Mi`,
	"resources.slave.requests.memory":    `1[0-9]{2}Mi`,
	"servers.maxReplicationLag":          `[1-9]Mi`,
}

// choices are some values of a leaf, the default first; most are legal.
func choices(leaf schema.Place) []any {
	n := leaf.Node
	found := []any{}
	if n.Declared {
		found = append(found, n.Default)
	}
	switch {
	case n.Is("boolean"):
		return append(found, false, true)
	case n.Enum != nil:
		return append(found, n.Enum...)
	case n.Is("integer"):
		low := 0.0
		if n.Minimum != nil {
			low = *n.Minimum
		}
		for i := range 6 {
			found = append(found, low+float64(i))
		}
		return found
	}
	generator := generate.Value(n, rapid.StringMatching(`[a-z]{3,9}`))
	if form, ok := ownForms[leaf.String()]; ok {
		generator = rapid.StringMatching(form).AsAny()
	}
	for seed := range 20 {
		found = append(found, generator.Example(seed))
	}
	return found
}

// effects are the different outcomes of a leaf: at most two renderings, as more prove nothing more, and the refusals on the way.
func effects(leaf schema.Place, values func(value any) render.Values) (rendered, refused int) {
	seen := map[string]bool{}
	for _, value := range choices(leaf) {
		text, no := outcome(values(value))
		switch {
		case seen[text]:
		case no:
			refused++
		default:
			rendered++
		}
		if seen[text] = true; rendered == 2 {
			break
		}
	}
	return rendered, refused
}

// No value is read without a consequence: two legal choices of each differ in what is rendered.
func TestEveryValueHasAnEffect(t *testing.T) {
	t.Parallel()
	leaves, left := 0, maps.Clone(oneChoice)
	for _, leaf := range readSchema(t).Leaves() {
		path := leaf.String()
		leaves++
		t.Run(path, func(t *testing.T) {
			rendered, refused := effects(leaf, func(value any) render.Values { return with(t, path, leaf.Values(value)) })
			if _, ok := left[path]; ok {
				delete(left, path)
				assert.Equal(t, 1, rendered, "more than one choice has an effect")
				assert.Positive(t, refused, "the other choices are ignored")
				return
			}
			assert.Equal(t, 2, rendered, "no template uses it")
		})
	}
	assert.Empty(t, left, "these are no leaves")
	assert.GreaterOrEqual(t, leaves, 50)
}

// A value that needs another says so: alone it is refused by name, never ignored.
func TestValuesThatNeedOthersAreRefusedWithoutThem(t *testing.T) {
	left := maps.Clone(needs)
	for _, leaf := range readSchema(t).Leaves() {
		path := leaf.String()
		if _, ok := left[path]; !ok {
			continue
		}
		delete(left, path)
		if ignoredAlone[path] != "" {
			continue
		}
		var other any = "other"
		if own, ok := others[path]; ok {
			other = own
		}
		switch {
		case leaf.Node.Is("boolean"):
			other = leaf.Node.Default == false
		case leaf.Node.Enum != nil:
			other = leaf.Node.Enum[len(leaf.Node.Enum)-1]
		case leaf.Node.Is("array") && leaf.Node.Items.Is("integer"):
			other = []any{1}
		case leaf.Node.Is("array"):
			other = []any{map[string]any{"podSelector": map[string]any{}}}
		}
		lines := problems(t, leaf.Values(other))
		assert.True(t, slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, path+": ") }), "%s: %q", path, lines)
	}
	assert.Empty(t, left, "these are no leaves")
}
