package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// tokenFile is where the launchers find their token.
	tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	// policyInForce bounds the time from a new admission policy to the first change that it refuses: the API server reads policies once a second.
	policyInForce = 30 * time.Second
	// redisRole is the label by which the Services find their pods.
	redisRole = "redis-role"
)

// podToken reads the token of a pod.
func podToken(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	token, err := env.Execute(t.Context(), pod.Namespace, pod.Name, nil, "cat", tokenFile)
	require.NoError(t, err)
	return strings.TrimSpace(token)
}

// lifetime is how long a token is good for, from the moment that it was made.
func lifetime(t *testing.T, token string) time.Duration {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3, "the parts of a token")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims struct {
		Begin int64 `json:"iat"`
		End   int64 `json:"exp"`
	}
	require.NoError(t, json.Unmarshal(payload, &claims))
	return time.Duration(claims.End-claims.Begin) * time.Second
}

// clientWith calls the API server with a token and nothing else.
func clientWith(t *testing.T, token string) kubernetes.Interface {
	t.Helper()
	config := rest.AnonymousClientConfig(env.Rest)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// patch changes a pod by a strategic merge patch, which finds a container by its name.
func patch(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, text string) error {
	t.Helper()
	_, err := client.CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{})
	return err
}

// With the token of a pod nothing can be changed but the labels and the annotation that the launchers write, and these only of the pods of the release. A
// release with the admission policy fails over as any other.
func TestAccountChangesOnlyItsLabels(t *testing.T) {
	t.Parallel()
	require.NoError(t, env.Prepare(t.Context()))
	r := &release{name: "least", namespace: workNamespace, servers: 3, sentinels: 3}
	t.Cleanup(func() { r.removeDurable(t) })
	stranger := neighbour(t, "bystander")
	r.install(t, "--set", "admissionPolicy.enabled=true")

	master := r.master(t)
	token := podToken(t, master)
	assert.Equal(t, 4*time.Hour, lifetime(t, token).Round(time.Minute), "the token's time")
	client := clientWith(t, token)
	eventually(t, policyInForce, "the admission policy to be in force", r.refusesLabels(client, master))
	eventually(t, recoveryTime, "the API server to find the types of the admission policy right", r.policyHasTypes)

	for name, c := range map[string]struct {
		pod         *corev1.Pod
		patch, says string
	}{
		"a label of the Services":     {master, `{"metadata":{"labels":{"redis-node":"false"}}}`, "metadata.labels: launchers set the labels redis-role, podIP, runID only"},
		"a new label":                 {master, `{"metadata":{"labels":{"app2":"shop"}}}`, "metadata.labels: launchers set"},
		"a label that is removed":     {master, `{"metadata":{"labels":{"component":null}}}`, "metadata.labels: launchers remove"},
		"an annotation":               {master, `{"metadata":{"annotations":{"example.com/x":"y"}}}`, "metadata.annotations: launchers set"},
		"an annotation that is gone":  {master, `{"metadata":{"annotations":{"kubectl.kubernetes.io/default-container":null}}}`, "metadata.annotations: launchers remove"},
		"the owner":                   {master, `{"metadata":{"ownerReferences":null}}`, "metadata.ownerReferences: "},
		"a finalizer":                 {master, `{"metadata":{"finalizers":["example.com/stay"]}}`, "metadata.finalizers: "},
		"the image":                   {master, `{"spec":{"containers":[{"name":"redis","image":"registry.k8s.io/pause:3.10"}]}}`, "spec: "},
		"the time that a pod may run": {master, `{"spec":{"activeDeadlineSeconds":1}}`, "spec: "},
		"the label of a bystander":    {stranger, `{"metadata":{"labels":{"redis-role":"master"}}}`, "metadata.labels: the pod has other labels app and release"},
	} {
		err := patch(t, client, c.pod, c.patch)
		require.True(t, apierrors.IsForbidden(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, c.says, name)
	}
	unchanged, err := env.Kube.CoreV1().Pods(stranger.Namespace).Get(t.Context(), stranger.Name, metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, unchanged.Labels, redisRole)

	for _, allowed := range []string{
		`{"metadata":{"labels":{"runID":"e2e000"}}}`, `{"metadata":{"labels":{"runID":null,"podIP":null}}}`,
		`{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"7"}}}`,
	} {
		assert.NoError(t, patch(t, client, master, allowed), allowed)
	}
	assert.NoError(t, patch(t, env.Kube, master, `{"metadata":{"labels":{"e2e":"changed"}}}`), "others change what they may")
	eventually(t, recoveryTime, "the launchers to correct what was changed", r.healthy)

	r.failover(t, planned, func(master *corev1.Pod) { r.kubectl(t, "delete", "pod", master.Name, "--wait=false") })
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.FreezeRedis(t.Context(), master, 10*time.Second)) })

	r.upgrade(t, "--set", "admissionPolicy.enabled=false")
	_, err = env.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), r.policyName(), metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "the policy after the upgrade: %v", err)
	r.uninstall(t)
}

