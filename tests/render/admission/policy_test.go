package admission_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/admission"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

const (
	cost    = "controller.kubernetes.io/pod-deletion-cost"
	account = "system:serviceaccount:" + render.Namespace + ":" + render.Fullname
)

// oldest is the first version of Kubernetes that has admission policies.
const oldest = "1.30"

// versions are those of Kubernetes that have admission policies.
func versions() []string {
	return render.KubeVersions[slices.Index(render.KubeVersions, oldest):]
}

// rendered is the policy of a release, and a server and a sentinel as they run.
func rendered(t *testing.T, values string) (policy *admissionv1.ValidatingAdmissionPolicy, server, sentinel *corev1.Pod) {
	t.Helper()
	m := render.Chart(t, render.YAML(t, "admissionPolicy: {enabled: true}"+values))
	policy = render.One[*admissionv1.ValidatingAdmissionPolicy](t, m, render.Fullname+"."+render.Namespace)
	pod := func(component, role string) *corev1.Pod {
		template := render.One[*appsv1.Deployment](t, m, render.Fullname+"-"+component).Spec.Template
		pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		pod.Name, pod.Namespace, pod.UID, pod.ResourceVersion = render.Fullname+"-"+component+"-x", render.Namespace, "uid", "7"
		pod.Labels["redis-role"], pod.Labels["podIP"], pod.Labels["runID"] = role, "10.0.0.1", "abcdef"
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "x", UID: "owner"}}
		pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "before"}}
		return pod
	}
	server, sentinel = pod("server", "slave"), pod("sentinel", "sentinel")
	server.Annotations[cost] = "0"
	return policy, server, sentinel
}

// compiled is the policy as a version of Kubernetes compiles it.
func compiled(t *testing.T, policy *admissionv1.ValidatingAdmissionPolicy, version string) *admission.Policy {
	t.Helper()
	compiled, err := admission.Compile(policy, version)
	require.NoError(t, err, version)
	return compiled
}

// change is a change of a pod, by a function that makes it.
type change struct {
	name    string
	of      func(pod *corev1.Pod)
	refused string // what the message begins with; empty: the policy lets it pass
}

// refusedChanges are changes of a server, each of which another validation refuses.
var refusedChanges = []change{
	{"a pod of others", nil, "metadata.labels: the pod has other labels app and release"},
	{"the label that selects servers", func(p *corev1.Pod) { p.Labels["redis-node"] = "false" }, "metadata.labels: launchers set the labels redis-role, podIP, runID only"},
	{"a new label", func(p *corev1.Pod) { p.Labels["app2"] = "shop" }, "metadata.labels: launchers set"},
	{"a label that is removed", func(p *corev1.Pod) { delete(p.Labels, "component") }, "metadata.labels: launchers remove"},
	{"all labels", func(p *corev1.Pod) { p.Labels = nil }, "metadata.labels: launchers remove"},
	{"another annotation", func(p *corev1.Pod) { p.Annotations["kubectl.kubernetes.io/default-container"] = "x" }, "metadata.annotations: launchers set the annotation " + cost + " only"},
	{"a new annotation", func(p *corev1.Pod) { p.Annotations["cni.example.com/network"] = "host" }, "metadata.annotations: launchers set"},
	{"all annotations", func(p *corev1.Pod) { p.Annotations = nil }, "metadata.annotations: launchers remove"},
	{"the owner", func(p *corev1.Pod) { p.OwnerReferences = nil }, "metadata.ownerReferences: "},
	{"another owner", func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }, "metadata.ownerReferences: "},
	{"a finalizer", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/stay"} }, "metadata.finalizers: "},
	{"the image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "evil:1" }, "spec: "},
	{"a toleration", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: "Exists"}} }, "spec: "},
	{"a container beside", func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "x", Image: "evil:1"}}}
	}, "spec: "},
	{"the status", func(p *corev1.Pod) { p.Status.PodIP = "10.6.6.6" }, "status: "},
}

// refusals are the messages for a change of a server.
func refusals(t *testing.T, policy *admission.Policy, server *corev1.Pod, c change) []string {
	t.Helper()
	old := server.DeepCopy()
	if c.of == nil {
		old.Labels["app"] = "shop"
	}
	changed := old.DeepCopy()
	if c.of != nil {
		c.of(changed)
	}
	messages, err := policy.Refusals(account, old, changed)
	require.NoError(t, err, c.name)
	return messages
}

