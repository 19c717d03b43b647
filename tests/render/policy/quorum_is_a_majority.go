package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// QuorumIsAMajority does the arithmetic of Sentinel.
var QuorumIsAMajority = Rule{
	ID:        "quorum-is-a-majority",
	Title:     "The quorum is a majority of an odd number of sentinels, and the launchers know the numbers that run",
	Why:       "Below a majority both sides of a partition may each promote a master. A launcher with a wrong number believes a minority, or waits for pods that never come.",
	Fix:       "Leave sentinel.quorum to its default, and set an odd replicas.sentinels.",
	Reference: "https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/",
	Check: func(r *Release) (result Result) {
		running := map[string]int{}
		for _, w := range r.workloads() {
			running[w.id] = w.replicas
		}
		for _, m := range render.All[*corev1.ConfigMap](r.Manifests) {
			quorum, sentinels := r.setting("LAUNCHER_QUORUM"), r.setting("LAUNCHER_SENTINELS")
			path, id := "data.settings", "ConfigMap/"+m.Name
			result.check(quorum > sentinels/2 && quorum <= sentinels, id, path, "LAUNCHER_QUORUM %d is no majority of %d", quorum, sentinels)
			result.check(sentinels%2 == 1, id, path, "LAUNCHER_SENTINELS %d is not odd", sentinels)
			for _, p := range r.Peers() {
				name := "LAUNCHER_SERVERS"
				if p.Sentinel() {
					name = "LAUNCHER_SENTINELS"
				}
				result.check(r.setting(name) == running[p.Owner], id, path, "%s is %d, but %d run", name, r.setting(name), running[p.Owner])
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "one of three", Change: func(r *Release) { r.setSetting("LAUNCHER_QUORUM", "1") }},
		{Name: "four of three", Change: func(r *Release) { r.setSetting("LAUNCHER_QUORUM", "4") }},
		{Name: "an even number", Change: func(r *Release) {
			r.sentinel().Spec.Replicas = at(int32(4))
			r.setSetting("LAUNCHER_SENTINELS", "4")
			r.setSetting("LAUNCHER_QUORUM", "3")
		}},
		{Name: "more run", Change: func(r *Release) { r.sentinel().Spec.Replicas = at(int32(5)) }},
		{Name: "fewer servers of a StatefulSet", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.Replicas = at(int32(2)) }},
		{Name: "fewer servers", Change: func(r *Release) { r.server().Spec.Replicas = at(int32(2)) }},
	},
}
