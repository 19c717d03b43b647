package policy

import "k8s.io/apimachinery/pkg/labels"

// WorkloadsAreApart is about controllers that fight over pods.
var WorkloadsAreApart = Rule{
	ID:        "workloads-are-apart",
	Title:     "Every Deployment and every StatefulSet selects its own pods, and no others of this or of another release",
	Why:       "Two controllers that take each other's pods for their own delete them in turn.",
	Fix:       "Have app, release and component in the selector and in the labels of the pods.",
	Reference: "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",
	Check: func(r *Release) (result Result) {
		for _, w := range r.workloads() {
			id, selector := w.id, labels.SelectorFromSet(w.selector.MatchLabels)
			for _, p := range r.Pods() {
				own := p.Owner == id
				result.check(selector.Matches(labels.Set(p.Meta.Labels)) == own, id, "spec.selector", "selects %s: %t, want %t", p.Owner, !own, own)
			}
			for _, m := range r.Long {
				for _, p := range podsOf(m) {
					result.check(!selector.Matches(labels.Set(p.Meta.Labels)), id, "spec.selector", "selects %s of another release", p.Owner)
				}
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "all components", Change: func(r *Release) { delete(r.server().Spec.Selector.MatchLabels, "component") }},
		{Name: "all releases", Change: func(r *Release) { delete(r.server().Spec.Selector.MatchLabels, "release") }},
		{Name: "all components for a StatefulSet", Values: withStatefulSet, Change: func(r *Release) { delete(r.set().Spec.Selector.MatchLabels, "component") }},
		{Name: "not its own", Change: func(r *Release) { r.sentinel().Spec.Template.Labels["component"] = "watcher" }},
	},
}