func TestLaunchersChangeTheirLabelsInEveryDirection(t *testing.T) {
	p, server, sentinel := rendered(t, "")
	newborn := server.DeepCopy()
	for _, key := range []string{"redis-role", "podIP", "runID"} {
		delete(newborn.Labels, key)
	}
	delete(newborn.Annotations, cost)
	bare, labelled := newborn.DeepCopy(), newborn.DeepCopy()
	bare.Annotations, labelled.Annotations = nil, map[string]string{cost: "0"}
	master := server.DeepCopy()
	master.Labels["redis-role"], master.Annotations[cost] = "master", "100"
	for _, version := range versions() {
		policy := compiled(t, p, version)
		for name, pods := range map[string][2]*corev1.Pod{
			"a pod that gets its first role": {newborn, server}, "a pod that loses its role": {server, newborn}, "no change": {server, server},
			"the first annotation": {bare, labelled}, "the last annotation": {labelled, bare},
			"slave to master": {server, master}, "master to slave": {master, server}, "a sentinel": {sentinel, sentinel},
		} {
			changed := pods[1].DeepCopy()
			changed.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "launcher"}}
			messages, err := policy.Refusals(account, pods[0], changed)
			require.NoError(t, err, "%s, Kubernetes %s", name, version)
			assert.Empty(t, messages, "%s, Kubernetes %s", name, version)
		}
	}
}

func TestLaunchersChangeNothingElse(t *testing.T) {
	p, server, _ := rendered(t, "")
	for _, version := range versions() {
		policy := compiled(t, p, version)
		for _, c := range refusedChanges {
			messages := refusals(t, policy, server, c)
			assert.True(t, slices.ContainsFunc(messages, func(m string) bool { return strings.HasPrefix(m, c.refused) }), "%s, Kubernetes %s: %q", c.name, version, messages)
		}
	}
}

// The pod of a neighbour has no labels at all, or those of another release.
func TestPodsOfOthersStayAsTheyAre(t *testing.T) {
	p, server, _ := rendered(t, "")
	policy := compiled(t, p, oldest)
	for name, labels := range map[string]map[string]string{
		"none": nil, "another chart": {"app": "shop", "release": render.Release}, "another release": {"app": render.Release, "release": "other"},
	} {
		old := server.DeepCopy()
		old.Labels = labels
		changed := server.DeepCopy()
		messages, err := policy.Refusals(account, old, changed)
		require.NoError(t, err, name)
		assert.Contains(t, strings.Join(messages, "\n"), "the pod has other labels app and release", name)
	}
}

func TestOthersChangeWhatTheyLike(t *testing.T) {
	p, server, _ := rendered(t, "")
	policy := compiled(t, p, oldest)
	for _, other := range []string{"kubernetes-admin", "system:serviceaccount:kube-system:replicaset-controller", account + "-backup", "system:serviceaccount:other:" + render.Fullname} {
		changed := server.DeepCopy()
		changed.Labels, changed.Spec.Containers[0].Image = nil, "other:1"
		messages, err := policy.Refusals(other, server, changed)
		require.NoError(t, err)
		assert.Empty(t, messages, other)
	}
}

func TestPolicyIsForTheAccountThatThePodsHave(t *testing.T) {
	p, server, _ := rendered(t, "\nserviceAccount: {create: false, name: mine}")
	changed := server.DeepCopy()
	changed.Spec.Containers[0].Image = "evil:1"
	messages, err := compiled(t, p, oldest).Refusals("system:serviceaccount:"+render.Namespace+":mine", server, changed)
	require.NoError(t, err)
	assert.Equal(t, []string{"spec: launchers do not change the spec of a pod"}, messages)
}

// Each validation is there for a change that no other one refuses.
func TestNoValidationIsTooMuch(t *testing.T) {
	p, server, _ := rendered(t, "")
	for i, validation := range p.Spec.Validations {
		without := p.DeepCopy()
		without.Spec.Validations = slices.Delete(without.Spec.Validations, i, i+1)
		policy := compiled(t, without, oldest)
		passes := func(c change) bool { return len(refusals(t, policy, server, c)) == 0 }
		assert.True(t, slices.ContainsFunc(refusedChanges, passes), "nothing passes without %s", validation.Expression)
	}
}

func TestExpressionThatDoesNotCompileIsTold(t *testing.T) {
	p, _, _ := rendered(t, "")
	p.Spec.Validations[0].Expression = "object.metadata."
	_, err := admission.Compile(p, oldest)
	assert.ErrorContains(t, err, "compile object.metadata.")
}
