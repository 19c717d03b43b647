package policy

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// NetworkLetsNeededLinksThrough tries links between pods, clients and the rest of the world against the NetworkPolicies.
var NetworkLetsNeededLinksThrough = Rule{
	ID:        "network-lets-needed-links-through",
	Title:     "The network lets every needed link through, and a NetworkPolicy nothing else",
	Why:       "A link that is missing shows in the first failover: a vote, a copy of the data or a label does not arrive. One too many is a way out for whoever takes over Redis.",
	Fix:       "Set networkPolicy.apiServerPorts to the ports of the API server, and see docs/launcher.md for who talks to whom.",
	Reference: "https://kubernetes.io/docs/concepts/services-networking/network-policies/",
	Check: func(r *Release) (result Result) {
		policies := r.networkPolicies()
		for _, l := range r.links() {
			passes := passes(policies, l)
			if l.needed {
				result.check(passes, r.policyID(), "spec", "stops %s", l)
			} else if len(policies) > 0 {
				result.check(!passes, r.policyID(), "spec", "lets %s through", l)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "the pods are not selected", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().PodSelector.MatchLabels["release"] = "other" }},
		{Name: "incoming only", Values: withNetworkPolicy, Change: func(r *Release) {
			r.networkPolicy().PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		}},
		{Name: "nothing out", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress = nil }},
		{Name: "nothing in", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Ingress = nil }},
		{Name: "no clients", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Ingress = r.networkPolicy().Ingress[1:] }},
		{Name: "no status", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Ingress = r.networkPolicy().Ingress[:1] }},
		{Name: "status for everybody", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Ingress[1].From = nil }},
		{Name: "status for the namespace", Values: withNetworkPolicy, Change: func(r *Release) {
			r.networkPolicy().Ingress[1].From[0].PodSelector = &metav1.LabelSelector{}
		}},
		{Name: "every port for clients", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Ingress[0].Ports = nil }},
		{Name: "no votes", Values: withNetworkPolicy, Change: func(r *Release) {
			r.networkPolicy().Egress[0].Ports = r.networkPolicy().Egress[0].Ports[:1]
		}},
		{Name: "no names", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress[1].Ports = r.networkPolicy().Egress[1].Ports[1:] }},
		{Name: "no API server", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress = r.networkPolicy().Egress[:2] }},
		{Name: "every port outside", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress[2].Ports = nil }},
		{Name: "Redis of others", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress[0].To = nil }},
		{Name: "a range of ports", Values: withNetworkPolicy, Change: func(r *Release) { r.networkPolicy().Egress[2].Ports[0].EndPort = at(int32(65535)) }},
		{Name: "no webhook", Values: withWebhook, Change: func(r *Release) { r.remove("NetworkPolicy/" + render.Fullname + "-webhook") }},
		{Name: "another webhook", Values: withWebhook, Change: func(r *Release) { r.webhookPolicy().Egress[0].Ports[0].Port.IntVal = 443 }},
		{Name: "a webhook for servers", Values: withWebhook, Change: func(r *Release) {
			delete(r.webhookPolicy().PodSelector.MatchLabels, "component")
		}},
		{Name: "a webhook on every port", Values: withWebhook, Change: func(r *Release) { r.webhookPolicy().Egress[0].Ports = nil }},
		{Name: "no webhook of a Secret", Values: "{networkPolicy: {enabled: true, apiServerPorts: [6443]}, notifications: {webhook: {existingSecret: chat}}}", Change: func(r *Release) {
			r.webhookPolicy().Egress = nil
		}},
		{Name: "no backups", Values: withBackup, Change: func(r *Release) {
			r.networkPolicy().Ingress[0].From = r.networkPolicy().Ingress[0].From[:2]
		}},
		{Name: "no bucket", Values: withBackup, Change: func(r *Release) { r.backupPolicy().Egress[2].Ports = r.backupPolicy().Egress[2].Ports[:2] }},
		{Name: "a backup that goes everywhere", Values: withBackup, Change: func(r *Release) { r.backupPolicy().Egress[0].To = nil }},
		{Name: "a backup without a policy", Values: withBackup, Change: func(r *Release) { r.remove("NetworkPolicy/" + render.Fullname + backupSuffix) }},
		{Name: "a backup that asks sentinels", Values: withBackup, Change: func(r *Release) {
			r.backupPolicy().Egress[0].Ports = append(r.backupPolicy().Egress[0].Ports, r.networkPolicy().Egress[0].Ports[1])
			delete(r.backupPolicy().Egress[0].To[0].PodSelector.MatchLabels, "component")
		}},
		{Name: "a backup that others reach", Values: withBackup, Change: func(r *Release) { r.backupPolicy().Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }},
		{Name: "a backup that servers do not reach", Values: withBackup, Change: func(r *Release) { r.backupPolicy().Ingress = nil }},
		{Name: "a backup that sentinels reach", Values: withBackup, Change: func(r *Release) {
			delete(r.backupPolicy().Ingress[0].From[0].PodSelector.MatchLabels, "component")
			delete(r.restorePolicy().PodSelector.MatchLabels, "component")
		}},
		{Name: "servers that do not reach a backup", Values: withBackup, Change: func(r *Release) { r.remove("NetworkPolicy/" + render.Fullname + "-restore") }},
		{Name: "servers that reach every launcher", Values: withBackup, Change: func(r *Release) { r.restorePolicy().Egress[0].To = nil }},
		{Name: "a restore that does not reach the bucket", Values: withRestore, Change: func(r *Release) { r.remove("NetworkPolicy/" + render.Fullname + "-restore") }},
		{Name: "a restore for sentinels", Values: withRestore, Change: func(r *Release) {
			delete(r.restorePolicy().PodSelector.MatchLabels, "component")
		}},
		{Name: "no external master", Values: withExternalMaster, Change: func(r *Release) { r.remove("NetworkPolicy/" + render.Fullname + "-external") }},
		{Name: "an external master for sentinels", Values: withExternalMaster, Change: func(r *Release) {
			delete(r.externalPolicy().PodSelector.MatchLabels, "component")
		}},
		{Name: "an external master on every port", Values: withExternalMaster, Change: func(r *Release) { r.externalPolicy().Egress[0].Ports = nil }},
		{Name: "no Helm test", Values: "networkPolicy: {enabled: true, clients: [{podSelector: {matchLabels: {app: cart}}}]}", Change: func(r *Release) {
			r.networkPolicy().Ingress[0].From = r.networkPolicy().Ingress[0].From[:1]
		}},
	},
}

