package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// securityRefusals are those of security contexts and of the admission policy.
var securityRefusals = []refusal{
	{"root", "podSecurityContext: {runAsUser: 0}", "podSecurityContext: {runAsUser: 1}", []string{"podSecurityContext.runAsUser: is 0", "would run as root", "set 1 to 2147483647, or null"}},
	{"a user below zero", "podSecurityContext: {runAsUser: -1}", "podSecurityContext: {runAsUser: null}", []string{"podSecurityContext.runAsUser: -1", "set 1 to 2147483647, or null"}},
	{"volumes of the group of root", "podSecurityContext: {fsGroup: 0}", "podSecurityContext: {fsGroup: 1}", []string{"podSecurityContext.fsGroup: is 0", "set 1 to 2147483647, or null"}},
	{"pods that may be root", "podSecurityContext: {runAsNonRoot: false}", "podSecurityContext: {runAsNonRoot: true}", []string{"podSecurityContext.runAsNonRoot", "set true"}},
	{"a group without rights", "podSecurityContext: {fsGroup: null}", "podSecurityContext: {runAsGroup: null, fsGroup: null}",
		[]string{"podSecurityContext.fsGroup: is null", "the group 10001", "set runAsGroup to null as well"}},
	{"a privileged container", "containerSecurityContext: {privileged: true}", "containerSecurityContext: {privileged: false}", []string{"containerSecurityContext.privileged", "set false"}},
	{"more privileges", "containerSecurityContext: {allowPrivilegeEscalation: true}", "containerSecurityContext: {allowPrivilegeEscalation: false}",
		[]string{"containerSecurityContext.allowPrivilegeEscalation", "set false"}},
	{"files of the image that may change", "containerSecurityContext: {readOnlyRootFilesystem: false}", "containerSecurityContext: {readOnlyRootFilesystem: true}",
		[]string{"containerSecurityContext.readOnlyRootFilesystem", "set true"}},
	{"a container that may be root", "containerSecurityContext: {runAsNonRoot: false}", "containerSecurityContext: {runAsNonRoot: true}", []string{"containerSecurityContext.runAsNonRoot", "set true"}},
	{"capabilities", "containerSecurityContext: {capabilities: {drop: [NET_RAW]}}", "containerSecurityContext: {capabilities: {drop: [ALL, NET_RAW]}}",
		[]string{"containerSecurityContext.capabilities.drop", "a list with ALL"}},
	{"no capabilities dropped", "containerSecurityContext: {capabilities: {drop: null}}", "containerSecurityContext: {capabilities: {drop: [ALL]}}",
		[]string{"containerSecurityContext.capabilities.drop", "a list with ALL"}},
	{"added capabilities", "containerSecurityContext: {capabilities: {add: [SYS_ADMIN]}}", "containerSecurityContext: {capabilities: {drop: [ALL]}}",
		[]string{"containerSecurityContext.capabilities.add", "remove it"}},
	{"the user of a container", "containerSecurityContext: {runAsUser: 5}", "podSecurityContext: {runAsUser: 5}", []string{"containerSecurityContext.runAsUser", "set podSecurityContext.runAsUser"}},
	{"a token that the API server makes good for a year", "serviceAccount: {token: {expirationSeconds: 3607}}", "serviceAccount: {token: {expirationSeconds: 3606}}",
		[]string{"serviceAccount.token.expirationSeconds: 3607", "good for a year", "set 3600"}},
	{"an admission policy for an account of others", "{admissionPolicy: {enabled: true}, serviceAccount: {create: false}}", "{admissionPolicy: {enabled: true}, serviceAccount: {create: false, name: mine}}",
		[]string{"admissionPolicy.enabled", `the account "default"`, "set serviceAccount.create to true"}},
}

// A cluster such as OpenShift chooses the user and the groups where the pods name none.
func TestUserAndGroupsMayBeLeftToTheCluster(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}, "+inClaim+"}"))
	require.Len(t, m.PodTemplates(), 4, "servers, sentinels, the test and backups")
	for _, p := range m.PodTemplates() {
		s := p.Spec.SecurityContext
		assert.Nil(t, s.RunAsUser, p.Owner)
		assert.Nil(t, s.RunAsGroup, p.Owner)
		assert.Nil(t, s.FSGroup, p.Owner)
		assert.True(t, *s.RunAsNonRoot, p.Owner)
		assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, s.SeccompProfile.Type, p.Owner)
	}
}

