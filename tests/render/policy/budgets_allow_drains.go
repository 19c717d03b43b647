package policy

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// BudgetsAllowDrains bounds PodDisruptionBudgets from below, BudgetsKeepTheQuorum from above.
var BudgetsAllowDrains = Rule{
	ID:        "budgets-allow-drains",
	Title:     "No PodDisruptionBudget blocks a drain",
	Why:       "A budget that allows nothing holds up the upgrade of the cluster until somebody deletes it, by night; so does one that waits for pods that are broken anyway.",
	Fix:       "Allow one pod at a time, set unhealthyPodEvictionPolicy: AlwaysAllow, and have no budget for a single pod.",
	Reference: "https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
	Check: func(r *Release) (result Result) {
		for _, w := range r.workloads() {
			for _, pdb := range w.budgets {
				id := "PodDisruptionBudget/" + pdb.Name
				result.check(w.disrupted(pdb) >= 1, id, "spec", "allows no pod of %s to be evicted", w.id)
				always := pdb.Spec.UnhealthyPodEvictionPolicy
				result.check(always != nil && *always == policyv1.AlwaysAllow, id, "spec.unhealthyPodEvictionPolicy", "is not AlwaysAllow")
			}
			result.check(len(w.budgets) <= 1, w.id, "spec", "has %d budgets: no eviction works with more than one", len(w.budgets))
			result.check(w.replicas > 1 || len(w.budgets) == 0, w.id, "spec.replicas", "is a single pod with a budget, which can only be in the way")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "none may go", Change: func(r *Release) { r.budget().Spec.MaxUnavailable = at(intstr.FromInt32(0)) }},
		{Name: "all must stay", Change: func(r *Release) {
			r.budget().Spec.MaxUnavailable, r.budget().Spec.MinAvailable = nil, at(intstr.FromString("100%"))
		}},
		{Name: "broken pods hold it up", Change: func(r *Release) { r.budget().Spec.UnhealthyPodEvictionPolicy = nil }},
		{Name: "two budgets", Change: func(r *Release) {
			second := r.budget().DeepCopy()
			second.Name += "-too"
			r.Objects = append(r.Objects, render.Object{Object: second})
		}},
		{Name: "a single pod", Change: func(r *Release) { r.server().Spec.Replicas = at(int32(1)) }},
	},
}

func (r *Release) budget() *policyv1.PodDisruptionBudget {
	return first[*policyv1.PodDisruptionBudget](r)
}
