package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

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
}

// `helm upgrade --reuse-values` renders a new chart with the old one's defaults.
func TestReleaseFromBeforeNetworkPoliciesIsUpgradedWithItsOwnValues(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "networkPolicy: null"))
	render.None[*networkingv1.NetworkPolicy](t, m)
}
