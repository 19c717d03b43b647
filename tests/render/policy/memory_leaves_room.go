package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// MemoryLeavesRoom is about what the launcher makes of the memory limit.
var MemoryLeavesRoom = Rule{
	ID:        "memory-leaves-room",
	Title:     "The launcher of a server knows the memory limit of its container, and gives Redis three quarters of it at most",
	Why:       "A Redis that fills its container is killed, and the slave that takes over has as much data: it is killed next.",
	Fix:       "Take LAUNCHER_MEMORY_LIMIT_BYTES from limits.memory of the container itself, and set LAUNCHER_MAXMEMORY_PERCENT from 0 to 75.",
	Reference: "docs/operations.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			if p.Sentinel() {
				continue
			}
			c := p.Containers()[0]
			own := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
				from := limitOf(&e)
				return from != nil && from.Resource == "limits.memory" && from.Divisor.IsZero() && (from.ContainerName == "" || from.ContainerName == c.Name)
			})
			result.check(own, p.Owner, c.Path+".env[LAUNCHER_MEMORY_LIMIT_BYTES]", "is not the memory limit of the container in bytes")
			percent := c.Number("LAUNCHER_MAXMEMORY_PERCENT")
			result.check(percent >= 0 && percent <= 75, p.Owner, c.Path+".env[LAUNCHER_MAXMEMORY_PERCENT]", "is not set from 0 to 75")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no limit", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_MEMORY_LIMIT_BYTES", "") }},
		{Name: "a limit that is written down", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_MEMORY_LIMIT_BYTES", "734003200") }},
		{Name: "the request", Change: func(r *Release) { limitOf(r.redisLimit()).Resource = "requests.memory" }},
		{Name: "in mebibytes", Change: func(r *Release) { limitOf(r.redisLimit()).Divisor = resource.MustParse("1Mi") }},
		{Name: "of another container", Change: func(r *Release) { limitOf(r.redisLimit()).ContainerName = "sidecar" }},
		{Name: "no share", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_MAXMEMORY_PERCENT", "") }},
		{Name: "too large a share", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_MAXMEMORY_PERCENT", "76") }},
		{Name: "less than nothing", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_MAXMEMORY_PERCENT", "-1") }},
	},
}

// limitOf is the source of the variable with the memory limit; nil if the variable is another one or has no such source.
func limitOf(e *corev1.EnvVar) *corev1.ResourceFieldSelector {
	if e.Name != "LAUNCHER_MEMORY_LIMIT_BYTES" || e.ValueFrom == nil {
		return nil
	}
	return e.ValueFrom.ResourceFieldRef
}

// redisLimit is the variable of the servers with the memory limit.
func (r *Release) redisLimit() *corev1.EnvVar {
	env := r.redis().Env
	return &env[slices.IndexFunc(env, func(e corev1.EnvVar) bool { return limitOf(&e) != nil })]
}