// policyName is the name of the admission policy of the release.
func (r *release) policyName() string { return r.fullname() + "." + r.namespace }

// policyHasTypes wants the API server to have compared the expressions of the admission policy with the fields of a pod.
func (r *release) policyHasTypes(ctx context.Context) error {
	policy, err := env.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, r.policyName(), metav1.GetOptions{})
	switch {
	case err != nil:
		return err
	case policy.Status.TypeChecking == nil:
		return errors.New("the types have not been checked yet")
	case len(policy.Status.TypeChecking.ExpressionWarnings) > 0:
		return fmt.Errorf("there are warnings: %v", policy.Status.TypeChecking.ExpressionWarnings)
	}
	return nil
}

// refusesLabels finds nothing wrong when the policy refuses a label that launchers do not write. It removes a label that was set before the policy was in force.
func (r *release) refusesLabels(client kubernetes.Interface, pod *corev1.Pod) func(context.Context) error {
	return func(ctx context.Context) error {
		pods := client.CoreV1().Pods(pod.Namespace)
		_, err := pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"e2e":"before"}}}`), metav1.PatchOptions{})
		if err == nil {
			_, err = env.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"e2e":null}}}`), metav1.PatchOptions{})
			return errors.Join(errors.New("a label has been set"), err)
		}
		if !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
			return err
		}
		return nil
	}
}

// A cluster such as OpenShift runs pods as a user that no file knows, with the group 0, and with a group of the volumes of its own.
func TestReleaseRunsWithAnyUserID(t *testing.T) {
	t.Parallel()
	require.NoError(t, env.Prepare(t.Context()))
	const user = "1000650000"
	r := &release{name: "anyone", namespace: workNamespace, servers: 3, sentinels: 3, workload: "statefulset", readPassword: true}
	t.Cleanup(func() { r.removeDurable(t) })
	r.install(t, append([]string{
		"--set", "auth=true", "--set", "podSecurityContext.runAsUser=" + user, "--set", "podSecurityContext.runAsGroup=null", "--set", "podSecurityContext.fsGroup=" + user,
	}, asStatefulSet...)...)

	for _, pod := range r.pods(t) {
		said, err := env.Execute(t.Context(), pod.Namespace, pod.Name, nil, "id")
		require.NoError(t, err)
		assert.Regexp(t, `uid=`+user+`\b.* gid=0\b.* groups=.*\b`+user+`\b`, said, pod.Name)
	}
	for _, pod := range r.component(t, "server") {
		said, err := env.Execute(t.Context(), pod.Namespace, pod.Name, nil, "find", "/redis-master-data/appendonlydir", "-not", "-user", user)
		require.NoError(t, err)
		assert.Empty(t, strings.TrimSpace(said), "files of others on the volume of %s", pod.Name)
	}
	r.failover(t, planned, func(master *corev1.Pod) { r.kubectl(t, "delete", "pod", master.Name, "--wait=false") })
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.KillLauncher(t.Context(), master)) })
	bash(t, fmt.Sprintf("helm test %s --namespace %s", r.name, r.namespace))
}
