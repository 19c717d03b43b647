package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// podSpec is the pod of a Deployment.
func podSpec(t *testing.T, m *render.Manifests, name string) corev1.PodSpec {
	t.Helper()
	return render.One[*appsv1.Deployment](t, m, name).Spec.Template.Spec
}

func TestReplicas(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "replicas: {servers: 5, sentinels: 7}"))
	assert.EqualValues(t, 5, *render.One[*appsv1.Deployment](t, m, server).Spec.Replicas)
	assert.EqualValues(t, 7, *render.One[*appsv1.Deployment](t, m, sentinel).Spec.Replicas)
	m = render.Chart(t, nil)
	assert.EqualValues(t, 3, *render.One[*appsv1.Deployment](t, m, server).Spec.Replicas)
	assert.EqualValues(t, 3, *render.One[*appsv1.Deployment](t, m, sentinel).Spec.Replicas)
}

func TestImageAndPullSettingsReachEveryPod(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{redis_image: 'example.com/r:1', imagePullPolicy: Never, imagePullSecrets: [{name: a}, {name: b}]}"))
	require.Len(t, m.PodTemplates(), 3)
	for _, p := range m.PodTemplates() {
		assert.Equal(t, "example.com/r:1", p.Spec.Containers[0].Image, p.Owner)
		assert.Equal(t, corev1.PullNever, p.Spec.Containers[0].ImagePullPolicy, p.Owner)
		assert.Equal(t, []corev1.LocalObjectReference{{Name: "a"}, {Name: "b"}}, p.Spec.ImagePullSecrets, p.Owner)
	}
	for _, p := range render.Chart(t, nil).PodTemplates() {
		assert.Equal(t, "redis-ha:8.0.2-r1", p.Spec.Containers[0].Image, p.Owner)
		assert.Equal(t, corev1.PullIfNotPresent, p.Spec.Containers[0].ImagePullPolicy, p.Owner)
	}
}

func TestPlacementReachesEveryPod(t *testing.T) {
	m := render.Chart(t, render.YAML(t, `
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Equal, value: redis, effect: NoExecute, tolerationSeconds: 30}, {operator: Exists}]`))
	seconds := int64(30)
	for _, p := range m.PodTemplates() {
		assert.Equal(t, map[string]string{"disk": "ssd"}, p.Spec.NodeSelector, p.Owner)
		assert.Equal(t, []corev1.Toleration{
			{Key: "dedicated", Operator: "Equal", Value: "redis", Effect: "NoExecute", TolerationSeconds: &seconds}, {Operator: "Exists"},
		}, p.Spec.Tolerations, p.Owner)
	}
}

func TestPodAnnotationsAreAddedToThoseOfTheChart(t *testing.T) {
	m := render.Chart(t, render.YAML(t, `{podAnnotations: {example.com/a: "1"}, servers: {config: {io-threads: 2}}}`))
	for _, p := range workloadPods(m) {
		assert.Equal(t, "1", p.Meta.Annotations["example.com/a"], p.Owner)
		assert.Equal(t, p.Spec.Containers[0].Name, p.Meta.Annotations["kubectl.kubernetes.io/default-container"], p.Owner)
	}
	assert.Contains(t, render.One[*appsv1.Deployment](t, m, server).Spec.Template.Annotations, "checksum/config")
}

// Annotations that belong to somebody else: a Service as a hook, or one that Helm does not know or leaves behind, breaks the
// release, and what pods have of the chart's own would be replaced without a word.
func TestAnnotationsOfOthersAreRefused(t *testing.T) {
	helm := []string{"helm.sh/hook", "helm.sh/resource-policy", "meta.helm.sh/release-name"}
	pod := []string{
		"checksum/config", "checksum/other", "redis-role", "podIP", "runID", "kubectl.kubernetes.io/default-container",
		"controller.kubernetes.io/pod-deletion-cost", "container.apparmor.security.beta.kubernetes.io/server",
		"seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/server",
	}
	annotated := func(path, name string) render.Values {
		values := render.YAML(t, "servers: {annotations: {}}")
		if path == "podAnnotations" {
			values[path] = map[string]any{name: "x"}
		} else {
			values["servers"].(map[string]any)["annotations"] = map[string]any{name: "x"}
		}
		return values
	}
	for path, names := range map[string][]string{"servers.annotations": helm, "podAnnotations": append(pod, helm...)} {
		for _, name := range names {
			assert.Equal(t, []string{path + `: "` + name + `" is not yours to set, it would be overwritten or break the release; remove it`},
				problems(t, annotated(path, name)))
		}
	}
	for _, legal := range []string{"example.com/helm.sh", "nothelm.sh/hook", "checksum", "redis-roles", "kubectl.kubernetes.io/restartedAt"} {
		for _, path := range []string{"servers.annotations", "podAnnotations"} {
			assert.NotEmpty(t, render.Chart(t, annotated(path, legal)).Objects, legal)
		}
	}
}

// resources of the documents: requests and limits as text.
func resources(t *testing.T, m *render.Manifests, name string) [4]string {
	t.Helper()
	r := podSpec(t, m, name).Containers[0].Resources
	return [4]string{r.Requests.Memory().String(), r.Requests.Cpu().String(), r.Limits.Memory().String(), r.Limits.Cpu().String()}
}

