package policy

import (
	"k8s.io/apimachinery/pkg/labels"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// WorkloadsAreApart is about controllers that fight over pods.
var WorkloadsAreApart = Rule{
	ID:        "workloads-are-apart",
	Title:     "Every Deployment selects its own pods, and no others of this or of another release",
	Why:       "Two controllers that take each other's pods for their own delete them in turn.",
	Fix:       "Have app, release and component in the selector and in the labels of the pods.",
	Reference: "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",
	Check: func(r *Release) (result Result) {
		for _, d := range render.All[*appsv1.Deployment](r.Manifests) {
			id := "Deployment/" + d.Name
			selector := labels.SelectorFromSet(d.Spec.Selector.MatchLabels)
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
		{Name: "not its own", Change: func(r *Release) { r.sentinel().Spec.Template.Labels["component"] = "watcher" }},
	},
}