func TestSecurityContextsAreThoseOfTheValues(t *testing.T) {
	m := render.Chart(t, render.YAML(t, `
podSecurityContext: {runAsUser: 1000650000, runAsGroup: 0, fsGroup: 2147483647, fsGroupChangePolicy: Always, supplementalGroups: [5, 7], seLinuxOptions: {level: "s0:c1,c2"}}
containerSecurityContext: {privileged: false, runAsNonRoot: true, capabilities: {drop: [ALL, NET_RAW]}}
`+inClaim))
	require.Len(t, m.PodTemplates(), 4, "servers, sentinels, the test and backups")
	for _, p := range m.PodTemplates() {
		s := p.Spec.SecurityContext
		assert.EqualValues(t, 1000650000, *s.RunAsUser, p.Owner)
		assert.EqualValues(t, 0, *s.RunAsGroup, p.Owner)
		assert.EqualValues(t, 2147483647, *s.FSGroup, p.Owner)
		assert.Equal(t, corev1.FSGroupChangeAlways, *s.FSGroupChangePolicy, p.Owner)
		assert.Equal(t, []int64{5, 7}, s.SupplementalGroups, p.Owner)
		assert.Equal(t, "s0:c1,c2", s.SELinuxOptions.Level, p.Owner)
		c := p.Spec.Containers[0].SecurityContext
		assert.False(t, *c.Privileged, p.Owner)
		assert.True(t, *c.RunAsNonRoot, p.Owner)
		assert.Equal(t, []corev1.Capability{"ALL", "NET_RAW"}, c.Capabilities.Drop, p.Owner)
	}
}

// Values that helm upgrade --reuse-values keeps lack what a later version of the chart has added.
func TestSecurityIsTheSameWithValuesOfBefore(t *testing.T) {
	m := render.Chart(t, render.Values{"podSecurityContext": nil, "containerSecurityContext": nil, "admissionPolicy": nil, "serviceAccount": map[string]any{"create": true, "token": nil}})
	plain := render.Chart(t, nil)
	assert.Equal(t, plain.PodTemplates(), m.PodTemplates())
	assert.Equal(t, plain.IDs(), m.IDs())
}

// With --reuse-values Helm adds no defaults of a later chart. One number of the section alone would take the group off the volumes.
func TestKeptValuesThatLackTheGroupsAreRefused(t *testing.T) {
	text := render.Refused(t, render.YAML(t, "podSecurityContext: {runAsUser: 1000650000, runAsGroup: null, fsGroup: null, fsGroupChangePolicy: null}"))
	assert.Contains(t, text, "podSecurityContext")
	assert.Contains(t, text, "fsGroupChangePolicy")
}

// Redis makes files that only their owner may write. The kubelet gives them to a group when the group changes, or with Always.
func TestAnotherUserIsRefusedWhereTheVolumesStayThoseOfTheUserBefore(t *testing.T) {
	running := func(values string) render.Option {
		_, s := statefulSet(t, values)
		s.Namespace = render.Namespace
		return render.Existing(t, s)
	}
	values := func(podSecurityContext string) render.Values {
		return render.YAML(t, "{servers: {workload: StatefulSet}, podSecurityContext: "+podSecurityContext+"}")
	}
	for _, c := range []struct{ running, values string }{
		{"", "{runAsUser: 10002}"}, {"", "{runAsUser: 10002, runAsGroup: null, fsGroup: null}"}, {"", "{runAsUser: 10002, runAsGroup: null, fsGroup: null, fsGroupChangePolicy: Always}"},
		{"podSecurityContext: {runAsGroup: null, fsGroup: null}", "{runAsUser: 10002, runAsGroup: null, fsGroup: null}"},
	} {
		lines := problems(t, values(c.values), running(c.running))
		require.Len(t, lines, 1, c)
		assert.Contains(t, lines[0], "podSecurityContext.runAsUser: is 10002, and the volumes of the running StatefulSet have files that only the user 10001 may write")
		assert.Contains(t, lines[0], "set podSecurityContext.fsGroup to another number as well, or fsGroupChangePolicy to Always")
	}
	for _, legal := range []string{
		"{runAsUser: 10001}", "{runAsUser: 10002, fsGroup: 10002}", "{runAsUser: 10002, fsGroupChangePolicy: Always}", "{runAsUser: null}",
	} {
		assert.NotEmpty(t, render.Chart(t, values(legal), running("")).Objects, legal)
	}
	assert.NotEmpty(t, render.Chart(t, values("{runAsUser: 10002}"), render.Existing(t)).Objects, "nothing runs")
}

