package chart_test

import (
	"fmt"
	"maps"
	"os"
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

// refusals pair values that must be refused, the words that tell why and what to set, and the legal neighbour.
var refusals = []struct {
	name, values, neighbour string
	says                    []string
}{
	{"no server", "replicas: {servers: 0}", "replicas: {servers: 1}", []string{"replicas.servers: 0", "set at least 1"}},
	{"no sentinel", "replicas: {sentinels: 0}", "replicas: {sentinels: 1}", []string{"replicas.sentinels: 0", "set 1 or 3"}},
	{"two sentinels", "replicas: {sentinels: 2}", "replicas: {sentinels: 3}", []string{"replicas.sentinels: 2 is even", "set 1 or 3"}},
	{"four sentinels", "replicas: {sentinels: 4}", "replicas: {sentinels: 5}", []string{"replicas.sentinels: 4 is even", "set 3 or 5"}},
	{"an image without a tag", "redis_image: 'example.com:5000/redis-ha'", "redis_image: 'example.com:5000/redis-ha:1'", []string{"redis_image", "neither a tag nor a digest", "redis-ha:8.0.2-r1"}},
	{"the latest image", "redis_image: redis-ha:latest", "redis_image: redis-ha:later", []string{"redis_image", "redis-ha:latest", "set a tag such as redis-ha:8.0.2-r1"}},
	{"quorum above the sentinels", "sentinel: {quorum: 4}", "sentinel: {quorum: 2}", []string{"sentinel.quorum: 4", "more than the 3", "set 2,"}},
	{"quorum of all sentinels", "{replicas: {sentinels: 5}, sentinel: {quorum: 5}}", "{replicas: {sentinels: 5}, sentinel: {quorum: 4}}",
		[]string{"sentinel.quorum: 5", "drained or restarts", "set 3 to 4"}},
	{"quorum below the majority", "sentinel: {quorum: 1}", "sentinel: {quorum: 2}", []string{"sentinel.quorum: 1", "majority of 3", "set 2,"}},
	{"quorum of none", "sentinel: {quorum: 0}", "sentinel: {quorum: null}", []string{"sentinel.quorum: 0", "set 2,"}},
	{"quorum of one sentinel", "{replicas: {sentinels: 1}, sentinel: {quorum: 2}}", "{replicas: {sentinels: 1}, sentinel: {quorum: 1}}",
		[]string{"sentinel.quorum: 2", "set 1, or"}},
	{"as many slaves wanted as servers", "servers: {minReplicasToWrite: 3}", "servers: {minReplicasToWrite: 2}",
		[]string{"servers.minReplicasToWrite: 3", "set 0 to 2", "replicas.servers to 4"}},
	{"a slave wanted of one server", "{replicas: {servers: 1}, servers: {minReplicasToWrite: 1}}", "{replicas: {servers: 1}, servers: {minReplicasToWrite: 0}}",
		[]string{"servers.minReplicasToWrite: 1", "set 0, or"}},
	{"a workload of later versions", "servers: {workload: StatefulSet}", "servers: {workload: Deployment}", []string{"servers.workload", "not available in this version", "Deployment"}},
	{"master larger than slave", "resources: {master: {limits: {memory: 2Gi}}, slave: {limits: {memory: 1Gi}}}",
		"resources: {master: {limits: {memory: 2Gi}}, slave: {limits: {memory: 2Gi}}}", []string{"resources.master, resources.slave", "set both alike"}},
	{"a request above the limit", "resources: {server: {requests: {memory: 1Gi}}}", "resources: {server: {requests: {memory: 0.5G}}}",
		[]string{"resources.server.requests.memory, resources.server.limits.memory: the request of 1Gi is above the limit of 700Mi", "at least 1Gi"}},
	{"a limit below the request", "resources: {sentinel: {limits: {cpu: 50m}}}", "resources: {sentinel: {limits: {cpu: 1}}}",
		[]string{"resources.sentinel.limits.cpu: the request of 100m is above the limit of 50m", "at least 100m"}},
	{"a slave's limit below the request", "resources: {slave: {limits: {memory: 100Mi}}}", "resources: {slave: {limits: {memory: 1Gi}}}",
		[]string{"resources.slave.limits.memory: the request of 200Mi"}},
	{"no limit", "resources: {sentinel: {limits: {memory: null}}}", "resources: {sentinel: {limits: {memory: 1Gi}}}",
		[]string{"resources.sentinel.limits.memory: is not set", "set it to more than 0"}},
	{"a request of nothing", "resources: {server: {requests: {cpu: 0}}}", "resources: {server: {requests: {cpu: 1m}}}",
		[]string{"resources.server.requests.cpu: is not set"}},
	{"master unlike the changed server", "resources: {server: {limits: {memory: 2Gi}}, master: {limits: {memory: 1Gi}}}",
		"resources: {master: {limits: {memory: 1Gi}}}", []string{"resources.master", "set only resources.server"}},
	{"slave unlike the changed server", "resources: {server: {limits: {memory: 2Gi}}, slave: {limits: {memory: 1Gi}}}",
		"resources: {server: {limits: {memory: 2Gi}}}", []string{"resources.slave", "set only resources.server"}},
	{"a toleration of nothing", "tolerations: [{operator: Equal, value: redis}]", "tolerations: [{key: dedicated, value: redis}]",
		[]string{"tolerations[].key: is not set", "set operator to Exists"}},
	{"a toleration with a value that is not compared", "tolerations: [{key: a}, {key: dedicated, operator: Exists, value: redis}]",
		"tolerations: [{key: a}, {key: dedicated, operator: Exists}]", []string{"tolerations[].value", "redis", "set operator to Equal"}},
	{"a toleration for a time without eviction", "tolerations: [{key: dedicated, effect: NoSchedule, tolerationSeconds: 0}]",
		"tolerations: [{key: dedicated, effect: NoExecute, tolerationSeconds: 0}]", []string{"tolerations[].tolerationSeconds: 0", "set effect to NoExecute"}},
	{"a condition on no value", "networkPolicy: {enabled: true, clients: [{podSelector: {matchExpressions: [{key: tier, operator: In, values: []}]}}]}",
		"networkPolicy: {enabled: true, clients: [{podSelector: {matchExpressions: [{key: tier, operator: In, values: [front]}]}}]}",
		[]string{"networkPolicy.clients[].podSelector.matchExpressions[].values", "tier", "set operator to Exists"}},
	{"a condition on values that are not compared",
		"networkPolicy: {enabled: true, clients: [{namespaceSelector: {matchExpressions: [{key: tier, operator: DoesNotExist, values: [front]}]}}]}",
		"networkPolicy: {enabled: true, clients: [{namespaceSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]}",
		[]string{"networkPolicy.clients[].namespaceSelector.matchExpressions[].values", "tier", "set operator to NotIn"}},
	{"an exception from other addresses", "networkPolicy: {enabled: true, clients: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}]}",
		"networkPolicy: {enabled: true, clients: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}",
		[]string{"networkPolicy.clients[].ipBlock.except", "11.0.0.0/16 is not a part of 10.0.0.0/8", "remove it"}},
	{"no rights", "rbac: {create: false}", "{rbac: {create: false}, serviceAccount: {name: mine}}", []string{"rbac.create: false", "set serviceAccount.name"}},
	{"password without auth", "redisPassword: secret", "{auth: true, redisPassword: secret}", []string{"redisPassword", "set auth to true"}},
	{"secret without auth", "existingSecret: mine", "{auth: true, existingSecret: mine}", []string{"existingSecret", "set auth to true"}},
	{"password and secret", "{auth: true, redisPassword: secret, existingSecret: mine}", "{auth: true, existingSecret: mine}",
		[]string{"redisPassword, existingSecret", "set one of them"}},
	{"password with a newline", `{auth: true, redisPassword: "secret\n"}`, "{auth: true, redisPassword: secret}", []string{"redisPassword", "control character"}},
	{"password with a tab", `{auth: true, redisPassword: "sec\tret"}`, `{auth: true, redisPassword: "sec ret"}`, []string{"redisPassword", "control character"}},
	{"password with a Unicode control character", `{auth: true, redisPassword: "sec\u0085ret"}`, `{auth: true, redisPassword: "sec\u00e9ret"}`,
		[]string{"redisPassword", "control character"}},
	{"password too long", "{auth: true, redisPassword: " + strings.Repeat("x", 513) + "}", "{auth: true, redisPassword: " + strings.Repeat("x", 512) + "}",
		[]string{"redisPassword: 513 bytes", "at most 512"}},
	{"webhook twice", "notifications: {webhook: {url: 'https://example.com', existingSecret: mine}}", "notifications: {webhook: {existingSecret: mine}}",
		[]string{"notifications.webhook.url, notifications.webhook.existingSecret", "set one of them"}},
	{"key of a webhook without a Secret", "notifications: {webhook: {key: address}}", "notifications: {webhook: {key: address, existingSecret: mine}}",
		[]string{"notifications.webhook.key", "set that to the Secret"}},
	{"clients of a policy that is off", "networkPolicy: {clients: [{podSelector: {}}]}", "networkPolicy: {enabled: true, clients: [{podSelector: {}}]}",
		[]string{"networkPolicy.clients", "set that to true"}},
	{"directive of the launcher", "servers: {config: {port: 1}}", "servers: {config: {timeout: 1}}", []string{"servers.config", "port", "remove it"}},
	{"release name and chart name too long", "nameOverride: " + strings.Repeat("n", 49), "nameOverride: " + strings.Repeat("n", 43), []string{"release name", "58 characters"}},
	{"webhook that is no address", "notifications: {webhook: {url: example.com}}", "notifications: {webhook: {url: 'http://example.com'}}",
		[]string{"notifications.webhook.url", "https://example.com/redis"}},
	{"webhook with a line break", `notifications: {webhook: {url: "https://example.com/\nX: y"}}`, "notifications: {webhook: {url: 'https://example.com/'}}",
		[]string{"notifications.webhook.url", "not an http or https address"}},
	{"webhook with credentials", "notifications: {webhook: {url: 'https://me:pass@example.com/'}}", "notifications: {webhook: {url: 'https://example.com/@me'}}",
		[]string{"notifications.webhook.url", "existingSecret"}},
	{"chart name that is no label", "{nameOverride: A_b, fullnameOverride: x}", "{nameOverride: a-b, fullnameOverride: x}", []string{"nameOverride", "lower-case letters"}},
	{"chart name too long", "{nameOverride: " + strings.Repeat("n", 51) + ", fullnameOverride: x}", "{nameOverride: " + strings.Repeat("n", 50) + ", fullnameOverride: x}",
		[]string{"nameOverride: 51 characters", "at most 50"}},
	{"full name too long", "fullnameOverride: " + strings.Repeat("n", 53), "fullnameOverride: " + strings.Repeat("n", 52), []string{"fullnameOverride", "53 characters", "at most 52"}},
	{"full name that is no Service name", "fullnameOverride: 1x", "fullnameOverride: x1", []string{"fullnameOverride", "letter first"}},
	{"full name that YAML reads as a truth value", "fullnameOverride: 'Yes'", "fullnameOverride: 'yes'", []string{"fullnameOverride", "lower-case letters"}},
	{"directive in capitals", "servers: {config: {MaxMemory: 1gb}}", "servers: {config: {maxmemory: 1gb}}", []string{`servers.config: "MaxMemory"`, "lower-case letters"}},
	{"two directives in a name", `servers: {config: {"maxmemory 1gb\nport": 1}}`, "servers: {config: {maxmemory: 1gb}}", []string{"servers.config", "is not a directive"}},
	{"two directives in a value", `servers: {config: {maxmemory: "1gb\nport 1"}}`, "servers: {config: {maxmemory: 1gb}}", []string{`servers.config: the value of "maxmemory"`, "line breaks"}},
	{"annotation with a bad name", "servers: {annotations: {a b: c}}", "servers: {annotations: {example.com/a_b.c: d}}", []string{`servers.annotations: "a b"`, "use letters"}},
	{"pod annotation with a bad name", "podAnnotations: {/a: c}", "podAnnotations: {a: c}", []string{`podAnnotations: "/a"`, "use letters"}},
	{"node label with a bad name", "nodeSelector: {a/b/c: d}", "nodeSelector: {a/b: d}", []string{`nodeSelector: "a/b/c"`, "use letters"}},
	{"annotation with a control character", `servers: {annotations: {a: "b\x7f"}}`, `servers: {annotations: {a: "b\n\tc"}}`,
		[]string{`servers.annotations: the value of "a"`, "control character"}},
	{"open quote in a value", `servers: {config: {proc-title-template: '"{title}'}}`, `servers: {config: {proc-title-template: '"{title}"'}}`,
		[]string{`servers.config: the value of "proc-title-template"`, "double quotes"}},
}

// messages are the refusals in _validate.tpl, each as an expression for its text: what stands in braces is filled in.
func messages(t *testing.T) []*regexp.Regexp {
	t.Helper()
	var found []*regexp.Regexp
	defines := regexp.MustCompile(`(?s)\{\{- define "redis-ha\.problems\.\w+" -\}\}(.*?)\{\{- end -\}\}`)
	for _, define := range defines.FindAllStringSubmatch(render.File(t, "templates/_validate.tpl"), -1) {
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

// A refusal that is added to _validate.tpl needs a row in the table, with a legal neighbour.
func TestEveryRefusalOfTheTemplateIsInTheTable(t *testing.T) {
	found := messages(t)
	assert.GreaterOrEqual(t, len(found), 30)
	var lines []string
	for _, r := range refusals {
		lines = append(lines, problems(t, render.YAML(t, r.values))...)
	}
	for _, message := range found {
		assert.True(t, slices.ContainsFunc(lines, message.MatchString), "no row of the table is refused with %s", message)
	}
}

func TestRefusals(t *testing.T) {
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

// ownedDirectives are the directives that the launcher writes, each once, and those that would break what it relies on.
var ownedDirectives = []string{
	"bind", "port", "protected-mode", "unixsocket", "unixsocketperm", "tls-port", "tls-cert-file", "tls-replication",
	"cluster-enabled", "cluster-config-file", "sentinel", "dir", "dbfilename", "appendonly", "appenddirname", "appendfilename",
	"requirepass", "masterauth", "masteruser", "user", "aclfile", "rename-command", "replicaof", "slaveof", "replica-priority", "slave-priority",
	"replica-read-only", "slave-read-only", "save",
	"replica-announce-ip", "replica-announce-port", "replica-announced", "slave-announce-ip", "slave-announce-port",
	"min-replicas-to-write", "min-replicas-max-lag", "min-slaves-to-write", "min-slaves-max-lag",
	"daemonize", "supervised", "pidfile", "logfile", "syslog-enabled", "syslog-ident", "syslog-facility", "include", "loadmodule",
}

func TestDirectivesOfTheLauncherAreRefused(t *testing.T) {
	for _, directive := range ownedDirectives {
		for _, spelling := range []string{directive, strings.ToUpper(directive)} {
			t.Run(spelling, func(t *testing.T) {
				lines := problems(t, render.Values{"servers": map[string]any{"config": map[string]any{spelling: "x"}}})
				assert.Len(t, lines, 1)
				assert.Contains(t, lines[0], "the launcher owns the directive "+spelling)
			})
		}
	}
}

// The chart refuses at install what the launcher would refuse at start, and nothing else.
func TestChartAndLauncherOwnTheSameDirectives(t *testing.T) {
	alternatives := func(path, begin string) []string {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		_, after, found := strings.Cut(string(content), begin)
		require.True(t, found, "%s has no %q", path, begin)
		expression, _, _ := strings.Cut(after, ")$")
		return directivesOf(t, regexp.MustCompile("`\\s*\\+\\s*`").ReplaceAllString(expression, ""))
	}
	chart := alternatives(render.Path(t, "templates/_validate.tpl"), "\n^(")
	launcher := alternatives("../../image/launcher/internal/config/config.go", "`^(")
	assert.Equal(t, launcher, chart)
}

// directivesOf gives the alternatives of an expression, sorted; those in inner brackets are written out.
func directivesOf(t *testing.T, expression string) []string {
	inner := regexp.MustCompile(`\(([^()]*)\)`)
	var out []string
	var expand func(string)
	expand = func(alternative string) {
		at := inner.FindStringSubmatchIndex(alternative)
		if at == nil {
			out = append(out, strings.ReplaceAll(alternative, ".+", ".*"))
			return
		}
		for choice := range strings.SplitSeq(alternative[at[2]:at[3]], "|") {
			expand(alternative[:at[0]] + choice + alternative[at[1]:])
		}
	}
	depth, start := 0, 0
	for i, c := range expression + "|" {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			expand(expression[start:i])
			start = i + 1
		}
	}
	require.Zero(t, depth, expression)
	slices.Sort(out)
	return slices.Compact(out)
}

func TestDirectivesWithAValueOfTheirOwnNameIt(t *testing.T) {
	for directive, instead := range map[string]string{
		"min-replicas-to-write": "set servers.minReplicasToWrite", "min-slaves-max-lag": "set servers.minReplicasMaxLagSeconds",
		"appendonly": "set persistence.enabled", "save": "set persistence.enabled", "requirepass": "set auth", "masterauth": "set auth", "port": "remove it",
	} {
		assert.Contains(t, problems(t, render.Values{"servers": map[string]any{"config": map[string]any{directive: "x"}}})[0], instead)
	}
}

func TestDirectivesNextToThoseOfTheLauncherAreAccepted(t *testing.T) {
	config := map[string]any{}
	for _, directive := range []string{"appendfsync", "auto-aof-rewrite-percentage", "replica-lazy-flush", "repl-backlog-size", "loglevel", "databases",
		"tcp-backlog", "timeout", "maxmemory", "maxclients", "repl-diskless-sync", "latency-monitor-threshold", "repl-diskless-sync-delay", "io-threads"} {
		config[directive] = "1"
	}
	assert.Len(t, redisConf(t, maps.Clone(config)), len(config))
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
