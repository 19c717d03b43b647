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
	"cluster-enabled", "cluster-config-file", "sentinel", "dir", "dbfilename", "appendonly", "appenddirname", "appendfilename",
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

// What Redis would not start with is refused before anything is created, and each value that the refusal names is taken.
func TestValuesThatRedisDoesNotTakeAreRefused(t *testing.T) {
	config := func(directive string, value any) render.Values {
		return render.Values{"servers": map[string]any{"config": map[string]any{directive: value}}}
	}
	for directive, takes := range defined(t, "_validate_values.tpl", "redis-ha.directiveValues") {
		words := strings.Fields(takes.(string))
		legal, illegal, instead := []any{}, []any{"", "abc", `"x y"`}, "set one of "+strings.Join(words, ", ")
		switch words[0] {
		case "number":
			low, err := strconv.ParseInt(words[1], 10, 64)
			require.NoError(t, err)
			legal, illegal = append(legal, words[1], words[2], `"`+words[1]+`"`), append(illegal, low-1, "1"+words[2], "1.5", "007", "+1", true, "1k")
			instead = "set a whole number from " + words[1] + " to " + words[2]
		case "size":
			legal, illegal = append(legal, "100mb", "2G", 3145728, "3145728b"), append(illegal, -1, "75%", "1.5gb", "1gib", "mb", true)
			if words[1] != "0" {
				illegal = append(illegal, 0, "0gb")
			}
			instead = "set a size"
		case "share":
			legal, illegal, instead = append(legal, "0", "5%", "100%", "1g"), append(illegal, "101%", "-1", "%"), "set a size such as 10mb, or a share"
		default:
			for _, word := range words {
				legal = append(legal, word, strings.ToUpper(word))
			}
			illegal = append(illegal, words[0]+"u", 1)
			if words[0] == "yes" {
				legal = append(legal, true, false)
			}
		}
		for _, value := range illegal {
			lines := problems(t, config(directive, value))
			require.Len(t, lines, 1, "%s %v", directive, value)
			assert.Contains(t, lines[0], "servers.config: "+directive+" is ", value)
			assert.Contains(t, lines[0], "and Redis would not start; "+instead, value)
		}
		for _, value := range legal {
			if directive != "maxmemory" || value != "2G" {
				assert.NotEmpty(t, render.Chart(t, config(directive, value)).Objects, "%s %v", directive, value)
			}
		}
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
	others := map[string]any{"lfu": 1.0, "x": 1.0, strings.Repeat("x", 300): 1.0, "dual-channel-replication-enabled": true}
	assert.Len(t, redisConf(t, others), len(others), "of another version, or of Valkey")
}

// Redis is asked for them in tests/e2e. Where a line of them is lost, the chart would refuse some for being like others.
func TestDirectivesAreComplete(t *testing.T) {
	_, after, found := strings.Cut(render.File(t, "templates/_directives.tpl"), `{{- define "redis-ha.directives" -}}`)
	require.True(t, found)
	list, _, _ := strings.Cut(after, "{{- end -}}")
	assert.Len(t, strings.Fields(list), 130)
	assert.True(t, slices.IsSorted(strings.Fields(list)))
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