// Two releases may share an account that somebody else has made. The policy of one would keep the launchers of the other from labelling their pods.
func TestAdmissionPolicyIsRefusedWhereAnotherReleaseHasTheAccount(t *testing.T) {
	pod := func(name, account string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: render.Namespace, Labels: labels}, Spec: corev1.PodSpec{ServiceAccountName: account}}
	}
	own := pod("own", "mine", map[string]string{"app": "redis-ha", "release": render.Release, "redis-role": "master"})
	job := pod("job", "mine", nil)
	other := func(account string) *corev1.Pod {
		return pod("other", account, map[string]string{"app": "redis-ha", "release": "other", "redis-role": "slave"})
	}
	values := render.YAML(t, "{admissionPolicy: {enabled: true}, serviceAccount: {create: false, name: mine}}")
	lines := problems(t, values, render.Existing(t, own, job, other("mine")))
	require.Len(t, lines, 1)
	assert.Equal(t, `admissionPolicy.enabled: the release "other" has the account "mine" too, and its launchers could not label their pods any more; give each release an account of its own, or set it to false`, lines[0])
	assert.NotEmpty(t, render.Chart(t, values, render.Existing(t, own, job, other("theirs"))).Objects)
	without := render.YAML(t, "serviceAccount: {create: false, name: mine}")
	assert.NotEmpty(t, render.Chart(t, without, render.Existing(t, own, other("mine"))).Objects)
}

func TestTokenIsShortLivedAndForTheAudienceThatIsSet(t *testing.T) {
	for values, want := range map[string]corev1.ServiceAccountTokenProjection{
		"{" + inClaim + "}": {Path: "token", ExpirationSeconds: new(int64(14400))},
		"{" + inClaim + ", serviceAccount: {token: {audience: 'https://api.example.com', expirationSeconds: 600}}}": {Path: "token", ExpirationSeconds: new(int64(600)), Audience: "https://api.example.com"},
	} {
		m := render.Chart(t, render.YAML(t, values))
		found := 0
		for _, p := range m.PodTemplates() {
			for _, v := range p.Spec.Volumes {
				if v.Projected != nil {
					found++
					// As the kubelet mounts it: client-go reads the first two files, kubectl the third one as well.
					assert.Equal(t, []corev1.VolumeProjection{
						{ServiceAccountToken: &want},
						{ConfigMap: &corev1.ConfigMapProjection{
							LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
						}},
						{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
							{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
						}}},
					}, v.Projected.Sources, p.Owner)
				}
			}
		}
		assert.Equal(t, 3, found, "servers, sentinels and backups")
	}
}

func TestAdmissionPolicyIsMadeOnRequestOnly(t *testing.T) {
	render.None[*admissionv1.ValidatingAdmissionPolicy](t, render.Chart(t, nil))
	render.None[*admissionv1.ValidatingAdmissionPolicyBinding](t, render.Chart(t, nil))
	for namespace, name := range map[string]string{"caches": render.Fullname + ".caches", "shop": render.Fullname + ".shop"} {
		m := render.Chart(t, render.YAML(t, "admissionPolicy: {enabled: true}"), render.As(render.Release, namespace))
		policy := render.One[*admissionv1.ValidatingAdmissionPolicy](t, m, name)
		binding := render.One[*admissionv1.ValidatingAdmissionPolicyBinding](t, m, name)
		assert.Equal(t, policy.Name, binding.Spec.PolicyName)
		assert.Equal(t, map[string]string{"kubernetes.io/metadata.name": namespace}, binding.Spec.MatchResources.NamespaceSelector.MatchLabels)
	}
}

func TestAdmissionPolicyIsRefusedWhereTheClusterHasNone(t *testing.T) {
	values := render.YAML(t, "admissionPolicy: {enabled: true}")
	lines := problems(t, values, render.Serves("apps/v1/Deployment"))
	require.Len(t, lines, 1)
	assert.Equal(t, "admissionPolicy.enabled: the cluster has no ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1, which came with Kubernetes 1.30; set it to false", lines[0])
	assert.NotEmpty(t, render.Chart(t, values, render.Serves("apps/v1/Deployment", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")).Objects)
	assert.NotEmpty(t, render.Chart(t, nil, render.Serves("apps/v1/Deployment")).Objects)
}
