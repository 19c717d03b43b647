package policy

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// PodsSpreadOverNodes wants a preference, as a requirement would leave a fourth pod without a node.
var PodsSpreadOverNodes = Rule{
	ID:        "pods-spread-over-nodes",
	Title:     "Servers prefer nodes without another server, and sentinels nodes without another sentinel, and neither insists",
	Why:       "Two of three sentinels on one node are a majority that is lost with it. A requirement leaves a pod pending on a cluster of three nodes whenever one is drained.",
	Fix:       "Prefer podAntiAffinity to pods of the same component on kubernetes.io/hostname with weight 100.",
	Reference: "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#affinity-and-anti-affinity",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			path := p.Path + ".affinity.podAntiAffinity"
			anti := &corev1.PodAntiAffinity{}
			if p.Spec.Affinity != nil && p.Spec.Affinity.PodAntiAffinity != nil {
				anti = p.Spec.Affinity.PodAntiAffinity
			}
			result.check(len(anti.RequiredDuringSchedulingIgnoredDuringExecution) == 0, p.Owner, path, "requires what it should prefer")
			spreads := false
			for _, preferred := range anti.PreferredDuringSchedulingIgnoredDuringExecution {
				term := preferred.PodAffinityTerm
				selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
				if err != nil || term.TopologyKey != corev1.LabelHostname || preferred.Weight != 100 {
					continue
				}
				own := true
				for _, other := range r.Pods() {
					own = own && selector.Matches(labels.Set(other.Meta.Labels)) == (other.Owner == p.Owner)
				}
				spreads = spreads || own
			}
			result.check(spreads, p.Owner, path, "does not keep its own pods apart, and only these")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no affinity", Change: func(r *Release) { r.server().Spec.Template.Spec.Affinity = nil }},
		{Name: "no terms", Change: func(r *Release) {
			r.server().Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}},
		{Name: "zones", Change: func(r *Release) { r.spread().TopologyKey = corev1.LabelTopologyZone }},
		{Name: "other pods", Change: func(r *Release) { r.spread().LabelSelector.MatchLabels["component"] = "sentinel" }},
		{Name: "all pods", Change: func(r *Release) { delete(r.spread().LabelSelector.MatchLabels, "component") }},
		{Name: "a requirement", Change: func(r *Release) {
			r.server().Spec.Template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = []corev1.PodAffinityTerm{*r.spread()}
		}},
	},
}

// spread is the term that keeps servers apart.
func (r *Release) spread() *corev1.PodAffinityTerm {
	return &r.server().Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm
}
