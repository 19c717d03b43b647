package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// Kubernetes refuses to change the selector of a Deployment, so `helm upgrade` of every release that was installed with this one
// fails once it is another one. Literals, because templates that are compared with each other change together. Those of the
// Services are in TestServiceSelectorsAreTheDocumentedOnes.
func TestSelectorsOfDeploymentsAreThoseOfEveryRelease(t *testing.T) {
	m := render.Chart(t, nil)
	for name, component := range map[string]string{"redis-ha-redis-ha-server": "server", "redis-ha-redis-ha-sentinel": "sentinel"} {
		assert.Equal(t, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "redis-ha", "release": "redis-ha", "component": component}},
			render.One[*appsv1.Deployment](t, m, name).Spec.Selector, name)
	}
	m = render.Chart(t, render.YAML(t, "nameOverride: cache"), render.As("shop", render.Namespace))
	for name, component := range map[string]string{"shop-cache-server": "server", "shop-cache-sentinel": "sentinel"} {
		assert.Equal(t, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "cache", "release": "shop", "component": component}},
			render.One[*appsv1.Deployment](t, m, name).Spec.Selector, name)
	}
}
