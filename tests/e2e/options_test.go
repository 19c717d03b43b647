package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Appliance mode: the Services change, and no pod is touched for it.
func TestServicesBecomeLoadBalancersWithAnnotations(t *testing.T) {
	r := documentedRelease(t)
	before, err := r.look(t.Context())
	require.NoError(t, err)
	r.upgrade(t, "--set", "servers.serviceType=LoadBalancer", "--set", `servers.annotations.example\.com/owner=team-cache`)
	for _, name := range []string{"-master-svc", "-slave-svc"} {
		service := r.service(t, name)
		require.Equal(t, corev1.ServiceTypeLoadBalancer, service.Spec.Type, service.Name)
		require.Equal(t, "team-cache", service.Annotations["example.com/owner"], service.Name)
	}
	r.runNotes(t)
	r.helm(t, "rollback", r.name)
	for _, name := range []string{"-master-svc", "-slave-svc"} {
		service := r.service(t, name)
		require.Equal(t, corev1.ServiceTypeClusterIP, service.Spec.Type, service.Name)
		require.NotContains(t, service.Annotations, "example.com/owner", service.Name)
	}
	eventually(t, recoveryTime, "a healthy release after the rollback", r.healthy)
	require.ElementsMatch(t, uids(before.pods), uids(r.pods(t)), "the pods before and after")
}

// service returns a Service of the release, by the end of its name.
func (r *release) service(t *testing.T, end string) *corev1.Service {
	t.Helper()
	service, err := env.Kube.CoreV1().Services(r.namespace).Get(t.Context(), r.fullname()+end, metav1.GetOptions{})
	require.NoError(t, err)
	return service
}

// pods lists the pods of the release.
func (r *release) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := env.Kube.CoreV1().Pods(r.namespace).List(t.Context(), r.listOptions())
	require.NoError(t, err)
	return pods.Items
}

func uids(pods []corev1.Pod) []string {
	found := []string{}
	for _, pod := range pods {
		found = append(found, string(pod.UID))
	}
	return found
}
