package chart_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/generate"
	"github.com/redis-ha/redis-ha/tests/render/policy"
	"github.com/redis-ha/redis-ha/tests/render/render"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

// hostileTexts break YAML, templates or redis.conf where they are not quoted, or are read as something else than a text.
var hostileTexts = []string{
	"", " ", "yes", "null", "~", "1e3", "0x10", "a: b", "- a", "#x", "a #b", "{{ .Values }}", "{a: b}", "[a]", "!!int 1", "&a", "*a", "|", ">-", "%", "@x", "`x`",
	`"`, `'`, `\`, `\n`, "a\nb", "a\r\nb: c", "\ta", "---", "...", "key: |\n  text", "$(id)", "${X}", "密碼", "\u2028", "\u0085", strings.Repeat("x", 300),
}

// hostile are those texts and any others.
var hostile = rapid.OneOf(rapid.SampledFrom(hostileTexts), rapid.String())

// Any combination of numbers is either rendered or refused by a rule of the chart, as this model says.
func TestPropertyNumbersAreAcceptedExactlyWhenTheyFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers, sentinels := rapid.IntRange(0, 6).Draw(t, "servers"), rapid.IntRange(0, 8).Draw(t, "sentinels")
		values := render.Values{"replicas": map[string]any{"servers": servers, "sentinels": sentinels}}
		legal := servers >= 1 && sentinels%2 == 1
		if rapid.Bool().Draw(t, "with quorum") {
			quorum := rapid.IntRange(0, 9).Draw(t, "quorum")
			values["sentinel"] = map[string]any{"quorum": quorum}
			legal = legal && (quorum < sentinels || sentinels == 1 && quorum == 1) && quorum > sentinels/2
		}
		if rapid.Bool().Draw(t, "with min-replicas") {
			slaves := rapid.IntRange(0, 7).Draw(t, "min-replicas")
			values["servers"] = map[string]any{"minReplicasToWrite": slaves}
			legal = legal && slaves < servers
		}
		if !legal {
			assert.NotEmpty(t, problems(t, values))
			return
		}
		m := render.Chart(t, values)
		assert.EqualValues(t, servers, *render.One[*appsv1.Deployment](t, m, server).Spec.Replicas)
		assert.EqualValues(t, sentinels, *render.One[*appsv1.Deployment](t, m, sentinel).Spec.Replicas)
	})
}

// A value of servers.config stays on the line of its directive, or is refused.
func TestPropertyConfigValuesStayOnOneLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := hostile.Draw(t, "value")
		config := map[string]any{"databases": "1", "locale-collate": value, "timeout": "2"}
		if _, err := render.Try(render.Values{"servers": map[string]any{"config": config}}); err != nil {
			lines := problems(t, render.Values{"servers": map[string]any{"config": config}})
			assert.Len(t, lines, 1)
			assert.Contains(t, lines[0], "locale-collate")
			return
		}
		if value == "" {
			value = `""`
		}
		assert.Equal(t, []string{"databases 1", "locale-collate " + value, "timeout 2"}, redisConf(t, config))
	})
}

// paths are all value paths that a refusal may begin with.
func paths(t render.T) map[string]bool {
	known := map[string]bool{"release name": true}
	for _, p := range readSchema(t).Places() {
		known[p.String()] = true
	}
	return known
}

// Any values that the schema accepts are rendered into objects that decode strictly and keep the rules, or are refused by the
// chart, naming values: no template breaks, and no YAML either.
func TestPropertyValuesOfTheSchemaAreRenderedOrRefusedByName(t *testing.T) {
	t.Parallel()
	leaves, known := readSchema(t).Leaves(), paths(t)
	rendered := 0
	rapid.Check(t, func(t *rapid.T) {
		values := render.Values(generate.Some(leaves, 4, hostile).Draw(t, "values"))
		if _, err := render.Try(values); err != nil {
			for _, line := range problems(t, values) {
				names, _, found := strings.Cut(line, ": ")
				assert.True(t, found, "%q names no value", line)
				for name := range strings.SplitSeq(names, ", ") {
					assert.True(t, known[name], "%q begins with no path of a value", line)
				}
				assert.Contains(t, line, "; ", "%q does not tell what to set", line)
			}
			return
		}
		rendered++
		release, err := policy.NewRelease(values, render.KubeVersions[len(render.KubeVersions)-1])
		require.NoError(t, err)
		for _, rule := range policy.Rules {
			assert.Empty(t, policy.Violations(rule, release), rule.ID)
		}
	})
	assert.Positive(t, rendered, "all values were refused")
}

// 30 cases for each property unless -rapid.checks says otherwise: a case renders the chart, which takes about 10 ms.
func init() {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
}
