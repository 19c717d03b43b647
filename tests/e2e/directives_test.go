package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutEffect are directives that Redis accepts from earlier versions, and does not know otherwise.
var withoutEffect = []string{"io-threads-do-reads", "list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"}

// define is the text of a named template of the chart.
func define(t *testing.T, file, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../charts/redis-ha/templates/" + file)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(content), `{{- define "`+name+`" -}}`)
	require.True(t, found, "%s has no %s", file, name)
	text, _, _ := strings.Cut(after, "{{- end -}}")
	return strings.TrimSpace(text)
}

// The chart takes names that are like a directive, and none, for slips: a directive that it has not heard of could be one of
// those. So its list is that of redis-server in the image, apart from the launcher's own.
func TestDirectivesOfTheChartAreThoseOfRedis(t *testing.T) {
	r := documentedRelease(t)
	chart := strings.Fields(define(t, "_directives.tpl", "redis-ha.directives"))
	owned := regexp.MustCompile(define(t, "_validate_config.tpl", "redis-ha.ownedDirectives"))
	get := func(names ...string) map[string]string {
		var values map[string]string
		script := login(r.password) + "redis-cli --json config get " + strings.Join(names, " ")
		text, err := env.Execute(t.Context(), r.namespace, r.master(t).Name, strings.NewReader(script), "bash", "-s")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(text), &values), text)
		return values
	}
	all := get("'*'")
	assert.Greater(t, len(all), 100)
	for name := range all {
		// Names with an underscore are old ones of those with a hyphen.
		assert.True(t, owned.MatchString(name) || strings.Contains(name, "_") || slices.Contains(chart, name), "the chart does not know %s", name)
	}
	// Redis does not list all directives, but tells the value of each.
	known := get(chart...)
	for _, name := range chart {
		assert.False(t, owned.MatchString(name), "%s is a directive of the launcher", name)
		_, ok := known[name]
		assert.True(t, ok || slices.Contains(withoutEffect, name), "redis-server does not know %s", name)
	}
}

// The servers are replaced for the directives that redis-server in the image does not take while it runs, and for no others.
func TestStartDirectivesOfTheChartAreThoseOfRedis(t *testing.T) {
	r := documentedRelease(t)
	chart, start := strings.Fields(define(t, "_directives.tpl", "redis-ha.directives")), strings.Fields(define(t, "_directives.tpl", "redis-ha.startDirectives"))
	var script strings.Builder
	script.WriteString(login(r.password))
	for _, name := range chart {
		script.WriteString("value=$(redis-cli config get " + name + " | tail -n +2); echo " + name + " $(redis-cli config set " + name + " \"$value\")\n")
	}
	slave := r.component(t, "server")[0]
	for _, pod := range r.component(t, "server") {
		if pod.Labels["redis-role"] == "slave" {
			slave = pod
		}
	}
	text, err := env.Execute(t.Context(), r.namespace, slave.Name, strings.NewReader(script.String()), "bash", "-s")
	require.NoError(t, err)
	asked := 0
	for line := range strings.Lines(text) {
		name, said, _ := strings.Cut(strings.TrimSpace(line), " ")
		asked++
		takes := !strings.Contains(said, "immutable") && !strings.Contains(said, "Unknown option")
		assert.Equal(t, takes, !slices.Contains(start, name), "%s: %s", name, said)
	}
	assert.Equal(t, len(chart), asked)
}
