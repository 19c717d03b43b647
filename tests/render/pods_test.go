package chart_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// forEachPod runs a test for every pod template of every values file of the chart.
func forEachPod(t *testing.T, test func(t *testing.T, m *render.Manifests, p render.PodTemplate)) {
	t.Helper()
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		pods := m.PodTemplates()
		require.Len(t, pods, 3, "servers, sentinels and the Helm test")
		for _, p := range pods {
			t.Run(strings.ReplaceAll(p.Owner, "/", " "), func(t *testing.T) { test(t, m, p) })
		}
	})
}

// workloadPods leaves out the pod of the Helm test.
func workloadPods(m *render.Manifests) []render.PodTemplate {
	var pods []render.PodTemplate
	for _, p := range m.PodTemplates() {
		if strings.HasPrefix(p.Owner, "Deployment/") {
			pods = append(pods, p)
		}
	}
	return pods
}

func TestPodsMeetPodSecurityRestricted(t *testing.T) {
	evaluator, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	require.NoError(t, err)
	forEachPod(t, func(t *testing.T, _ *render.Manifests, p render.PodTemplate) {
		require.NotEmpty(t, p.Spec.Containers)
		for _, version := range render.KubeVersions {
			parsed, err := psaapi.ParseVersion("v" + version)
			require.NoError(t, err)
			result := psa.AggregateCheckResults(evaluator.EvaluatePod(
				psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: parsed}, &p.Meta, &p.Spec))
			assert.True(t, result.Allowed, "%s: %s", version, result.ForbiddenDetail())
		}
	})
}

func TestRootFileSystemsAreReadOnly(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ *render.Manifests, p render.PodTemplate) {
		for _, c := range p.Spec.Containers {
			require.NotNil(t, c.SecurityContext)
			require.NotNil(t, c.SecurityContext.ReadOnlyRootFilesystem)
			assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, c.Name)
		}
	})
}

func TestPodsRunAsTheUserOfTheImage(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ *render.Manifests, p render.PodTemplate) {
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

func TestEveryMountHasAVolumeAndEveryVolumeIsMounted(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ *render.Manifests, p render.PodTemplate) {
		volumes, mounts := sets.New[string](), sets.New[string]()
		for _, v := range p.Spec.Volumes {
			volumes.Insert(v.Name)
		}
		for _, c := range p.Spec.Containers {
			paths := sets.New[string]()
			for _, m := range c.VolumeMounts {
				mounts.Insert(m.Name)
				assert.False(t, paths.Has(m.MountPath), "%s is mounted twice", m.MountPath)
				paths.Insert(m.MountPath)
			}
		}
		assert.Equal(t, sets.List(volumes), sets.List(mounts))
	})
}

// The configuration files contain the password: they must not reach a disk.
func TestConfigurationFilesAreWrittenToMemory(t *testing.T) {
	for _, p := range workloadPods(render.Chart(t, nil)) {
		volume, mount := mounted(t, p, "/run/redis-ha")
		require.NotNil(t, volume.EmptyDir, p.Owner)
		assert.Equal(t, corev1.StorageMediumMemory, volume.EmptyDir.Medium, p.Owner)
		assert.Equal(t, "16Mi", volume.EmptyDir.SizeLimit.String(), p.Owner)
		assert.False(t, mount.ReadOnly, p.Owner)
	}
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

func TestProbesAskTheLauncherAndWaitForNothing(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range workloadPods(m) {
			c := p.Spec.Containers[0]
			for path, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe, "/livez ": c.StartupProbe} {
				require.NotNil(t, probe, p.Owner)
				require.NotNil(t, probe.HTTPGet, p.Owner)
				assert.Equal(t, strings.TrimSpace(path), probe.HTTPGet.Path, p.Owner)
				assert.EqualValues(t, 8080, containerPort(c, probe.HTTPGet.Port.String()), p.Owner)
				assert.Zero(t, probe.InitialDelaySeconds, p.Owner)
				assert.LessOrEqual(t, probe.PeriodSeconds, int32(5), p.Owner)
				assert.GreaterOrEqual(t, probe.FailureThreshold, int32(3), p.Owner)
			}
			assert.EqualValues(t, 1, c.ReadinessProbe.PeriodSeconds, "a new role shows within a second: %s", p.Owner)
			assert.GreaterOrEqual(t, c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold, int32(60), p.Owner)
			assert.GreaterOrEqual(t, c.LivenessProbe.PeriodSeconds*c.LivenessProbe.FailureThreshold, int32(30), "a slow second must not kill Redis: %s", p.Owner)
			assert.GreaterOrEqual(t, c.LivenessProbe.TimeoutSeconds, int32(2), p.Owner)
			assert.GreaterOrEqual(t, c.ReadinessProbe.TimeoutSeconds, int32(2), p.Owner)
		}
	})
}

func TestGracePeriodExceedsTheShutdownBudget(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range workloadPods(m) {
			budget, err := strconv.Atoi(literal(t, p, "LAUNCHER_SHUTDOWN_BUDGET_SECONDS"))
			require.NoError(t, err, p.Owner)
			assert.EqualValues(t, *p.Spec.TerminationGracePeriodSeconds, budget+5, p.Owner)
			assert.GreaterOrEqual(t, budget, 5, "what the launcher takes at least: %s", p.Owner)
		}
	})
}

