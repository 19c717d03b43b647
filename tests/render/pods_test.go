package chart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// forEachPod runs a test for every pod template of every values file of the chart.
func forEachPod(t *testing.T, test func(t *testing.T, m *render.Manifests, p render.PodTemplate)) {
	t.Helper()
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		pods := m.PodTemplates()
		backups := len(render.All[*batchv1.CronJob](m))
		require.Len(t, pods, 3+backups, "servers, sentinels, the Helm test and backups")
		for _, p := range pods {
			t.Run(strings.ReplaceAll(p.Owner, "/", " "), func(t *testing.T) { test(t, m, p) })
		}
	})
}

// workloadPods leaves out the pod of the Helm test and those that make backups.
func workloadPods(m *render.Manifests) []render.PodTemplate {
	var pods []render.PodTemplate
	for _, p := range m.PodTemplates() {
		if !strings.HasPrefix(p.Owner, "Pod/") && !strings.HasPrefix(p.Owner, "CronJob/") {
			pods = append(pods, p)
		}
	}
	return pods
}

func TestPodsRunAsTheUserOfTheImage(t *testing.T) {
	forEachPod(t, func(t *testing.T, m *render.Manifests, p render.PodTemplate) {
		if given, _ := m.Values["podSecurityContext"].(map[string]any); given["runAsUser"] == nil {
			return // TestUserAndGroupsMayBeLeftToTheCluster
		}
		s := p.Spec.SecurityContext
		require.NotNil(t, s)
		for name, id := range map[string]*int64{"user": s.RunAsUser, "group": s.RunAsGroup, "file system group": s.FSGroup} {
			require.NotNil(t, id, name)
			assert.EqualValues(t, 10001, *id, name)
		}
		require.NotNil(t, s.FSGroupChangePolicy)
		assert.Equal(t, corev1.FSGroupChangeOnRootMismatch, *s.FSGroupChangePolicy, "a large volume must not delay every start")
	})
}

// mounted is the volume at a path of the pod's first container.
func mounted(t *testing.T, p render.PodTemplate, path string) (corev1.Volume, corev1.VolumeMount) {
	t.Helper()
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		if m.MountPath != path {
			continue
		}
		for _, v := range p.Spec.Volumes {
			if v.Name == m.Name {
				return v, m
			}
		}
	}
	t.Fatalf("%s: nothing is mounted at %s", p.Owner, path)
	return corev1.Volume{}, corev1.VolumeMount{}
}

func TestPodsCarryTheDocumentedLabels(t *testing.T) {
	m := render.Chart(t, nil)
	for name, want := range map[string]map[string]string{
		server:   {"app": "redis-ha", "release": "redis-ha", "component": "server", "name": server, "redis-node": "true"},
		sentinel: {"app": "redis-ha", "release": "redis-ha", "component": "sentinel", "name": sentinel},
	} {
		d := render.One[*appsv1.Deployment](t, m, name)
		assert.Subset(t, d.Spec.Template.Labels, want)
		assert.True(t, labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)), name)
	}
}

func TestContainersHaveTheDocumentedNames(t *testing.T) {
	m := render.Chart(t, nil)
	for name, container := range map[string]string{server: "redis", sentinel: "sentinel"} {
		containers := podSpec(t, m, name).Containers
		require.Len(t, containers, 1, name)
		assert.Equal(t, container, containers[0].Name)
	}
}

// The policies bound the probes from below, for the sake of Redis; these are the bounds from above, for the sake of its clients.
func TestProbesActInTime(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range workloadPods(m) {
			c := p.Spec.Containers[0]
			for name, probe := range map[string]struct {
				*corev1.Probe
				seconds int32
			}{
				"a launcher that does not start is started again": {c.StartupProbe, 60},
				"a launcher that hangs is ended":                  {c.LivenessProbe, 30},
				"a pod that cannot serve leaves its Services":     {c.ReadinessProbe, 3},
			} {
				require.NotNil(t, probe.Probe, name)
				assert.LessOrEqual(t, probe.PeriodSeconds*probe.FailureThreshold, probe.seconds, "%s: %s", p.Owner, name)
				assert.LessOrEqual(t, probe.TimeoutSeconds, int32(2), "%s: %s", p.Owner, name)
			}
		}
	})
}

// A protocol that is left out is filled in by the API server, and is a difference for whoever compares.
func TestPortsOfContainersSayTheirProtocol(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range workloadPods(m) {
			require.Len(t, p.Spec.Containers[0].Ports, 2, p.Owner)
			for _, port := range p.Spec.Containers[0].Ports {
				assert.Equal(t, corev1.ProtocolTCP, port.Protocol, "%s: %s", p.Owner, port.Name)
			}
		}
	})
}
