package chart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// statefulSet renders the servers as a StatefulSet. More values come as YAML.
func statefulSet(t *testing.T, more string) (*render.Manifests, *appsv1.StatefulSet) {
	t.Helper()
	values := render.YAML(t, more)
	servers, _ := values["servers"].(map[string]any)
	if servers == nil {
		servers = map[string]any{}
	}
	servers["workload"] = "StatefulSet"
	values["servers"] = servers
	m := render.Chart(t, values)
	return m, render.One[*appsv1.StatefulSet](t, m, server)
}

// A release has the same objects whatever the kind of the workload.
func TestStatefulSetTakesThePlaceOfTheDeployment(t *testing.T) {
	m, _ := statefulSet(t, "")
	want := render.Chart(t, nil).IDs()
	var got []string
	for _, id := range m.IDs() {
		if id == "StatefulSet/"+server {
			id = "Deployment/" + server
		}
		got = append(got, id)
	}
	assert.ElementsMatch(t, want, got)
}

func TestStatefulSetOfTheServers(t *testing.T) {
	m, s := statefulSet(t, "replicas: {servers: 5}")
	assert.EqualValues(t, 5, *s.Spec.Replicas)
	assert.Equal(t, appsv1.ParallelPodManagement, s.Spec.PodManagementPolicy)
	assert.Equal(t, appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType}, s.Spec.UpdateStrategy)
	assert.Equal(t, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "redis-ha", "release": "redis-ha", "component": "server"}}, s.Spec.Selector,
		"it cannot be changed in a running release")
	assert.Equal(t, render.Fullname, s.Spec.ServiceName, "it cannot be changed in a running release")
	render.One[*corev1.Service](t, m, s.Spec.ServiceName)
	assert.Subset(t, s.Labels, map[string]string{"name": server, "redis-node": "true", "app.kubernetes.io/component": "server"})
}

func TestVolumesOfAStatefulSetAreKeptByDefault(t *testing.T) {
	_, s := statefulSet(t, "")
	assert.Equal(t, &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
	}, s.Spec.PersistentVolumeClaimRetentionPolicy)
	_, s = statefulSet(t, "persistence: {retention: {whenDeleted: Delete}}")
	assert.Equal(t, &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
	}, s.Spec.PersistentVolumeClaimRetentionPolicy)
	_, s = statefulSet(t, "persistence: {retention: {whenScaled: Delete}}")
	assert.Equal(t, &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
	}, s.Spec.PersistentVolumeClaimRetentionPolicy)
}

// The claims of a StatefulSet are those of a Deployment, so that a server is the same on either volume.
func TestClaimOfAStatefulSetIsThatOfADeployment(t *testing.T) {
	for _, persistence := range []string{"{}", "{size: 1.5Ti, storageClass: fast, accessModes: [ReadWriteOncePod]}", "{storageClass: '-'}"} {
		_, s := statefulSet(t, "persistence: "+persistence)
		require.Len(t, s.Spec.VolumeClaimTemplates, 1)
		claim := s.Spec.VolumeClaimTemplates[0]
		assert.Equal(t, "data", claim.Name)
		assert.Equal(t, metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, claim.TypeMeta, "the API server fills it in, and whoever compares finds a difference")
		volume, _ := mounted(t, render.PodTemplate{Owner: server, Spec: podSpec(t, render.Chart(t, render.YAML(t, "persistence: "+persistence)), server)}, "/redis-master-data")
		assert.Equal(t, volume.Ephemeral.VolumeClaimTemplate.Spec, claim.Spec)
		assert.Equal(t, volume.Ephemeral.VolumeClaimTemplate.Labels, claim.Labels)
		for _, v := range s.Spec.Template.Spec.Volumes {
			assert.NotEqual(t, "data", v.Name, "the StatefulSet adds it")
		}
	}
}

