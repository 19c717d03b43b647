package chart_test

import (
	"strings"
	"testing"

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
	conf := render.One[*corev1.ConfigMap](t, m, render.Fullname+"-config").Data["redis.conf"]
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

func TestConfigIsMountedForTheServersOnly(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "servers: {config: {maxmemory: 100mb}}"))
	volume, mount := mounted(t, render.PodTemplate{Owner: server, Spec: podSpec(t, m, server)}, "/etc/redis-ha")
	require.NotNil(t, volume.ConfigMap)
	config := render.One[*corev1.ConfigMap](t, m, volume.ConfigMap.Name)
	assert.True(t, mount.ReadOnly)
	file := deploymentEnv(t, m, server)["LAUNCHER_REDIS_CONFIG_FILE"]
	require.True(t, strings.HasPrefix(file, mount.MountPath+"/"), file)
	assert.Contains(t, config.Data, strings.TrimPrefix(file, mount.MountPath+"/"))
	assert.Len(t, podSpec(t, m, sentinel).Volumes, 1)
}

func TestWithoutConfigNothingIsMounted(t *testing.T) {
	m := render.Chart(t, nil)
	render.None[*corev1.ConfigMap](t, m)
	assert.NotContains(t, deploymentEnv(t, m, server), "LAUNCHER_REDIS_CONFIG_FILE")
	assert.NotContains(t, render.One[*appsv1.Deployment](t, m, server).Spec.Template.Annotations, "checksum/config")
}

func TestChangedConfigRestartsTheServersAndNobodyElse(t *testing.T) {
	annotations := func(name, size string) map[string]string {
		m := render.Chart(t, render.YAML(t, "servers: {config: {maxmemory: "+size+"}}"))
		return render.One[*appsv1.Deployment](t, m, name).Spec.Template.Annotations
	}
	assert.NotEqual(t, annotations(server, "100mb"), annotations(server, "200mb"))
	assert.Equal(t, annotations(server, "100mb"), annotations(server, "100mb"))
	assert.Equal(t, annotations(sentinel, "100mb"), annotations(sentinel, "200mb"))
}
