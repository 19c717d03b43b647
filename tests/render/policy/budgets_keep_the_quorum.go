package policy

import "k8s.io/apimachinery/pkg/util/intstr"

// BudgetsKeepTheQuorum bounds what may be evicted at the same time.
var BudgetsKeepTheQuorum = Rule{
	ID:        "budgets-keep-the-quorum",
	Title:     "Evictions leave a quorum of sentinels, and a server to hand over to",
	Why:       "A drain of several nodes at once takes all copies of the data, or the sentinels that would have noticed.",
	Fix:       "Give every workload of several pods a budget with maxUnavailable 1, and leave sentinel.quorum to its default.",
	Reference: "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",
	Check: func(r *Release) (result Result) {
		for _, w := range r.workloads() {
			gone := w.replicas
			for _, pdb := range w.budgets {
				gone = min(gone, w.disrupted(pdb))
			}
			if w.replicas > 1 {
				result.check(w.replicas-gone >= w.needed, w.id, "spec.replicas", "%d of %d pods may be evicted at the same time, and %d are needed", gone, w.replicas, w.needed)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no budget", Change: func(r *Release) { r.remove("PodDisruptionBudget/redis-ha-redis-ha-sentinel") }},
		{Name: "two at once", Change: func(r *Release) { r.budget().Spec.MaxUnavailable = at(intstr.FromInt32(2)) }},
		{Name: "half of them", Change: func(r *Release) { r.budget().Spec.MaxUnavailable = at(intstr.FromString("60%")) }},
		{Name: "of others", Change: func(r *Release) { r.budget().Spec.Selector.MatchLabels["component"] = "other" }},
		{Name: "all servers", Change: func(r *Release) { r.remove("PodDisruptionBudget/redis-ha-redis-ha-server") }},
		{Name: "a quorum of all", Change: func(r *Release) {
			r.setSetting("LAUNCHER_QUORUM", "3")
		}},
	},
}
