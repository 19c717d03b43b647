package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// With another selector, a Service does not find the pods of the version before while an upgrade replaces them.
func TestServiceSelectorsAreTheDocumentedOnes(t *testing.T) {
	m := render.Chart(t, nil)
	for name, role := range map[string]string{master: "master", render.Fullname: "master", slave: "slave"} {
		assert.Equal(t, map[string]string{"app": "redis-ha", "release": "redis-ha", "redis-node": "true", "redis-role": role},
			render.One[*corev1.Service](t, m, name).Spec.Selector, name)
	}
	assert.Equal(t, map[string]string{"app": "redis-ha", "release": "redis-ha", "redis-role": "sentinel"},
		render.One[*corev1.Service](t, m, sentinel).Spec.Selector)
}

func TestServiceTypeAndAnnotationsOfApplianceMode(t *testing.T) {
	annotations := map[string]any{"service.beta.kubernetes.io/aws-load-balancer-internal": "true", "note": "a: \"b\"\n- c"}
	m := render.Chart(t, render.Values{"servers": map[string]any{"serviceType": "LoadBalancer", "annotations": annotations}})
	for _, name := range []string{master, slave} {
		service := render.One[*corev1.Service](t, m, name)
		assert.Equal(t, corev1.ServiceTypeLoadBalancer, service.Spec.Type, name)
		for key, value := range annotations {
			assert.Equal(t, value, service.Annotations[key], name)
		}
	}
	for _, name := range []string{render.Fullname, sentinel} {
		service := render.One[*corev1.Service](t, m, name)
		assert.Equal(t, corev1.ServiceTypeClusterIP, service.Spec.Type, name)
		assert.Empty(t, service.Annotations, name)
	}
}

func TestServicesAreInsideTheClusterByDefault(t *testing.T) {
	for _, service := range render.All[*corev1.Service](render.Chart(t, nil)) {
		assert.Equal(t, corev1.ServiceTypeClusterIP, service.Spec.Type, service.Name)
		assert.Empty(t, service.Annotations, service.Name)
	}
}

func TestServicesHaveTheDocumentedPorts(t *testing.T) {
	m := render.Chart(t, nil)
	for name, want := range map[string]int32{master: 6379, render.Fullname: 6379, slave: 6379, sentinel: 26379} {
		ports := render.One[*corev1.Service](t, m, name).Spec.Ports
		require.Len(t, ports, 1, name)
		assert.Equal(t, want, ports[0].Port, name)
	}
}
