package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// environment is what a container gets: literal values, "field:<path>", "resource:<name>" or "secret:<name>/<key>".
func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	found := map[string]string{}
	assert.Empty(t, c.EnvFrom, c.Name)
	for _, e := range c.Env {
		_, twice := found[e.Name]
		require.False(t, twice, "%s has the variable %s twice", c.Name, e.Name)
		value := e.Value
		if e.ValueFrom != nil {
			require.Empty(t, e.Value, e.Name)
			switch {
			case e.ValueFrom.FieldRef != nil:
				value = "field:" + e.ValueFrom.FieldRef.FieldPath
			case e.ValueFrom.SecretKeyRef != nil:
				value = "secret:" + e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			case e.ValueFrom.ResourceFieldRef != nil:
				value = "resource:" + e.ValueFrom.ResourceFieldRef.Resource
			default:
				t.Fatalf("%s: the variable %s has a source that is no field, no resource and no Secret", c.Name, e.Name)
			}
		}
		found[e.Name] = value
	}
	return found
}

// deploymentEnv is the environment of a Deployment's container.
func deploymentEnv(t *testing.T, m *render.Manifests, name string) map[string]string {
	t.Helper()
	return environment(t, podSpec(t, m, name).Containers[0])
}

// liveSettings are the variables in the settings file of a release with a full name.
func liveSettings(t *testing.T, m *render.Manifests, fullname string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(render.One[*corev1.ConfigMap](t, m, fullname+"-settings").Data["settings"]) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			found[name] = value
		}
	}
	return found
}

// common are the variables of servers and sentinels in the default release.
func common() map[string]string {
	return map[string]string{
		"REDIS_CHART_PREFIX":     "redis-ha-redis-ha-",
		"POD_NAME":               "field:metadata.name",
		"POD_NAMESPACE":          "field:metadata.namespace",
		"POD_UID":                "field:metadata.uid",
		"POD_IP":                 "field:status.podIP",
		"LAUNCHER_POD_SELECTOR":  "app=redis-ha,release=redis-ha",
		"LAUNCHER_MASTER_NAME":   "mymaster",
		"LAUNCHER_SETTINGS_FILE": "/etc/redis-ha/settings",
		"LAUNCHER_PASSWORD_FILE": "/etc/redis-ha-password/password",
		"REDIS_PASS":             "secret:redis-ha-redis-ha/auth",
	}
}

func TestEnvironmentOfServers(t *testing.T) {
	want := common()
	want["REDIS_SENTINEL_SERVICE_HOST"] = sentinel
	want["LAUNCHER_SHUTDOWN_BUDGET_SECONDS"] = "55"
	want["LAUNCHER_REDIS_CONFIG_FILE"] = "/etc/redis-ha/redis.conf"
	want["LAUNCHER_MEMORY_LIMIT_BYTES"] = "resource:limits.memory"
	want["LAUNCHER_MAXMEMORY_PERCENT"] = "75"
	want["LAUNCHER_PERSISTENCE"] = "true"
	assert.Equal(t, want, deploymentEnv(t, render.Chart(t, nil), server))
}

func TestEnvironmentOfSentinels(t *testing.T) {
	want := common()
	want["SENTINEL"] = "true"
	want["LAUNCHER_SHUTDOWN_BUDGET_SECONDS"] = "25"
	assert.Equal(t, want, deploymentEnv(t, render.Chart(t, nil), sentinel))
}

