package policy

import corev1 "k8s.io/api/core/v1"

// VariablesAreUnique is what server-side apply insists on.
var VariablesAreUnique = Rule{
	ID:        "variables-are-unique",
	Title:     "Every variable of a container is set once, and by itself",
	Why:       "Of two values the last one counts, and an upgrade by apply drops one of them; variables from a whole ConfigMap may set anything.",
	Fix:       "Set each variable once under env, and use no envFrom.",
	Reference: "https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/",
	Check: func(r *Release) (result Result) {
		for _, c := range r.Containers() {
			seen := map[string]bool{}
			for _, e := range c.Env {
				result.check(!seen[e.Name], c.Pod.Owner, c.Path+".env["+e.Name+"]", "is set twice")
				seen[e.Name] = true
			}
			result.check(len(c.EnvFrom) == 0, c.Pod.Owner, c.Path+".envFrom", "is used")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "twice", Change: func(r *Release) { r.redis().Env = append(r.redis().Env, r.redis().Env[0]) }},
		{Name: "from a map", Change: func(r *Release) { r.redis().EnvFrom = append(r.redis().EnvFrom, envFrom) }},
	},
}

var envFrom = corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "all"}}}
