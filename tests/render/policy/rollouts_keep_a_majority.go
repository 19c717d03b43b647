package policy

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutsKeepAMajority is for upgrades what the budgets are for drains.
var RolloutsKeepAMajority = Rule{
	ID:        "rollouts-keep-a-majority",
	Title:     "A rollout starts a server before it stops one, or stops one at a time where the volume stays, and stops a sentinel before it starts one",
	Why:       "With one server fewer the data have one copy fewer while the master moves. A surplus sentinel has no identity of its own and would never become ready.",
	Fix:       "Roll servers with maxSurge 1 and maxUnavailable 0, a StatefulSet with the defaults of RollingUpdate, and sentinels with maxSurge 0 and maxUnavailable 1.",
	Reference: "docs/launcher.md",
	Check: func(r *Release) (result Result) {
		for _, w := range r.workloads() {
			if w.statefulSet != nil {
				w.rollsOneByOne(&result)
				continue
			}
			strategy, path := w.deployment.Spec.Strategy, "spec.strategy"
			if strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || strategy.RollingUpdate == nil {
				result.check(false, w.id, path+".type", "is not RollingUpdate with numbers")
				continue
			}
			result.check(strategy.RollingUpdate.MaxSurge != nil && strategy.RollingUpdate.MaxUnavailable != nil, w.id, path+".rollingUpdate",
				"leaves a number to the default, which depends on the size")
			surge, gone := w.scaled(strategy.RollingUpdate.MaxSurge, true), w.scaled(strategy.RollingUpdate.MaxUnavailable, false)
			sentinels := false
			for _, p := range r.Peers() {
				sentinels = sentinels || p.Owner == w.id && p.Sentinel()
			}
			if sentinels {
				result.check(surge == 0, w.id, path+".rollingUpdate.maxSurge", "is %d, want 0", surge)
				result.check(w.replicas == 1 || w.replicas-gone >= w.needed, w.id, path+".rollingUpdate.maxUnavailable", "stops %d of %d, and %d are needed", gone, w.replicas, w.needed)
				result.check(gone >= 1, w.id, path+".rollingUpdate.maxUnavailable", "is 0, so nothing can roll")
				continue
			}
			result.check(gone == 0, w.id, path+".rollingUpdate.maxUnavailable", "is %d, want 0", gone)
			result.check(surge == 1, w.id, path+".rollingUpdate.maxSurge", "is %d, want 1", surge)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "all at once", Change: func(r *Release) { r.server().Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }},
		{Name: "the defaults", Change: func(r *Release) { r.sentinel().Spec.Strategy = appsv1.DeploymentStrategy{} }},
		{Name: "a server fewer", Change: func(r *Release) { r.server().Spec.Strategy.RollingUpdate.MaxUnavailable = at(intstr.FromInt32(1)) }},
		{Name: "no server more", Change: func(r *Release) { r.server().Spec.Strategy.RollingUpdate.MaxSurge = at(intstr.FromInt32(0)) }},
		{Name: "a sentinel more", Change: func(r *Release) { r.sentinel().Spec.Strategy.RollingUpdate.MaxSurge = at(intstr.FromInt32(1)) }},
		{Name: "as many sentinels more as by default", Change: func(r *Release) { r.sentinel().Spec.Strategy.RollingUpdate.MaxSurge = nil }},
		{Name: "two servers more", Change: func(r *Release) { r.server().Spec.Strategy.RollingUpdate.MaxSurge = at(intstr.FromInt32(2)) }},
		{Name: "two sentinels fewer", Change: func(r *Release) { r.sentinel().Spec.Strategy.RollingUpdate.MaxUnavailable = at(intstr.FromInt32(2)) }},
		{Name: "a StatefulSet that does not roll", Values: withStatefulSet, Change: func(r *Release) {
			r.set().Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		}},
		{Name: "a part of a StatefulSet", Values: withStatefulSet, Change: func(r *Release) {
			r.set().Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: at(int32(1))}
		}},
		{Name: "two of a StatefulSet at once", Values: withStatefulSet, Change: func(r *Release) {
			r.set().Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: at(intstr.FromInt32(2))}
		}},
		{Name: "no sentinel fewer", Change: func(r *Release) { r.sentinel().Spec.Strategy.RollingUpdate.MaxUnavailable = at(intstr.FromInt32(0)) }},
	},
}

// rollsOneByOne checks that a StatefulSet rolls all of its pods, one at a time.
func (w workload) rollsOneByOne(result *Result) {
	strategy := w.statefulSet.Spec.UpdateStrategy
	result.check(strategy.Type == appsv1.RollingUpdateStatefulSetStrategyType, w.id, "spec.updateStrategy.type", "is not RollingUpdate")
	if rolling := strategy.RollingUpdate; rolling != nil {
		result.check(rolling.Partition == nil || *rolling.Partition == 0, w.id, "spec.updateStrategy.rollingUpdate.partition", "leaves pods on the old version")
		result.check(rolling.MaxUnavailable == nil || w.scaled(rolling.MaxUnavailable, false) <= 1, w.id, "spec.updateStrategy.rollingUpdate.maxUnavailable", "stops several pods at once")
	}
}