func TestEnvironmentOfEverything(t *testing.T) {
	var values render.Values
	for _, c := range render.Cases(t) {
		if strings.Contains(c.Name, "everything") {
			values = c.Values
		}
	}
	require.NotEmpty(t, values)
	m := render.Chart(t, values)
	both := map[string]string{
		"REDIS_CHART_PREFIX":   "sessions-",
		"REDIS_PASS":           "secret:sessions-password/redis-password",
		"LAUNCHER_MASTER_NAME": "sessions",
	}
	servers, sentinels := deploymentEnv(t, m, "sessions-server"), deploymentEnv(t, m, "sessions-sentinel")
	assert.Subset(t, servers, both)
	assert.Subset(t, sentinels, both)
	assert.Subset(t, servers, map[string]string{
		"REDIS_SENTINEL_SERVICE_HOST":      "sessions-sentinel",
		"LAUNCHER_MAX_REPLICATION_LAG":     "128Mi",
		"LAUNCHER_SHUTDOWN_BUDGET_SECONDS": "85",
		"LAUNCHER_REDIS_CONFIG_FILE":       "/etc/redis-ha/redis.conf",
	})
	assert.Equal(t, map[string]string{
		"LAUNCHER_SERVERS": "5", "LAUNCHER_SENTINELS": "5", "LAUNCHER_QUORUM": "4", "LAUNCHER_DOWN_AFTER_MILLISECONDS": "5000",
		"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS": "15000", "LAUNCHER_MIN_REPLICAS_TO_WRITE": "2", "LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS": "5",
		"LAUNCHER_LOG_LEVEL": "debug", "LAUNCHER_AUTH": "true", "LAUNCHER_PASSWORD_GRACE_SECONDS": "86400",
	}, liveSettings(t, m, "sessions"))
	assert.Equal(t, "secret:chat/address", sentinels["LAUNCHER_NOTIFY_WEBHOOK_URL"])
	assert.NotContains(t, servers, "LAUNCHER_NOTIFY_WEBHOOK_URL")
	assert.NotContains(t, sentinels, "LAUNCHER_REDIS_CONFIG_FILE")
}

// The launcher refuses a variable it does not know, so every one here must be in its reference.
func TestTheLauncherKnowsEveryVariable(t *testing.T) {
	root, err := render.Root()
	require.NoError(t, err)
	reference, err := os.ReadFile(filepath.Join(root, "image", "launcher", "internal", "config", "config.go"))
	require.NoError(t, err)
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range workloadPods(m) {
			for name := range environment(t, p.Spec.Containers[0]) {
				assert.Contains(t, string(reference), name, p.Owner)
			}
		}
		for name := range liveSettings(t, m, strings.TrimSuffix(render.All[*corev1.ConfigMap](m)[0].Name, "-settings")) {
			assert.Contains(t, string(reference), name)
		}
	})
}

func TestMinReplicasDefaultsToOneSlaveWhereThereIsOne(t *testing.T) {
	for servers, want := range map[int]string{1: "0", 2: "1", 5: "1"} {
		m := render.Chart(t, render.Values{"replicas": map[string]any{"servers": servers}})
		assert.Equal(t, want, liveSettings(t, m, render.Fullname)["LAUNCHER_MIN_REPLICAS_TO_WRITE"], "%d servers", servers)
	}
	m := render.Chart(t, render.Values{"servers": map[string]any{"minReplicasToWrite": 0}})
	assert.Equal(t, "0", liveSettings(t, m, render.Fullname)["LAUNCHER_MIN_REPLICAS_TO_WRITE"], "zero is a choice, not a missing value")
}

func TestQuorumDefaultsToTheMajority(t *testing.T) {
	for sentinels, want := range map[int]string{1: "1", 3: "2", 5: "3", 7: "4"} {
		m := render.Chart(t, render.Values{"replicas": map[string]any{"sentinels": sentinels}})
		assert.Equal(t, want, liveSettings(t, m, render.Fullname)["LAUNCHER_QUORUM"], "%d sentinels", sentinels)
	}
}

func TestWebhookAddressGoesToSentinelsOnly(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "notifications: {webhook: {url: 'https://example.com/hook?a=b'}}"))
	assert.Equal(t, "https://example.com/hook?a=b", deploymentEnv(t, m, sentinel)["LAUNCHER_NOTIFY_WEBHOOK_URL"])
	assert.NotContains(t, deploymentEnv(t, m, server), "LAUNCHER_NOTIFY_WEBHOOK_URL")
}