// The pods of both kinds differ in where their volume comes from, and in what the launcher is told of that.
func TestPodsOfAStatefulSetAreThoseOfADeployment(t *testing.T) {
	const more = "{auth: true, servers: {config: {maxmemory: 100mb}, maxReplicationLag: 16Mi}, podAnnotations: {example.com/a: b}}"
	_, s := statefulSet(t, more)
	d := render.One[*appsv1.Deployment](t, render.Chart(t, render.YAML(t, more)), server)
	got, want := s.Spec.Template.DeepCopy(), d.Spec.Template.DeepCopy()
	env := &got.Spec.Containers[0].Env
	for i, e := range *env {
		if e.Name == "LAUNCHER_VOLUMES_KEPT" {
			assert.Equal(t, "true", e.Value)
			*env = append((*env)[:i], (*env)[i+1:]...)
			break
		}
	}
	want.Spec.Volumes = want.Spec.Volumes[:len(want.Spec.Volumes)-1]
	assert.Equal(t, want, got)
	assert.NotContains(t, environment(t, d.Spec.Template.Spec.Containers[0]), "LAUNCHER_VOLUMES_KEPT")
	assert.Equal(t, "true", environment(t, s.Spec.Template.Spec.Containers[0])["LAUNCHER_VOLUMES_KEPT"])
}

func TestSentinelsStayADeployment(t *testing.T) {
	m, _ := statefulSet(t, "")
	assert.Equal(t, render.One[*appsv1.Deployment](t, render.Chart(t, nil), sentinel), render.One[*appsv1.Deployment](t, m, sentinel))
}

func TestStatefulSetHasABudget(t *testing.T) {
	m, s := statefulSet(t, "")
	selector, err := metav1.LabelSelectorAsSelector(render.One[*policyv1.PodDisruptionBudget](t, m, server).Spec.Selector)
	require.NoError(t, err)
	assert.True(t, selector.Matches(labels.Set(s.Spec.Template.Labels)))
}

// The label controller-revision-hash of the pods is the name of the StatefulSet and up to 11 characters more.
func TestNamesOfReleasesWithAStatefulSetAreShorter(t *testing.T) {
	const values = "servers: {workload: StatefulSet}"
	assert.NotEmpty(t, render.Chart(t, render.YAML(t, values), render.As(strings.Repeat("r", 36), "n")).Objects)
	lines := problems(t, render.YAML(t, values), render.As(strings.Repeat("r", 37), "n"))
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "release name: ")
	assert.Contains(t, lines[0], "has 46 characters")
	assert.Contains(t, lines[0], "set fullnameOverride to at most 45 characters")
	lines = problems(t, render.YAML(t, values), render.As(strings.Repeat("r", 44), "n"))
	require.Len(t, lines, 1, "too long for a Deployment as well")
	assert.Contains(t, lines[0], "at most 45 characters")
}

func TestRefusalOfNoServersTellsOfVolumesThatGo(t *testing.T) {
	assert.Contains(t, problems(t, render.YAML(t, "replicas: {servers: 0}"))[0], "the volumes go away with their pods")
	assert.NotContains(t, problems(t, render.YAML(t, "{replicas: {servers: 0}, servers: {workload: StatefulSet}}"))[0], "volumes")
}

func TestNotesOfAStatefulSet(t *testing.T) {
	m, _ := statefulSet(t, "")
	assert.Contains(t, m.Notes, "rollout status --namespace kube-public statefulset/"+server)
	assert.NotContains(t, m.Notes, "deployment/"+server)
	const remove = "kubectl delete persistentvolumeclaim --namespace kube-public -l app=redis-ha,release=redis-ha,component=server"
	assert.Contains(t, commands(m), remove)
	assert.NotContains(t, render.Chart(t, nil).Notes, "persistentvolumeclaim")
	m, _ = statefulSet(t, "persistence: {retention: {whenDeleted: Delete}}")
	assert.NotContains(t, m.Notes, "persistentvolumeclaim")
}

