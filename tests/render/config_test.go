package chart_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// redisConf renders servers.config and gives the lines of redis.conf.
func redisConf(t render.T, values map[string]any) []string {
	t.Helper()
	m := render.Chart(t, render.Values{"servers": map[string]any{"config": values}})
	conf := render.One[*corev1.ConfigMap](t, m, render.Fullname+"-settings").Data["redis.conf"]
	return strings.Split(strings.TrimSuffix(conf, "\n"), "\n")
}

func TestDirectivesAreSpelledAsRedisReadsThem(t *testing.T) {
	assert.Equal(t, []string{
		"activedefrag yes",
		"client-output-buffer-limit normal 0 0 0 replica 512mb 128mb 60",
		"hash-max-listpack-value 64",
		"lazyfree-lazy-eviction no",
		"maxmemory-policy allkeys-lru",
		`notify-keyspace-events ""`,
		`proc-title-template "{title} {listen-addr}"`,
		"proto-max-bulk-len 10737418240",
		`sanitize-dump-payload ""`,
		"x-half 0.5",
	}, redisConf(t, render.YAML(t, `
activedefrag: yes
client-output-buffer-limit: normal 0 0 0 replica 512mb 128mb 60
hash-max-listpack-value: 64
lazyfree-lazy-eviction: no
maxmemory-policy: allkeys-lru
notify-keyspace-events: ""
proc-title-template: '"{title} {listen-addr}"'
proto-max-bulk-len: 10737418240
sanitize-dump-payload: '""'
x-half: 0.5`)))
}

// The kubelet refreshes a ConfigMap in the pods only where it is mounted as a folder.
func TestSettingsAreMountedAsAFolderInEveryPod(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "servers: {config: {maxmemory: 100mb}}"))
	for _, name := range []string{server, sentinel} {
		volume, mount := mounted(t, render.PodTemplate{Owner: name, Spec: podSpec(t, m, name)}, "/etc/redis-ha")
		require.NotNil(t, volume.ConfigMap)
		data := render.One[*corev1.ConfigMap](t, m, volume.ConfigMap.Name).Data
		assert.True(t, mount.ReadOnly)
		assert.Empty(t, mount.SubPath)
		for variable, file := range map[string]string{"LAUNCHER_SETTINGS_FILE": "settings", "LAUNCHER_REDIS_CONFIG_FILE": "redis.conf"} {
			if path, set := deploymentEnv(t, m, name)[variable]; set {
				assert.Equal(t, mount.MountPath+"/"+file, path)
				assert.Contains(t, data, file)
			}
		}
	}
	assert.NotContains(t, deploymentEnv(t, m, sentinel), "LAUNCHER_REDIS_CONFIG_FILE")
}

func TestWithoutConfigTheDirectivesAreEmpty(t *testing.T) {
	m := render.Chart(t, nil)
	directives, exists := render.One[*corev1.ConfigMap](t, m, render.Fullname+"-settings").Data["redis.conf"]
	assert.Empty(t, directives)
	assert.True(t, exists, "the launcher reads the file in any case")
	assert.NotContains(t, render.One[*appsv1.Deployment](t, m, server).Spec.Template.Annotations, "checksum/config")
}

// templateOf renders values and gives a pod template.
func templateOf(t *testing.T, name, values string) corev1.PodTemplateSpec {
	t.Helper()
	return render.One[*appsv1.Deployment](t, render.Chart(t, render.YAML(t, values)), name).Spec.Template
}

func TestDirectivesThatRedisTakesAtAStartReplaceTheServersAndNobodyElse(t *testing.T) {
	with := func(directives string) string { return "servers: {config: {" + directives + "}}" }
	for _, change := range [][2]string{
		{"io-threads: 2", "io-threads: 4"}, {"databases: 16", "databases: 32"}, {"tcp-backlog: 511", "hz: 20"},
		{"unknown-to-the-chart: 1", "unknown-to-the-chart: 2"}, // it may be one of them
	} {
		assert.NotEqual(t, templateOf(t, server, with(change[0])), templateOf(t, server, with(change[1])), change)
		assert.Equal(t, templateOf(t, sentinel, with(change[0])), templateOf(t, sentinel, with(change[1])), change)
	}
}

// What the launchers apply while they run is in no pod template: a change of it replaces no pod.
func TestLiveValuesReplaceNoPod(t *testing.T) {
	for _, values := range []string{
		"replicas: {servers: 5}", "replicas: {sentinels: 5}", "replicas: {external: true}", "{replicas: {sentinels: 5}, sentinel: {quorum: 4}}", "sentinel: {downAfterMilliseconds: 9000}",
		"sentinel: {failoverTimeoutMilliseconds: 9000}", "servers: {minReplicasToWrite: 2}", "servers: {minReplicasMaxLagSeconds: 9}", "logLevel: debug",
		"auth: true", "passwordRotation: {gracePeriodSeconds: 120}",
		"servers: {config: {maxmemory-policy: allkeys-lru}}", "servers: {config: {maxmemory: 100mb, hz: 20, timeout: 3}}",
	} {
		for _, name := range []string{server, sentinel} {
			assert.Equal(t, templateOf(t, name, ""), templateOf(t, name, values), "%s with %s", name, values)
		}
		all, _ := outcome(render.YAML(t, values))
		plain, _ := outcome(nil)
		assert.NotEqual(t, plain, all, values)
	}
}

// redis-server itself says which directives it takes while it runs. An end-to-end test asks the Redis in the image.
func TestStartDirectivesAreThoseThatRedisDoesNotTakeWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	program := exec.Command("redis-server", "--port", "0", "--unixsocket", dir+"/redis", "--save", "", "--dir", dir)
	require.NoError(t, program.Start(), "redis-server is needed (Debian package redis-server)")
	t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
	ask := func(words ...string) string {
		said, _ := exec.Command("redis-cli", append([]string{"-s", dir + "/redis"}, words...)...).CombinedOutput()
		return strings.TrimSuffix(string(said), "\n")
	}
	require.Eventually(t, func() bool { return ask("ping") == "PONG" }, 10*time.Second, 10*time.Millisecond, "redis-server does not answer")
	start, asked := listed(t, "redis-ha.startDirectives"), 0
	for _, name := range listed(t, "redis-ha.directives") {
		_, value, known := strings.Cut(ask("config", "get", name), "\n")
		if !known {
			continue // another version of Redis
		}
		asked++
		said := ask("config", "set", name, value)
		assert.Equal(t, slices.Contains(start, name), strings.Contains(said, "immutable"), "%s: %s", name, said)
	}
	assert.Greater(t, asked, 80)
}
