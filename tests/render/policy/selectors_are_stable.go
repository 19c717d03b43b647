package policy

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// SelectorsAreStable keeps upgrades possible.
var SelectorsAreStable = Rule{
	ID:        "selectors-are-stable",
	Title:     "Selectors are the documented labels, and the same in every version of the chart",
	Why:       "The selector of a Deployment or a StatefulSet cannot be changed, so the upgrade fails; a Service with a new selector does not find the pods of the old version.",
	Fix:       "Select on app, release, component, redis-node and redis-role only; a NetworkPolicy for pods that are no peers on app.kubernetes.io/name, instance and component.",
	Reference: "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#label-selector-updates",
	Check: func(r *Release) (result Result) {
		later := map[string]map[string]string{}
		for _, o := range r.Later.Objects {
			later[o.ID()], _ = selectorOf(o)
		}
		stable := []string{"app", "release", "component", "redis-node", "redis-role"}
		noPeers := []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
		for _, o := range r.Objects {
			selector, selects := selectorOf(o)
			if !selects {
				continue
			}
			_, network := o.Object.(*networkingv1.NetworkPolicy)
			for key := range selector {
				result.check(slices.Contains(stable, key) || network && slices.Contains(noPeers, key), o.ID(), "spec.selector", "selects on %s", key)
			}
			result.check(maps.Equal(selector, later[o.ID()]), o.ID(), "spec.selector", "is %v, but %v in a later version", selector, later[o.ID()])
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "the version", Change: func(r *Release) {
			r.Later.Objects = nil
		}},
		{Name: "the chart's label", Change: func(r *Release) { r.server().Spec.Selector.MatchLabels["helm.sh/chart"] = "redis-ha-0.1.0" }},
		{Name: "a Service", Change: func(r *Release) { r.service("").Spec.Selector["app.kubernetes.io/name"] = "redis-ha" }},
		{Name: "a budget", Change: func(r *Release) {
			first[*policyv1.PodDisruptionBudget](r).Spec.Selector.MatchLabels["name"] = "x"
		}},
	},
}

// selectorOf is the selector of an object, and whether it has one.
func selectorOf(o render.Object) (map[string]string, bool) {
	switch object := o.Object.(type) {
	case *appsv1.Deployment:
		return object.Spec.Selector.MatchLabels, true
	case *appsv1.StatefulSet:
		return object.Spec.Selector.MatchLabels, true
	case *corev1.Service:
		return object.Spec.Selector, true
	case *policyv1.PodDisruptionBudget:
		return object.Spec.Selector.MatchLabels, true
	case *networkingv1.NetworkPolicy:
		return object.Spec.PodSelector.MatchLabels, true
	}
	return nil, false
}