// Helm deletes the workload of the other kind before the servers of the new one have a copy. A user who upgrades and forgets the value gets the
// default kind.
func TestOtherKindOfWorkloadIsRefusedWhileTheServersWouldBeDeleted(t *testing.T) {
	keep := map[string]string{"helm.sh/resource-policy": "keep"}
	deployment := func(annotations map[string]string) render.Option {
		return render.Existing(t, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: server, Namespace: render.Namespace, Annotations: annotations}})
	}
	statefulSet := func(annotations map[string]string) render.Option {
		return render.Existing(t, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: server, Namespace: render.Namespace, Annotations: annotations}})
	}
	for _, c := range []struct {
		from, to, deleted string
		running           func(map[string]string) render.Option
	}{
		{from: "Deployment", to: "StatefulSet", running: deployment, deleted: "with their volumes while"},
		{from: "StatefulSet", to: "Deployment", running: statefulSet, deleted: "would delete them while"},
	} {
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			values, same := render.YAML(t, "servers: {workload: "+c.to+"}"), render.YAML(t, "servers: {workload: "+c.from+"}")
			for _, annotations := range []map[string]string{nil, {"deployment.kubernetes.io/revision": "1"}, {"helm.sh/resource-policy": "delete"}} {
				lines := problems(t, values, c.running(annotations))
				require.Len(t, lines, 1)
				assert.Contains(t, lines[0], "servers.workload: the servers run as a "+c.from)
				assert.Contains(t, lines[0], c.deleted)
				assert.Contains(t, lines[0], "kubectl annotate "+strings.ToLower(c.from)+" --namespace kube-public "+server+" helm.sh/resource-policy=keep")
			}
			assert.NotEmpty(t, render.Chart(t, values, c.running(keep)).Objects)
			assert.NotEmpty(t, render.Chart(t, values, render.Existing(t)).Objects, "a new release")
			assert.NotEmpty(t, render.Chart(t, same, c.running(nil)).Objects, "an upgrade of the same kind")
		})
	}
}

// The API server refuses any other claims, and does not say which value has changed.
func TestOtherVolumesAreRefusedWhileAStatefulSetRuns(t *testing.T) {
	const before = "persistence: {size: 1536Gi, storageClass: fast}"
	_, s := statefulSet(t, before)
	s.Namespace = render.Namespace
	running := render.Existing(t, s)
	values := func(persistence string) render.Values {
		return render.YAML(t, "{servers: {workload: StatefulSet}, persistence: "+persistence+"}")
	}
	for persistence, wanted := range map[string]string{
		"{size: 2Ti, storageClass: fast}":   "persistence.size: the volumes of the running StatefulSet were asked for with 1536Gi.",
		"{size: 1536Gi}":                    `persistence.storageClass: the volumes of the running StatefulSet were asked for with "fast".`,
		"{size: 1536Gi, storageClass: '-'}": `persistence.storageClass: the volumes of the running StatefulSet were asked for with "fast".`,
		"{size: 1536Gi, storageClass: fast, accessModes: [ReadWriteOncePod]}": "persistence.accessModes: the volumes of the running StatefulSet were asked for with ReadWriteOnce.",
	} {
		lines := problems(t, values(persistence), running)
		require.Len(t, lines, 1, persistence)
		assert.Contains(t, lines[0], wanted)
		assert.Contains(t, lines[0], "kubectl delete statefulset --namespace kube-public "+server+" --cascade=orphan")
	}
	for _, same := range []string{"{size: 1536Gi, storageClass: fast}", "{size: 1.5Ti, storageClass: fast}"} {
		assert.NotEmpty(t, render.Chart(t, values(same), running).Objects, same)
	}
	assert.NotEmpty(t, render.Chart(t, values("{size: 2Ti}"), render.Existing(t)).Objects, "the StatefulSet was deleted before")
}
