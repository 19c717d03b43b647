package chart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// outside are the ports that pods reach anywhere, apart from those for names.
func outside(t *testing.T, values string) []int {
	t.Helper()
	policies := render.All[*networkingv1.NetworkPolicy](render.Chart(t, render.YAML(t, values)))
	require.Len(t, policies, 1)
	egress := policies[0].Spec.Egress
	last := egress[len(egress)-1]
	require.Empty(t, last.To)
	var ports []int
	for _, port := range last.Ports {
		ports = append(ports, port.Port.IntValue())
	}
	return ports
}

func TestNetworkPolicyIsMadeOnRequestOnly(t *testing.T) {
	render.None[*networkingv1.NetworkPolicy](t, render.Chart(t, nil))
	assert.Equal(t, []int{443, 6443}, outside(t, "networkPolicy: {enabled: true}"))
	assert.Equal(t, []int{16443}, outside(t, "networkPolicy: {enabled: true, apiServerPorts: [16443]}"))
}

func TestNetworkPolicyLetsTheWebhookThrough(t *testing.T) {
	for webhook, want := range map[string]int{
		"url: 'https://example.com/a:1'":     443,
		"url: 'http://example.com'":          80,
		"url: 'https://example.com:8443/a'":  8443,
		"url: 'http://[fd00::1]:8080/a?b=c'": 8080,
		"url: 'http://[fd00::1]'":            80,
		"existingSecret: chat":               443,
	} {
		assert.Equal(t, []int{6443, want}, outside(t, "{networkPolicy: {enabled: true, apiServerPorts: [6443]}, notifications: {webhook: {"+webhook+"}}}"), webhook)
	}
}

func TestNetworkPolicyLimitsClients(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "networkPolicy: {enabled: true, clients: [{podSelector: {matchLabels: {app: cart}}}]}"))
	from := render.All[*networkingv1.NetworkPolicy](m)[0].Spec.Ingress[0].From
	require.Len(t, from, 2, "the client and the Helm test")
	assert.Equal(t, map[string]string{"app": "cart"}, from[0].PodSelector.MatchLabels)
	selector := labels.SelectorFromSet(from[1].PodSelector.MatchLabels)
	for _, p := range m.PodTemplates() {
		assert.Equal(t, strings.HasPrefix(p.Owner, "Pod/"), selector.Matches(labels.Set(p.Meta.Labels)), "%s as a client", p.Owner)
	}
	other := render.Chart(t, nil, render.As("another", render.Namespace))
	for _, p := range other.PodTemplates() {
		assert.False(t, selector.Matches(labels.Set(p.Meta.Labels)), "%s of another release as a client", p.Owner)
	}
}

// A port that is left out means every port.
func TestNetworkPolicyOpensNamedPortsOnly(t *testing.T) {
	spec := render.All[*networkingv1.NetworkPolicy](render.Chart(t, render.YAML(t, "networkPolicy: {enabled: true}")))[0].Spec
	redis, sentinel, launcher := intstr.FromInt32(6379), intstr.FromInt32(26379), intstr.FromInt32(8080)
	for what, rule := range map[string]struct {
		ports []networkingv1.NetworkPolicyPort
		want  []intstr.IntOrString
	}{
		"clients":       {spec.Ingress[0].Ports, []intstr.IntOrString{redis, sentinel}},
		"from peers":    {spec.Ingress[1].Ports, []intstr.IntOrString{redis, sentinel, launcher}},
		"to peers":      {spec.Egress[0].Ports, []intstr.IntOrString{redis, sentinel, launcher}},
		"names":         {spec.Egress[1].Ports, []intstr.IntOrString{intstr.FromInt32(53), intstr.FromInt32(53)}},
		"to API server": {spec.Egress[2].Ports, []intstr.IntOrString{intstr.FromInt32(443), intstr.FromInt32(6443)}},
	} {
		var ports []intstr.IntOrString
		for _, port := range rule.ports {
			require.NotNil(t, port.Port, what)
			require.NotNil(t, port.Protocol, what)
			ports = append(ports, *port.Port)
		}
		assert.Equal(t, rule.want, ports, what)
	}
}

// `helm upgrade --reuse-values` renders a new chart with the old one's defaults.
func TestReleaseFromBeforeNetworkPoliciesIsUpgradedWithItsOwnValues(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "networkPolicy: null"))
	render.None[*networkingv1.NetworkPolicy](t, m)
}
