package chart_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// running are the workloads of a release with these values, with so many servers.
func running(t *testing.T, values string, servers int32) []metav1.Object {
	t.Helper()
	var objects []metav1.Object
	m := render.Chart(t, render.YAML(t, values))
	for _, d := range render.All[*appsv1.Deployment](m) {
		if d.Name == server {
			d.Spec.Replicas = &servers
		}
		objects = append(objects, d)
	}
	for _, s := range render.All[*appsv1.StatefulSet](m) {
		s.Spec.Replicas = &servers
		objects = append(objects, s)
	}
	return objects
}

// upgraded renders the upgrade of a running release.
func upgraded(t *testing.T, from string, servers int32, to string) *render.Manifests {
	t.Helper()
	return render.Chart(t, render.YAML(t, to), render.Upgrade(), render.Existing(t, running(t, from, servers)...))
}

func firstLine(m *render.Manifests) string {
	line, _, _ := strings.Cut(m.Notes, "\n")
	return line
}

func TestNotesOfAnUpgradeSayWhichPodsItReplaces(t *testing.T) {
	const nothing, servers, sentinels = "This upgrade replaces no pod.", "This upgrade replaces the pods of the servers, one after the other;", "This upgrade replaces the pods of the sentinels, one after the other;"
	for _, c := range [][3]string{
		{"", "", nothing},
		{"", "replicas: {servers: 5, sentinels: 5}", nothing},
		{"", "servers: {config: {maxmemory-policy: allkeys-lru}}", nothing},
		{"servers: {workload: StatefulSet}", "servers: {workload: StatefulSet, minReplicasToWrite: 2}", nothing},
		{"", "servers: {config: {io-threads: 2}}", servers},
		{"servers: {config: {io-threads: 2}}", "", servers},
		{"servers: {workload: StatefulSet}", "servers: {workload: StatefulSet, terminationGracePeriodSeconds: 90}", servers},
		{"", "resources: {sentinel: {limits: {memory: 300Mi}}}", sentinels},
		{"", "redis_image: redis-ha:other", "This upgrade replaces the pods of the sentinels and of the servers, one after the other;"},
	} {
		assert.Contains(t, firstLine(upgraded(t, c[0], 3, c[1])), c[2], "from %q to %q", c[0], c[1])
	}
	assert.NotContains(t, render.Chart(t, nil).Notes, "This upgrade")
	assert.Contains(t, firstLine(render.Chart(t, nil, render.Upgrade())), "--dry-run=server", "nothing can be looked up")
}

// The version is the sum of the file, as launchers make it.
func TestNotesOfAnUpgradeNameTheVersionOfTheSettings(t *testing.T) {
	for _, values := range []string{"", "logLevel: debug", "servers: {config: {hz: 20}}"} {
		m := upgraded(t, "", 3, values)
		sum := sha256.Sum256([]byte(render.One[*corev1.ConfigMap](t, m, render.Fullname+"-settings").Data["settings"]))
		assert.Contains(t, firstLine(m), "the settings are "+hex.EncodeToString(sum[:])[:8]+` in "launcher status"`, values)
	}
}

// A release of an earlier chart does not say what its pods are.
func TestNotesOfAnUpgradeFromAnEarlierChartSayThatPodsAreReplaced(t *testing.T) {
	objects := running(t, "", 3)
	for _, o := range objects {
		o.SetAnnotations(nil)
	}
	assert.Contains(t, firstLine(render.Chart(t, nil, render.Upgrade(), render.Existing(t, objects...))), "the pods of the sentinels and of the servers")
}

func TestNumberOfServersThatOthersHaveSetIsKept(t *testing.T) {
	replicas := func(m *render.Manifests) int32 {
		for _, s := range render.All[*appsv1.StatefulSet](m) {
			return *s.Spec.Replicas
		}
		return *render.One[*appsv1.Deployment](t, m, server).Spec.Replicas
	}
	for _, workload := range []string{"Deployment", "StatefulSet"} {
		values := "{servers: {workload: " + workload + "}, replicas: {external: true}}"
		assert.EqualValues(t, 7, replicas(upgraded(t, values, 7, values)), workload)
		assert.EqualValues(t, 0, replicas(upgraded(t, values, 0, values)), workload)
		assert.EqualValues(t, 3, replicas(render.Chart(t, render.YAML(t, values))), "at the installation")
		assert.EqualValues(t, 3, replicas(upgraded(t, values, 7, strings.Replace(values, "true", "false", 1))), "by the values again")
	}
	m := upgraded(t, "replicas: {external: true}", 7, "replicas: {external: true}")
	assert.Contains(t, m.Notes, "Redis is starting: 7 servers")
	assert.Contains(t, m.Notes, `Upgrades keep the number of servers that "kubectl scale" or a HorizontalPodAutoscaler has set.`)
	assert.Equal(t, "3", liveSettings(t, m, render.Fullname)["LAUNCHER_SERVERS"], "the least; the launchers count pods")
}

// Somebody may add servers later, and no upgrade in between makes the budget.
func TestServersThatOthersScaleHaveABudget(t *testing.T) {
	budgets := func(values string) (found []string) {
		for _, id := range render.Chart(t, render.YAML(t, values)).IDs() {
			if strings.HasPrefix(id, "PodDisruptionBudget/") && strings.HasSuffix(id, "-server") {
				found = append(found, id)
			}
		}
		return found
	}
	require.Empty(t, budgets("replicas: {servers: 1}"))
	require.Len(t, budgets("replicas: {servers: 1, external: true}"), 1)
}
