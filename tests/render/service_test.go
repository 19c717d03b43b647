package chart_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// withRole are the labels that a pod of a Deployment has once its launcher has added the role.
func withRole(d *appsv1.Deployment, role string) labels.Set {
	set := maps.Clone(d.Spec.Template.Labels)
	set["redis-role"] = role
	return set
}

func TestServicesSelectOnlyPodsOfTheirRole(t *testing.T) {
	roles := map[string]string{master: "master", render.Fullname: "master", slave: "slave", sentinel: "sentinel"}
	forServices := func(t *testing.T, m *render.Manifests, fullname string) {
		pods := map[string]labels.Set{}
		servers := render.One[*appsv1.Deployment](t, m, fullname+"-server")
		pods["master"], pods["slave"] = withRole(servers, "master"), withRole(servers, "slave")
		pods["sentinel"] = withRole(render.One[*appsv1.Deployment](t, m, fullname+"-sentinel"), "sentinel")
		pods["without a role"] = labels.Set(servers.Spec.Template.Labels)
		for name, role := range roles {
			service := render.One[*corev1.Service](t, m, fullname+name[len(render.Fullname):])
			selector := labels.SelectorFromSet(service.Spec.Selector)
			for pod, set := range pods {
				assert.Equal(t, pod == role, selector.Matches(set), "%s and a pod that is %s", service.Name, pod)
			}
		}
	}
	t.Run("default", func(t *testing.T) { forServices(t, render.Chart(t, nil), render.Fullname) })
	t.Run("other names", func(t *testing.T) {
		forServices(t, render.Chart(t, render.Values{"nameOverride": "cache", "fullnameOverride": "sessions"}), "sessions")
	})
}

func TestServicesOfOneReleaseIgnoreTheNext(t *testing.T) {
	m, other := render.Chart(t, nil), render.Chart(t, nil, render.As("x"+render.Release, render.Namespace))
	for _, service := range render.All[*corev1.Service](m) {
		for _, role := range []string{"master", "slave", "sentinel"} {
			for _, d := range render.All[*appsv1.Deployment](other) {
				assert.False(t, labels.SelectorFromSet(service.Spec.Selector).Matches(withRole(d, role)), "%s and %s", service.Name, d.Name)
			}
		}
	}
}

func TestServiceSelectorsAreTheDocumentedOnes(t *testing.T) {
	m := render.Chart(t, nil)
	for name, role := range map[string]string{master: "master", render.Fullname: "master", slave: "slave"} {
		assert.Equal(t, map[string]string{"app": "redis-ha", "release": "redis-ha", "redis-node": "true", "redis-role": role},
			render.One[*corev1.Service](t, m, name).Spec.Selector, name)
	}
	assert.Equal(t, map[string]string{"app": "redis-ha", "release": "redis-ha", "redis-role": "sentinel"},
		render.One[*corev1.Service](t, m, sentinel).Spec.Selector)
}

func TestServicePortsReachTheContainerPorts(t *testing.T) {
	ports := map[string]int32{master: 6379, render.Fullname: 6379, slave: 6379, sentinel: 26379}
	m := render.Chart(t, nil)
	services := render.All[*corev1.Service](m)
	require.Len(t, services, len(ports))
	for _, service := range services {
		workload := server
		if service.Name == sentinel {
			workload = sentinel
		}
		container := render.One[*appsv1.Deployment](t, m, workload).Spec.Template.Spec.Containers[0]
		require.Len(t, service.Spec.Ports, 1, service.Name)
		port := service.Spec.Ports[0]
		assert.Equal(t, ports[service.Name], port.Port, service.Name)
		assert.NotEmpty(t, port.Name, service.Name)
		assert.Equal(t, corev1.ProtocolTCP, port.Protocol, service.Name)
		require.NotNil(t, port.AppProtocol, service.Name)
		assert.Equal(t, "tcp", *port.AppProtocol, "a service mesh must not guess: %s", service.Name)
		assert.Equal(t, ports[service.Name], containerPort(container, port.TargetPort.String()), service.Name)
	}
}

// containerPort is the number of a named port of a container, 0 if it has none.
func containerPort(c corev1.Container, name string) int32 {
	for _, port := range c.Ports {
		if port.Name == name {
			return port.ContainerPort
		}
	}
	return 0
}

// The launcher moves the label; a readiness probe that lags behind must not leave clients without a master.
func TestOnlyTheMasterServicesPublishPodsThatAreNotReady(t *testing.T) {
	m := render.Chart(t, nil)
	for name, want := range map[string]bool{master: true, render.Fullname: true, slave: false, sentinel: false} {
		assert.Equal(t, want, render.One[*corev1.Service](t, m, name).Spec.PublishNotReadyAddresses, name)
	}
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