func TestTheRoleLabelsAreLeftToTheLauncher(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, p := range m.PodTemplates() {
			for _, key := range []string{"redis-role", "podIP", "runID"} {
				assert.NotContains(t, p.Meta.Labels, key, p.Owner)
				assert.NotContains(t, p.Meta.Annotations, key, p.Owner)
			}
		}
	})
}

// The launchers find their peers by these labels; a pod that is no peer must not have them.
func TestTheLaunchersSelectorFindsServersAndSentinelsOnly(t *testing.T) {
	forEachCase(t, func(t *testing.T, m *render.Manifests) {
		for _, workload := range workloadPods(m) {
			selector, err := labels.Parse(literal(t, workload, "LAUNCHER_POD_SELECTOR"))
			require.NoError(t, err)
			for _, p := range m.PodTemplates() {
				assert.Equal(t, strings.HasPrefix(p.Owner, "Deployment/"), selector.Matches(labels.Set(p.Meta.Labels)), p.Owner)
			}
		}
	})
}

func TestServiceAccountTokenOnlyWhereItIsUsed(t *testing.T) {
	m := render.Chart(t, nil)
	for _, p := range m.PodTemplates() {
		require.NotNil(t, p.Spec.AutomountServiceAccountToken, p.Owner)
		uses := strings.HasPrefix(p.Owner, "Deployment/")
		assert.Equal(t, uses, *p.Spec.AutomountServiceAccountToken, p.Owner)
		assert.Equal(t, uses, p.Spec.ServiceAccountName == render.Fullname, p.Owner)
	}
	account := render.One[*corev1.ServiceAccount](t, m, render.Fullname)
	require.NotNil(t, account.AutomountServiceAccountToken)
	assert.False(t, *account.AutomountServiceAccountToken, "other pods that use the account get no token")
}

// A Service called redis-sentinel would otherwise add REDIS_SENTINEL_SERVICE_HOST to every pod of its namespace.
func TestServiceLinksAreOff(t *testing.T) {
	forEachPod(t, func(t *testing.T, _ *render.Manifests, p render.PodTemplate) {
		require.NotNil(t, p.Spec.EnableServiceLinks)
		assert.False(t, *p.Spec.EnableServiceLinks)
	})
}

func TestPodsPreferDifferentNodes(t *testing.T) {
	m := render.Chart(t, nil)
	for _, p := range workloadPods(m) {
		anti := p.Spec.Affinity.PodAntiAffinity
		assert.Empty(t, anti.RequiredDuringSchedulingIgnoredDuringExecution, "a fourth pod must start on three nodes: %s", p.Owner)
		require.Len(t, anti.PreferredDuringSchedulingIgnoredDuringExecution, 1, p.Owner)
		term := anti.PreferredDuringSchedulingIgnoredDuringExecution[0]
		assert.EqualValues(t, 100, term.Weight, p.Owner)
		assert.Equal(t, corev1.LabelHostname, term.PodAffinityTerm.TopologyKey, p.Owner)
		for _, other := range workloadPods(m) {
			assert.Equal(t, other.Owner == p.Owner,
				labels.SelectorFromSet(term.PodAffinityTerm.LabelSelector.MatchLabels).Matches(labels.Set(other.Meta.Labels)), "%s and %s", p.Owner, other.Owner)
		}
	}
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

func TestDeploymentsDoNotSelectEachOthersPods(t *testing.T) {
	deployments := render.All[*appsv1.Deployment](render.Chart(t, nil))
	require.Len(t, deployments, 2)
	for i, d := range deployments {
		assert.False(t, labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(deployments[1-i].Spec.Template.Labels)), d.Name)
	}
}

// The image's entry point is the launcher, and it alone decides what runs.
func TestContainersRunTheImagesEntryPoint(t *testing.T) {
	m := render.Chart(t, nil)
	for name, container := range map[string]string{server: "redis", sentinel: "sentinel"} {
		spec := render.One[*appsv1.Deployment](t, m, name).Spec.Template.Spec
		require.Len(t, spec.Containers, 1, name)
		assert.Empty(t, spec.InitContainers, name)
		c := spec.Containers[0]
		assert.Equal(t, container, c.Name)
		assert.Empty(t, c.Command, name)
		assert.Empty(t, c.Args, name)
		assert.Nil(t, c.Lifecycle, name)
	}
}

func TestRolloutOfServersKeepsAllOfThem(t *testing.T) {
	d := render.One[*appsv1.Deployment](t, render.Chart(t, nil), server)
	assert.Equal(t, appsv1.RollingUpdateDeploymentStrategyType, d.Spec.Strategy.Type)
	assert.Equal(t, "1", d.Spec.Strategy.RollingUpdate.MaxSurge.String())
	assert.Equal(t, "0", d.Spec.Strategy.RollingUpdate.MaxUnavailable.String())
}

// There are as many identities as sentinels, so a new one starts only when an old one has gone.
func TestRolloutOfSentinelsNeverHasOneTooMany(t *testing.T) {
	d := render.One[*appsv1.Deployment](t, render.Chart(t, nil), sentinel)
	assert.Equal(t, appsv1.RollingUpdateDeploymentStrategyType, d.Spec.Strategy.Type)
	assert.Equal(t, "0", d.Spec.Strategy.RollingUpdate.MaxSurge.String())
	assert.Equal(t, "1", d.Spec.Strategy.RollingUpdate.MaxUnavailable.String())
}
