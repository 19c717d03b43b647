package chart_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// outside are the ports that pods of all components reach anywhere, apart from those for names, and those that sentinels
// reach beside them.
func outside(t *testing.T, values string) (all, sentinels []int) {
	t.Helper()
	m := render.Chart(t, render.YAML(t, values))
	for _, policy := range render.All[*networkingv1.NetworkPolicy](m) {
		egress := policy.Spec.Egress
		last := egress[len(egress)-1]
		require.Empty(t, last.To)
		var ports []int
		for _, port := range last.Ports {
			ports = append(ports, port.Port.IntValue())
		}
		if policy.Name == render.Fullname {
			all = ports
			continue
		}
		require.Equal(t, render.Fullname+"-webhook", policy.Name)
		sentinels = ports
	}
	return all, sentinels
}

func TestNetworkPolicyIsMadeOnRequestOnly(t *testing.T) {
	render.None[*networkingv1.NetworkPolicy](t, render.Chart(t, nil))
	render.None[*networkingv1.NetworkPolicy](t, render.Chart(t, render.YAML(t, "notifications: {webhook: {url: 'https://example.com'}}")))
	for values, want := range map[string][]int{
		"networkPolicy: {enabled: true}":                                    {443, 6443},
		"networkPolicy: {enabled: true, apiServerPorts: [16443]}":           {16443},
		"networkPolicy: {enabled: true, apiServerPorts: [6443, 443, 6443]}": {6443, 443},
	} {
		all, sentinels := outside(t, values)
		assert.Equal(t, want, all, values)
		assert.Empty(t, sentinels, values)
	}
}

// `--set` gives other numbers than a values file, and adds its own to a list of the file.
func TestNetworkPolicyNamesAPortOnceWhateverItsType(t *testing.T) {
	m := render.Chart(t, render.Values{"networkPolicy": map[string]any{"enabled": true, "apiServerPorts": []any{float64(443), int64(443), int64(6443)}}})
	ports := render.One[*networkingv1.NetworkPolicy](t, m, render.Fullname).Spec.Egress[2].Ports
	require.Len(t, ports, 2)
	assert.Equal(t, intstr.FromInt32(443), *ports[0].Port)
	assert.Equal(t, intstr.FromInt32(6443), *ports[1].Port)
}

func TestNetworkPolicyLetsSentinelsThroughToTheWebhook(t *testing.T) {
	for webhook, want := range map[string]int{
		"url: 'https://example.com/a:1'":      443,
		"url: 'https://example.com?a:1'":      443,
		"url: 'https://example.com#a:1'":      443,
		"url: 'http://example.com'":           80,
		"url: 'https://example.com:8443/a'":   8443,
		"url: 'https://example.com:8443?a=b'": 8443,
		"url: 'https://example.com:8443/%20'": 8443,
		"url: 'http://[fd00::1]:8080/a?b=c'":  8080,
		"url: 'http://[fd00::1]'":             80,
		"existingSecret: chat":                443,
	} {
		all, sentinels := outside(t, "{networkPolicy: {enabled: true, apiServerPorts: [6443]}, notifications: {webhook: {"+webhook+"}}}")
		assert.Equal(t, []int{6443}, all, webhook)
		assert.Equal(t, []int{want}, sentinels, webhook)
	}
}

func TestWebhookPolicyIsAboutSentinelsOnly(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{networkPolicy: {enabled: true}, notifications: {webhook: {existingSecret: chat}}}"))
	policy := render.One[*networkingv1.NetworkPolicy](t, m, render.Fullname+"-webhook")
	assert.Equal(t, "sentinel", policy.Labels["app.kubernetes.io/component"])
	spec := policy.Spec
	selector := labels.SelectorFromSet(spec.PodSelector.MatchLabels)
	for _, p := range m.PodTemplates() {
		assert.Equal(t, p.Owner == "Deployment/"+sentinel, selector.Matches(labels.Set(p.Meta.Labels)), p.Owner)
	}
	assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, spec.PolicyTypes, "what comes in is left to the other policy")
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

