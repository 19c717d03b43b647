package chart_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// problems are the lines of a refusal by the chart's own rules.
func problems(t render.T, values render.Values, options ...render.Option) []string {
	t.Helper()
	text := render.Refused(t, values, options...)
	_, list, found := strings.Cut(text, "These values cannot give a working redis-ha, nothing was changed:\n")
	if !found {
		t.Fatalf("refused, but not by the rules of the chart: %s", text)
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// rules are the templates with the rules of the chart.
func rules(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(render.Path(t, "templates/_validate*.tpl"))
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range files {
		all.WriteString(render.File(t, "templates/"+filepath.Base(file)))
	}
	return all.String()
}

// messages are the refusals of the chart, each as an expression for its text: what stands in braces is filled in.
func messages(t *testing.T) []*regexp.Regexp {
	t.Helper()
	var found []*regexp.Regexp
	defines := regexp.MustCompile(`(?s)\{\{- define "redis-ha\.problems\.\w+" -\}\}(.*?)\{\{- end -\}\}`)
	for _, define := range defines.FindAllStringSubmatch(rules(t), -1) {
		for line := range strings.SplitSeq(define[1], "\n") {
			if line == "" || strings.HasPrefix(line, "{{-") {
				continue
			}
			literals := regexp.MustCompile(`\{\{.*?\}\}`).Split(line, -1)
			for i, literal := range literals {
				literals[i] = regexp.QuoteMeta(literal)
			}
			found = append(found, regexp.MustCompile("^"+strings.Join(literals, ".*")+"$"))
		}
	}
	return found
}

// A refusal that is added to the rules needs a row in the table, with a legal neighbour.
func TestEveryRefusalOfTheTemplateIsInTheTable(t *testing.T) {
	t.Parallel()
	found := messages(t)
	assert.GreaterOrEqual(t, len(found), 60)
	var lines []string
	for _, r := range refusals {
		lines = append(lines, problems(t, render.YAML(t, r.values))...)
	}
	for _, message := range found {
		assert.True(t, slices.ContainsFunc(lines, message.MatchString), "no row of the table is refused with %s", message)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			lines := problems(t, render.YAML(t, r.values))
			require.Len(t, lines, 1, "%v", lines)
			for _, words := range r.says {
				assert.Contains(t, lines[0], words)
			}
			assert.NotContains(t, lines[0], "secret\n")
		})
		t.Run(r.name+", the legal neighbour", func(t *testing.T) {
			assert.NotEmpty(t, render.Chart(t, render.YAML(t, r.neighbour)).Objects)
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	lines := problems(t, render.YAML(t, `
persistence: {enabled: false}
replicas: {servers: 2, sentinels: 2}
sentinel: {quorum: 5}
servers: {workload: StatefulSet, minReplicasToWrite: 2, config: {port: 1, dir: /}}
resources: {master: {limits: {memory: 2Gi}}, slave: {limits: {memory: 1Gi}}}
rbac: {create: false}
redisPassword: "a\tb"
existingSecret: mine
notifications: {webhook: {url: x, existingSecret: mine}}`))
	for _, path := range []string{"replicas.sentinels", "sentinel.quorum", "servers.workload", "servers.minReplicasToWrite", "port", "dir",
		"resources.master", "rbac.create", "redisPassword", "existingSecret", "notifications.webhook.url"} {
		assert.Contains(t, strings.Join(lines, "\n"), path)
	}
	assert.Len(t, lines, 14)
}

func TestRefusalsDoNotPrintThePassword(t *testing.T) {
	for _, values := range []render.Values{
		{"redisPassword": password + "\n"},
		{"auth": true, "existingSecret": "mine", "redisPassword": password + strings.Repeat("x", 600)},
		{"auth": true, "redisPassword": map[string]any{"value": password}},
		{"auth": true, "redisPassword": []any{password}},
	} {
		assert.NotContains(t, render.Refused(t, values), password)
	}
}

func TestReleaseNamesThatDoNotFitAreRefused(t *testing.T) {
	for release, says := range map[string]string{
		strings.Repeat("r", 44): "53 characters", strings.Repeat("r", 53): "62 characters", "my.release": "cannot name a Service", "1st": "letter first",
	} {
		t.Run(release, func(t *testing.T) {
			lines := problems(t, nil, render.As(release, "n"))
			require.Len(t, lines, 1)
			assert.True(t, strings.HasPrefix(lines[0], "release name: "), lines[0])
			assert.Contains(t, lines[0], says)
			assert.Contains(t, lines[0], "set fullnameOverride")
			assert.NotEmpty(t, render.Chart(t, render.Values{"fullnameOverride": "redis"}, render.As(release, "n")).Objects, "the way out")
		})
	}
	assert.NotEmpty(t, render.Chart(t, nil, render.As(strings.Repeat("r", 43), "n")).Objects)
}

// The refusals tell the same numbers that the chart then accepts.
func TestNeighboursNamedForEvenSentinelsAreLegal(t *testing.T) {
	for sentinels := 2; sentinels <= 14; sentinels += 2 {
		line := problems(t, render.Values{"replicas": map[string]any{"sentinels": sentinels}})[0]
		assert.Contains(t, line, fmt.Sprintf("set %d or %d", sentinels-1, sentinels+1))
		for _, neighbour := range []int{sentinels - 1, sentinels + 1} {
			assert.NotEmpty(t, render.Chart(t, render.Values{"replicas": map[string]any{"sentinels": neighbour}}).Objects)
		}
	}
}