func TestDefaultResources(t *testing.T) {
	m := render.Chart(t, nil)
	assert.Equal(t, [4]string{"200Mi", "100m", "700Mi", "0"}, resources(t, m, server))
	assert.Equal(t, [4]string{"200Mi", "100m", "200Mi", "0"}, resources(t, m, sentinel))
}

func TestResourcesOfServersAndSentinelsAreSetApart(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "resources: {server: {limits: {memory: 2Gi, cpu: 1}}, sentinel: {requests: {cpu: 50m}}}"))
	assert.Equal(t, [4]string{"200Mi", "100m", "2Gi", "1"}, resources(t, m, server))
	assert.Equal(t, [4]string{"200Mi", "50m", "200Mi", "0"}, resources(t, m, sentinel))
}

func TestResourcesOfMasterOrSlaveSizeTheServers(t *testing.T) {
	for name, values := range map[string]string{
		"master":              "{master: {limits: {memory: 1Gi}}}",
		"slave":               "{slave: {limits: {memory: 1Gi}}}",
		"both alike":          "{master: {limits: {memory: 1Gi}}, slave: {limits: {memory: 1Gi}}}",
		"all three alike":     "{server: {limits: {memory: 1Gi}}, master: {limits: {memory: 1Gi}}, slave: {limits: {memory: 1Gi}}}",
		"master as changed":   "{server: {limits: {memory: 1Gi}}, master: {limits: {memory: 1Gi}}}",
		"alike by amount":     "{server: {limits: {memory: 1073741824}}, master: {limits: {memory: 1024Mi}, requests: {cpu: 0.1}}, slave: {limits: {memory: 1Gi}}}",
		"alike in the merged": "{master: {limits: {memory: 1Gi}}, slave: {limits: {memory: 1Gi}, requests: {cpu: 100m}}}",
	} {
		t.Run(name, func(t *testing.T) {
			m := render.Chart(t, render.YAML(t, "resources: "+values))
			assert.Equal(t, [4]string{"200Mi", "100m", "1Gi", "0"}, resources(t, m, server))
			assert.Equal(t, [4]string{"200Mi", "100m", "200Mi", "0"}, resources(t, m, sentinel))
		})
	}
}

func TestASinglePodHasNoBudget(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "replicas: {servers: 1, sentinels: 3}"))
	assert.Equal(t, []string{sentinel}, names(render.All[*policyv1.PodDisruptionBudget](m)))
	m = render.Chart(t, render.YAML(t, "replicas: {servers: 2, sentinels: 1}"))
	assert.Equal(t, []string{server}, names(render.All[*policyv1.PodDisruptionBudget](m)))
	render.None[*policyv1.PodDisruptionBudget](t, render.Chart(t, render.YAML(t, "replicas: {servers: 1, sentinels: 1}")))
}

func names[O interface{ GetName() string }](objects []O) []string {
	var found []string
	for _, o := range objects {
		found = append(found, o.GetName())
	}
	return found
}

func TestEachServerHasAVolumeOfItsOwn(t *testing.T) {
	m := render.Chart(t, nil)
	p := render.PodTemplate{Owner: server, Spec: podSpec(t, m, server)}
	volume, mount := mounted(t, p, "/redis-master-data")
	assert.False(t, mount.ReadOnly)
	require.NotNil(t, volume.Ephemeral)
	claim := volume.Ephemeral.VolumeClaimTemplate.Spec
	assert.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, claim.AccessModes)
	assert.Equal(t, "10Gi", claim.Resources.Requests.Storage().String())
	assert.Nil(t, claim.StorageClassName, "nil is the cluster's default class")
	assert.Equal(t, map[string]string{"app": "redis-ha", "release": "redis-ha", "component": "server"}, volume.Ephemeral.VolumeClaimTemplate.Labels)
}

func TestVolumeSettings(t *testing.T) {
	for class, want := range map[string]string{"fast": "fast", "-": ""} {
		m := render.Chart(t, render.Values{"persistence": map[string]any{"size": "1.5Ti", "storageClass": class, "accessModes": []any{"ReadWriteOncePod"}}})
		volume, _ := mounted(t, render.PodTemplate{Owner: server, Spec: podSpec(t, m, server)}, "/redis-master-data")
		claim := volume.Ephemeral.VolumeClaimTemplate.Spec
		require.NotNil(t, claim.StorageClassName)
		assert.Equal(t, want, *claim.StorageClassName)
		assert.Equal(t, "1536Gi", claim.Resources.Requests.Storage().String())
		assert.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}, claim.AccessModes)
	}
}

func TestWithoutPersistenceNothingIsClaimed(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "persistence: {enabled: false}"))
	volume, _ := mounted(t, render.PodTemplate{Owner: server, Spec: podSpec(t, m, server)}, "/redis-master-data")
	assert.Nil(t, volume.Ephemeral)
	assert.NotNil(t, volume.EmptyDir)
	assert.Equal(t, "false", deploymentEnv(t, m, server)["LAUNCHER_PERSISTENCE"])
}
