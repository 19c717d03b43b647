package chart_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// ownedDirectives are the directives that the launcher writes, each once, and those that would break what it relies on.
var ownedDirectives = []string{
	"bind", "port", "protected-mode", "unixsocket", "unixsocketperm", "tls-port", "tls-cert-file", "tls-replication",
	"cluster-enabled", "cluster-config-file", "sentinel", "dual-channel-replication-enabled", "dir", "dbfilename", "appendonly", "appenddirname", "appendfilename",
	"requirepass", "masterauth", "masteruser", "user", "aclfile", "rename-command", "bind-source-addr", "rdb-del-sync-files", "replicaof", "slaveof", "replica-priority", "slave-priority",
	"replica-read-only", "slave-read-only", "save",
	"replica-announce-ip", "replica-announce-port", "replica-announced", "slave-announce-ip", "slave-announce-port",
	"min-replicas-to-write", "min-replicas-max-lag", "min-slaves-to-write", "min-slaves-max-lag",
	"daemonize", "supervised", "pidfile", "logfile", "syslog-enabled", "syslog-ident", "syslog-facility", "include", "loadmodule",
}

func TestDirectivesOfTheLauncherAreRefused(t *testing.T) {
	t.Parallel()
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
	chart := alternatives(render.Path(t, "templates/_validate_config.tpl"), "\n^(")
	launcher := alternatives("../../image/launcher/internal/config/directives.go", "`^(")
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

// A maxmemory above three quarters of the limit of the pod is refused in every spelling of Redis. Of 700 MiB these are 550502400 bytes.
func TestMaxmemoryIsComparedWithTheLimitInBytes(t *testing.T) {
	values := func(size any) render.Values {
		return render.Values{"servers": map[string]any{"config": map[string]any{"maxmemory": size}}}
	}
	for _, size := range []any{550502401, "550502401", "550502401b", "550503k", "537601kb", "551m", "526MB", "600mb", "1g", "1GB", `"1gb"`} {
		lines := problems(t, values(size))
		require.Len(t, lines, 1)
		assert.Contains(t, lines[0], "is more than three quarters of the memory limit of a server pod (700Mi)", size)
		assert.Contains(t, lines[0], "set at most 525mb, or a limit of at least ", size)
	}
	for _, size := range []any{0, 550502400, "550502400", "550502k", "537600kb", "550m", "525Mb", "0g", `"100mb"`} {
		assert.NotEmpty(t, render.Chart(t, values(size)).Objects, size)
	}
	// The limit that the refusal names is legal, and the one below it is refused.
	assert.Contains(t, problems(t, values("2gb"))[0], "set at most 525mb, or a limit of at least 2731Mi")
	larger := values("2gb")
	larger["resources"] = map[string]any{"master": map[string]any{"limits": map[string]any{"memory": "2731Mi"}}}
	assert.NotEmpty(t, render.Chart(t, larger).Objects)
	larger["resources"] = map[string]any{"master": map[string]any{"limits": map[string]any{"memory": "2730Mi"}}}
	assert.Len(t, problems(t, larger), 1)
}

// directiveValue is a directive with values that Redis takes, some that it does not take, and what the refusal of those says.
type directiveValue struct {
	directive      string
	legal, illegal []any
	instead        string
}

// checkedValues reads the table of the chart.
func checkedValues(t *testing.T) (found []directiveValue) {
	t.Helper()
	for directive, takes := range defined(t, "_validate_values.tpl", "redis-ha.directiveValues") {
		words := strings.Fields(takes.(string))
		v := directiveValue{directive: directive, illegal: []any{"", "abc", `"x y"`}}
		switch words[0] {
		case "number":
			low, err := strconv.ParseInt(words[1], 10, 64)
			require.NoError(t, err)
			v.legal, v.illegal = []any{words[1], words[2], `"` + words[1] + `"`}, append(v.illegal, low-1, "1"+words[2], "1.5", "007", "+1", true, "1k")
			v.instead = "set a whole number from " + words[1] + " to " + words[2]
		case "size":
			v.legal, v.illegal, v.instead = []any{"100mb", "200M", 3145728, "3145728b"}, append(v.illegal, -1, "75%", "1.5gb", "1gib", "mb", true), "set a size"
			if words[1] != "0" {
				v.illegal = append(v.illegal, 0, "0gb")
			}
		case "share":
			v.legal, v.illegal, v.instead = []any{"0", "5%", "100%", "1g"}, append(v.illegal, "101%", "-1", "%"), "set a size such as 10mb, or a share"
		default:
			for _, word := range words {
				v.legal = append(v.legal, word, strings.ToUpper(word))
			}
			v.illegal, v.instead = append(v.illegal, words[0]+"u", 1), "set one of "+strings.Join(words, ", ")
			if words[0] == "yes" {
				v.legal = append(v.legal, true, false)
			}
		}
		found = append(found, v)
	}
	return found
}

// What Redis would not start with is refused before anything is created, and what the refusal names is taken. All directives are
// tried at once: a refusal has a line for each.
func TestValuesThatRedisDoesNotTakeAreRefused(t *testing.T) {
	t.Parallel()
	values := checkedValues(t)
	require.GreaterOrEqual(t, len(values), 40)
	for round := range 20 {
		legal, illegal := map[string]any{}, map[string]any{}
		for _, v := range values {
			legal[v.directive], illegal[v.directive] = v.legal[round%len(v.legal)], v.illegal[round%len(v.illegal)]
		}
		assert.Len(t, redisConf(t, legal), len(values))
		lines := problems(t, render.Values{"servers": map[string]any{"config": illegal}})
		assert.Len(t, lines, len(values))
		all := strings.Join(lines, "\n")
		for _, v := range values {
			assert.Regexp(t, `(?m)^servers\.config: `+v.directive+` is ".*", and Redis would not start; `+v.instead, all, illegal[v.directive])
		}
	}
}

// What the table says of the directives that most people set, from config.c of Redis 8.0.
func TestCheckedValuesAreThoseOfRedis(t *testing.T) {
	table := defined(t, "_validate_values.tpl", "redis-ha.directiveValues")
	const mostInt = "2147483647"
	for directive, want := range map[string]string{
		"maxmemory": "size 0", "timeout": "number 0 " + mostInt, "tcp-keepalive": "number 0 " + mostInt, "databases": "number 1 " + mostInt,
		"maxclients": "number 1 4294967295", "hz": "number 0 " + mostInt, "appendfsync": "always everysec no", "maxmemory-samples": "number 1 64",
		"maxmemory-policy":            "noeviction allkeys-lru allkeys-lfu allkeys-random volatile-lru volatile-lfu volatile-random volatile-ttl",
		"stop-writes-on-bgsave-error": "yes no", "repl-timeout": "number 1 " + mostInt, "slowlog-log-slower-than": "number -1 9223372036854775807",
	} {
		assert.Equal(t, want, table[directive], directive)
	}
}

// A volume below 128 MiB, which are 134217728 bytes, is refused in every spelling.
func TestVolumesHaveAFloor(t *testing.T) {
	size := func(size string) render.Values { return render.Values{"persistence": map[string]any{"size": size}} }
	for _, small := range []string{"10", "0", "134217727", "127Mi", "0.124Gi", "134M", "1k"} {
		lines := problems(t, size(small))
		require.Len(t, lines, 1, small)
		assert.Contains(t, lines[0], `persistence.size: "`+small+`" is no room`)
	}
	for _, enough := range []string{"134217728", "128Mi", "0.125Gi", "135M", "1T"} {
		assert.NotEmpty(t, render.Chart(t, size(enough)).Objects, enough)
	}
}

// The checked directives are some that the chart knows, and none of them is the launcher's.
func TestDirectivesWithCheckedValuesAreDirectives(t *testing.T) {
	checked := defined(t, "_validate_values.tpl", "redis-ha.directiveValues")
	assert.GreaterOrEqual(t, len(checked), 40)
	known := strings.Fields(render.File(t, "templates/_directives.tpl"))
	for directive := range checked {
		assert.Contains(t, known, directive)
	}
}

func TestNumbersAreKeptOrRefused(t *testing.T) {
	for _, number := range []float64{1 << 53, -1 << 53, 1e300} {
		assert.Contains(t, problems(t, render.Values{"servers": map[string]any{"config": map[string]any{"slowlog-max-len": number}}})[0], "put quotes around it")
	}
	assert.Equal(t, []string{"slowlog-max-len 9007199254740991"}, redisConf(t, map[string]any{"slowlog-max-len": float64(1<<53 - 1)}))
}

func TestSlipsInTheNamesOfDirectivesAreRefused(t *testing.T) {
	for directive, end := range map[string]string{
		"maxmemory-polici": "correct its name to maxmemory-policy", "axmemory": "correct its name to maxmemory", "max-memory": "correct its name to maxmemory",
		"tiemout": "correct its name to timeout", "slowlog-max-lenn": "correct its name to slowlog-max-len", "hash-max-ziplists-value": "correct its name to hash-max-ziplist-value",
		"timeout-": "correct its name to timeout", "repl-timeout-": "correct its name to repl-timeout",
	} {
		lines := problems(t, render.Values{"servers": map[string]any{"config": map[string]any{directive: "1"}}})
		assert.Equal(t, []string{"servers.config: " + directive + " is not a directive of Redis, which would not start; " + end}, lines)
	}
	others := map[string]any{"lfu": 1.0, "x": 1.0, strings.Repeat("x", 300): 1.0, "import-mode": true}
	assert.Len(t, redisConf(t, others), len(others), "of another version, or of Valkey")
}

// Redis is asked for them in tests/e2e. Where a line of them is lost, the chart would refuse some for being like others.
func TestDirectivesAreComplete(t *testing.T) {
	all, start := listed(t, "redis-ha.directives"), listed(t, "redis-ha.startDirectives")
	assert.Len(t, all, 130)
	assert.Len(t, start, 20)
	assert.True(t, slices.IsSorted(all))
	assert.True(t, slices.IsSorted(start))
	assert.Subset(t, all, start)
}

// listed are the directives in a definition of the chart.
func listed(t *testing.T, name string) []string {
	t.Helper()
	_, after, found := strings.Cut(render.File(t, "templates/_directives.tpl"), `{{- define "`+name+`" -}}`)
	require.True(t, found)
	list, _, _ := strings.Cut(after, "{{- end -}}")
	return strings.Fields(list)
}

func TestBothNamesOfADirectiveAreRefused(t *testing.T) {
	for old, name := range map[string]string{
		"slave-ignore-maxmemory": "replica-ignore-maxmemory", "repl-ping-slave-period": "repl-ping-replica-period",
		"hash-max-ziplist-value": "hash-max-listpack-value", "lua-time-limit": "busy-reply-threshold",
	} {
		config := map[string]any{old: "1", name: "2"}
		assert.Equal(t, []string{"servers.config: " + old + " and " + name + " are one directive; remove " + old},
			problems(t, render.Values{"servers": map[string]any{"config": config}}))
		delete(config, name)
		assert.Len(t, redisConf(t, config), 1)
	}
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
	for directive, value := range map[string]string{"appendfsync": "always", "replica-lazy-flush": "yes", "loglevel": "notice", "repl-diskless-sync": "no"} {
		config[directive] = value
	}
	assert.Len(t, redisConf(t, maps.Clone(config)), len(config))
}
