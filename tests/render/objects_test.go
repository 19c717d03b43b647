// Package chart_test holds the render tests of the chart: values in, Kubernetes objects out, no cluster.
package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// Names of objects in the documented release.
const (
	server   = render.Fullname + "-server"
	sentinel = render.Fullname + "-sentinel"
	master   = render.Fullname + "-master-svc"
	slave    = render.Fullname + "-slave-svc"
)

// forEachCase runs a test for every values file of the chart.
func forEachCase(t *testing.T, test func(t *testing.T, m *render.Manifests)) {
	t.Helper()
	for _, c := range render.Cases(t) {
		t.Run(c.Name, func(t *testing.T) { test(t, render.Chart(t, c.Values)) })
	}
}

func TestDefaultObjects(t *testing.T) {
	assert.Equal(t, []string{
		"ConfigMap/redis-ha-redis-ha-settings",
		"Deployment/redis-ha-redis-ha-sentinel",
		"Deployment/redis-ha-redis-ha-server",
		"Lease/redis-ha-redis-ha-master",
		"Lease/redis-ha-redis-ha-sentinels",
		"Pod/redis-ha-redis-ha-test",
		"PodDisruptionBudget/redis-ha-redis-ha-sentinel",
		"PodDisruptionBudget/redis-ha-redis-ha-server",
		"Role/redis-ha-redis-ha",
		"RoleBinding/redis-ha-redis-ha",
		"Service/redis-ha-redis-ha",
		"Service/redis-ha-redis-ha-master-svc",
		"Service/redis-ha-redis-ha-sentinel",
		"Service/redis-ha-redis-ha-slave-svc",
		"ServiceAccount/redis-ha-redis-ha",
	}, render.Chart(t, nil).IDs())
}

// The label says which part of the release an object belongs to; the rest belongs to both parts.
func TestComponentLabels(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{auth: true, servers: {config: {maxmemory: 100mb}}}"))
	components := map[string]string{}
	for _, o := range m.Objects {
		components[o.ID()] = o.Object.GetLabels()["app.kubernetes.io/component"]
	}
	assert.Equal(t, map[string]string{
		"ConfigMap/" + render.Fullname + "-settings": "", "Pod/" + render.Fullname + "-test": "test",
		"Deployment/" + server: "server", "PodDisruptionBudget/" + server: "server",
		"Deployment/" + sentinel: "sentinel", "PodDisruptionBudget/" + sentinel: "sentinel", "Service/" + sentinel: "sentinel",
		"Service/" + render.Fullname: "server", "Service/" + master: "server", "Service/" + slave: "server",
		"Lease/" + render.Fullname + "-master": "", "Lease/" + render.Fullname + "-sentinels": "", "Secret/" + render.Fullname: "",
		"Role/" + render.Fullname: "", "RoleBinding/" + render.Fullname: "", "ServiceAccount/" + render.Fullname: "",
	}, components)
	for _, p := range m.PodTemplates() {
		assert.Equal(t, components[p.Owner], p.Meta.Labels["app.kubernetes.io/component"], p.Owner)
		assert.Equal(t, "redis-ha", p.Meta.Labels["app.kubernetes.io/name"], p.Owner)
		assert.Equal(t, "redis-ha", p.Meta.Labels["app.kubernetes.io/instance"], p.Owner)
	}
}

func TestDocumentedMetadataLabels(t *testing.T) {
	m := render.Chart(t, nil)
	assert.Equal(t, "service", render.One[*corev1.Service](t, m, slave).Labels["role"])
	assert.Equal(t, "service", render.One[*corev1.Service](t, m, sentinel).Labels["role"])
	assert.Equal(t, "redis-ha-sentinel-svc", render.One[*corev1.Service](t, m, sentinel).Labels["name"])
	assert.Equal(t, server, render.One[*appsv1.Deployment](t, m, server).Labels["name"])
	assert.Equal(t, "true", render.One[*appsv1.Deployment](t, m, server).Labels["redis-node"])
	assert.Equal(t, sentinel, render.One[*appsv1.Deployment](t, m, sentinel).Labels["name"])
}

func TestOlderKubernetesIsRefused(t *testing.T) {
	assert.Contains(t, render.Refused(t, nil, render.KubeVersion("1.28")), "kubeVersion")
}