const (
	withRestore        = "{networkPolicy: {enabled: true}, restore: {from: latest}, backup: {s3: {endpoint: 'https://s3.example.com:9000', bucket: backups, existingSecret: keys}}}"
	withNetworkPolicy  = "networkPolicy: {enabled: true}"
	withExternalMaster = "{networkPolicy: {enabled: true}, externalMaster: {enabled: true, host: old, port: 6380}}"
	withWebhook        = "{networkPolicy: {enabled: true}, notifications: {webhook: {url: 'https://example.com:8443/'}}}"
)

func (r *Release) networkPolicies() []*networkingv1.NetworkPolicy {
	var found []*networkingv1.NetworkPolicy
	for _, o := range r.Objects {
		if policy, ok := o.Object.(*networkingv1.NetworkPolicy); ok {
			found = append(found, policy)
		}
	}
	return found
}

func (r *Release) networkPolicy() *networkingv1.NetworkPolicySpec {
	return &first[*networkingv1.NetworkPolicy](r).Spec
}

// webhookPolicy is the one that adds the way of the sentinels to the webhook.
func (r *Release) webhookPolicy() *networkingv1.NetworkPolicySpec {
	return &render.One[*networkingv1.NetworkPolicy](must{}, r.Manifests, render.Fullname+"-webhook").Spec
}

// backupPolicy is the one of the pods that make backups.
func (r *Release) backupPolicy() *networkingv1.NetworkPolicySpec {
	return &render.One[*networkingv1.NetworkPolicy](must{}, r.Manifests, render.Fullname+backupSuffix).Spec
}

// restorePolicy is the one that adds the ways of the servers to backups.
func (r *Release) restorePolicy() *networkingv1.NetworkPolicySpec {
	return &render.One[*networkingv1.NetworkPolicy](must{}, r.Manifests, render.Fullname+"-restore").Spec
}

// externalPolicy is the one that adds the way of the servers to the external master.
func (r *Release) externalPolicy() *networkingv1.NetworkPolicySpec {
	return &render.One[*networkingv1.NetworkPolicy](must{}, r.Manifests, render.Fullname+"-external").Spec
}

func (r *Release) policyID() string {
	for _, policy := range r.networkPolicies() {
		return "NetworkPolicy/" + policy.Name
	}
	return "NetworkPolicy/"
}
