package policy

import corev1 "k8s.io/api/core/v1"

// QuorumIsAMajority does the arithmetic of Sentinel.
var QuorumIsAMajority = Rule{
	ID:        "quorum-is-a-majority",
	Title:     "The quorum is a majority of an odd number of sentinels, and every pod knows the numbers that run",
	Why:       "Below a majority both sides of a partition may each promote a master. A launcher with a wrong number believes a minority, or waits for pods that never come.",
	Fix:       "Leave sentinel.quorum to its default, and set an odd replicas.sentinels.",
	Reference: "https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/",
	Check: func(r *Release) (result Result) {
		running := map[string]int{}
		for _, w := range r.workloads() {
			running[w.id] = w.replicas
		}
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			quorum, sentinels := c.Number("LAUNCHER_QUORUM"), c.Number("LAUNCHER_SENTINELS")
			result.check(quorum > sentinels/2 && quorum <= sentinels, p.Owner, c.Path+".env[LAUNCHER_QUORUM]", "%d is no majority of %d", quorum, sentinels)
			result.check(sentinels%2 == 1, p.Owner, c.Path+".env[LAUNCHER_SENTINELS]", "%d is not odd", sentinels)
			for _, other := range r.Peers() {
				name := "LAUNCHER_SERVERS"
				if other.Sentinel() {
					name = "LAUNCHER_SENTINELS"
				}
				result.check(c.Number(name) == running[other.Owner], p.Owner, c.Path+".env["+name+"]", "is %d, but %d run", c.Number(name), running[other.Owner])
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "one of three", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_QUORUM", "1") }},
		{Name: "four of three", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_QUORUM", "4") }},
		{Name: "an even number", Change: func(r *Release) {
			r.sentinel().Spec.Replicas = at(int32(4))
			for _, c := range []*corev1.Container{r.redis(), &r.sentinel().Spec.Template.Spec.Containers[0]} {
				setEnv(c, "LAUNCHER_SENTINELS", "4")
				setEnv(c, "LAUNCHER_QUORUM", "3")
			}
		}},
		{Name: "more run", Change: func(r *Release) { r.sentinel().Spec.Replicas = at(int32(5)) }},
		{Name: "fewer servers of a StatefulSet", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.Replicas = at(int32(2)) }},
		{Name: "fewer servers", Change: func(r *Release) { r.server().Spec.Replicas = at(int32(2)) }},
	},
}