func TestNetworkPolicyLetsScrapersReadTheMetricsOnly(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "networkPolicy: {enabled: true, scrapers: [{namespaceSelector: {matchLabels: {team: monitoring}}}]}"))
	ingress := render.All[*networkingv1.NetworkPolicy](m)[0].Spec.Ingress
	require.Len(t, ingress, 3, "clients, peers and scrapers")
	scrapers := ingress[2]
	require.Len(t, scrapers.Ports, 1)
	assert.Equal(t, intstr.FromInt32(8080), *scrapers.Ports[0].Port)
	require.Len(t, scrapers.From, 1)
	assert.Equal(t, map[string]string{"team": "monitoring"}, scrapers.From[0].NamespaceSelector.MatchLabels)
	assert.Contains(t, render.Refused(t, render.YAML(t, "networkPolicy: {scrapers: [{podSelector: {}}]}")), "networkPolicy.scrapers: has no effect")
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

// anyRange is an address range, often next to or inside another one, or that of an IPv4 address in the form of an IPv6 one.
func anyRange(six bool) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		length, octets := 4, []byte{10, 0, 255}
		mapped := six && rapid.Bool().Draw(t, "mapped")
		if six && !mapped {
			length, octets = 16, []byte{0, 0, 0xfd}
		}
		address, ok := netip.AddrFromSlice(rapid.SliceOfN(rapid.SampledFrom(octets), length, length).Draw(t, "address"))
		require.True(t, ok)
		if mapped {
			address = netip.AddrFrom16(address.As16())
		}
		found := netip.PrefixFrom(address, rapid.IntRange(0, address.BitLen()).Draw(t, "bits"))
		if rapid.Bool().Draw(t, "from its first address") {
			found = found.Masked()
		}
		return found
	})
}

// spelled is a range as the schema takes it: without dots in an IPv6 address.
func spelled(p netip.Prefix) string {
	if b := p.Addr().As16(); p.Addr().Is4In6() {
		return fmt.Sprintf("::ffff:%x:%x/%d", int(b[12])<<8|int(b[13]), int(b[14])<<8|int(b[15]), p.Bits())
	}
	return p.String()
}

// ownProblem is what Kubernetes has against a range, as the chart says it; empty if nothing.
func ownProblem(p netip.Prefix) string {
	switch {
	case p != p.Masked():
		return spelled(p) + " begins with an address inside of the range"
	case p.Addr().Is4In6():
		return spelled(p) + " is a range of IPv4 addresses"
	}
	return ""
}

// Kubernetes wants a range to begin with its first address, and an exception to be a part of its range, and not all of it.
func TestPropertyRangesAndExceptionsAreAcceptedExactlyWhenKubernetesTakesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, part := anyRange(rapid.Bool().Draw(t, "six")).Draw(t, "range"), anyRange(rapid.Bool().Draw(t, "six, too")).Draw(t, "exception")
		if rapid.Bool().Draw(t, "inside") && part.Addr().BitLen() == whole.Addr().BitLen() {
			part = netip.PrefixFrom(whole.Addr(), part.Bits())
		}
		_, err := render.Try(render.Values{"networkPolicy": map[string]any{"enabled": true, "clients": []any{
			map[string]any{"ipBlock": map[string]any{"cidr": spelled(whole), "except": []any{spelled(part)}}},
		}}})
		legal := true
		for path, problem := range map[string]string{"cidr": ownProblem(whole), "except": ownProblem(part)} {
			if problem != "" {
				legal = false
				require.ErrorContains(t, err, "networkPolicy.clients[].ipBlock."+path+": "+problem)
			}
		}
		if !whole.Contains(part.Addr()) || part.Bits() <= whole.Bits() {
			legal = false
			require.ErrorContains(t, err, "networkPolicy.clients[].ipBlock.except: "+spelled(part)+" is not a part of "+spelled(whole))
		}
		if legal {
			require.NoError(t, err)
		}
	})
}

// What the schema takes for an address range is one.
func TestPropertyAddressRangesOfTheSchemaAreRanges(t *testing.T) {
	peer := readSchema(t).Properties["networkPolicy"].Properties["clients"].Items
	pattern := peer.Properties["ipBlock"].Properties["cidr"].Pattern
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(pattern).Draw(t, "range")
		_, err := netip.ParsePrefix(text)
		require.NoError(t, err)
	})
}

// `helm upgrade --reuse-values` renders a new chart with the old one's defaults.
func TestReleaseFromBeforeNetworkPoliciesIsUpgradedWithItsOwnValues(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "networkPolicy: null"))
	render.None[*networkingv1.NetworkPolicy](t, m)
}
