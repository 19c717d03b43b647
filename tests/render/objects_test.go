// Package chart_test holds the render tests of the chart: values in, Kubernetes objects out, no cluster.
package chart_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

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

func TestEveryObjectIsInTheNamespaceOfTheRelease(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{auth: true, servers: {config: {maxmemory: 1gb}}}"), render.As("cache", "shop"))
	require.Len(t, m.Objects, 16)
	for _, o := range m.Objects {
		assert.Equal(t, "shop", o.Object.GetNamespace(), o.ID())
	}
}

func TestEveryObjectHasTheStandardLabels(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, o := range m.Objects {
			labels := o.Object.GetLabels()
			for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
				assert.NotEmpty(t, labels[key], "%s lacks the label %s", o.ID(), key)
			}
			if o.Hook {
				continue
			}
			assert.Equal(t, labels["app.kubernetes.io/name"], labels["app"], o.ID())
			assert.Equal(t, labels["app.kubernetes.io/instance"], labels["release"], o.ID())
			assert.Equal(t, labels["helm.sh/chart"], labels["chart"], o.ID())
			assert.Equal(t, "Helm", labels["heritage"], o.ID())
			assert.Equal(t, "8.0.2-r1", labels["app.kubernetes.io/version"], o.ID())
			assert.Equal(t, "redis-ha", labels["app.kubernetes.io/part-of"], o.ID())
		}
	})
}

// The label says which part of the release an object belongs to; the rest belongs to both parts.
func TestComponentLabels(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{auth: true, servers: {config: {maxmemory: 1gb}}}"))
	components := map[string]string{}
	for _, o := range m.Objects {
		components[o.ID()] = o.Object.GetLabels()["app.kubernetes.io/component"]
	}
	assert.Equal(t, map[string]string{
		"ConfigMap/" + render.Fullname + "-config": "server", "Pod/" + render.Fullname + "-test": "test",
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

// A selector of a Deployment cannot be changed, and a Service must go on finding the pods of the previous chart version.
func TestSelectorsHoldNothingThatChangesWithTheVersion(t *testing.T) {
	stable := []string{"app", "release", "component", "name", "redis-node", "redis-role"}
	selectors := 0
	check := func(id string, selector map[string]string) {
		selectors++
		require.NotEmpty(t, selector, id)
		for key := range selector {
			assert.Contains(t, stable, key, id)
		}
	}
	m := render.Chart(t, nil)
	for _, d := range render.All[*appsv1.Deployment](m) {
		check(d.Name, d.Spec.Selector.MatchLabels)
	}
	for _, p := range render.All[*policyv1.PodDisruptionBudget](m) {
		check(p.Name, p.Spec.Selector.MatchLabels)
	}
	for _, s := range render.All[*corev1.Service](m) {
		check(s.Name, s.Spec.Selector)
	}
	assert.Equal(t, 8, selectors)
}

// A new version of the chart alone must not restart pods.
func TestPodTemplatesCarryNoChartVersion(t *testing.T) {
	for _, p := range render.Chart(t, nil).PodTemplates() {
		if strings.HasPrefix(p.Owner, "Pod/") {
			continue
		}
		text, err := yaml.Marshal(p)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "0.1.0", p.Owner)
	}
}

func TestTwoRenderingsAreEqual(t *testing.T) {
	for _, c := range render.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			first, second := render.Chart(t, c.Values), render.Chart(t, c.Values)
			assert.Equal(t, first.Notes, second.Notes)
			require.Equal(t, first.IDs(), second.IDs())
			random := c.Values["auth"] == true && c.Values["redisPassword"] == nil && c.Values["existingSecret"] == nil
			for i, o := range first.Objects {
				if random && o.ID() == "Secret/"+render.Fullname {
					assert.NotEqual(t, o.YAML, second.Objects[i].YAML, "a random password")
					continue
				}
				assert.Equal(t, o.YAML, second.Objects[i].YAML, o.ID())
			}
		})
	}
}

func TestEverySupportedKubernetesVersionRenders(t *testing.T) {
	for _, c := range render.Cases(t) {
		for _, version := range render.KubeVersions {
			t.Run(c.Name+"/"+version, func(t *testing.T) {
				assert.NotEmpty(t, render.Chart(t, c.Values, render.KubeVersion(version)).Objects)
			})
		}
	}
}

func TestOlderKubernetesIsRefused(t *testing.T) {
	assert.Contains(t, render.Refused(t, nil, render.KubeVersion("1.28")), "kubeVersion")
}

// The longest release name that fits gives names and labels that Kubernetes takes, all different.
func TestNamesOfALongReleaseFitAndDiffer(t *testing.T) {
	long := "r" + strings.Repeat("x", 42)
	m := render.Chart(t, render.Values{"auth": true, "servers": map[string]any{"config": map[string]any{"maxmemory": "1gb"}}}, render.As(long, "n"))
	ids := m.IDs()
	slices.Sort(ids)
	assert.Len(t, slices.Compact(slices.Clone(ids)), len(ids), "two objects have the same name: %v", ids)
	for _, o := range m.Objects {
		assert.Empty(t, validation.IsDNS1035Label(o.Object.GetName()), o.ID())
		for key, value := range o.Object.GetLabels() {
			assert.Empty(t, validation.IsValidLabelValue(value), "%s: %s", o.ID(), key)
		}
	}
	for _, p := range m.PodTemplates() {
		for key, value := range p.Meta.Labels {
			assert.Empty(t, validation.IsValidLabelValue(value), "%s: %s", p.Owner, key)
		}
	}
}
