package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// ServicesFindOneRole matches selectors with the labels that pods have, and those that their launchers write.
var ServicesFindOneRole = Rule{
	ID:        "services-find-one-role",
	Title:     "Every Service selects pods of exactly one role by labels that they have or that the launcher writes, and every role has a Service",
	Why:       "A selector that matches nothing is a name without an address. One that matches two roles sends writes to a slave, or Redis commands to a sentinel.",
	Fix:       "Select on the labels of the pod template and on redis-role.",
	Reference: "docs/labels.md",
	Check: func(r *Release) (result Result) {
		found := map[string]bool{}
		for _, service := range render.All[*corev1.Service](r.Manifests) {
			selector := labels.SelectorFromSet(service.Spec.Selector)
			var roles []string
			for _, p := range r.Peers() {
				for role, set := range p.Roles() {
					if selector.Matches(set) {
						roles = append(roles, role)
						found[role] = true
					}
				}
			}
			slices.Sort(roles)
			result.check(len(roles) == 1 && len(service.Spec.Selector) > 0, "Service/"+service.Name, "spec.selector", "selects pods that are %q, want those of one role", roles)
			for _, p := range r.Pods() {
				result.check(!selector.Matches(labels.Set(p.Meta.Labels)), "Service/"+service.Name, "spec.selector", "selects %s before its launcher has found out its role", p.Owner)
			}
		}
		for _, p := range r.Peers() {
			for role := range p.Roles() {
				result.check(found[role], p.Owner, p.MetaPath()+".labels", "no Service finds the pods that are %s", role)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a label that no pod has", Change: func(r *Release) { r.service("-master-svc").Spec.Selector["tier"] = "cache" }},
		{Name: "a role that there is not", Change: func(r *Release) { r.service("-slave-svc").Spec.Selector["redis-role"] = "replica" }},
		{Name: "every server", Change: func(r *Release) { delete(r.service("-slave-svc").Spec.Selector, "redis-role") }},
		{Name: "no selector", Change: func(r *Release) { r.service("-sentinel").Spec.Selector = nil }},
		{Name: "pods renamed", Change: func(r *Release) { r.server().Spec.Template.Labels["redis-node"] = "false" }},
		{Name: "no Service for slaves", Change: func(r *Release) { r.remove("Service/" + render.Fullname + "-slave-svc") }},
	},
}
