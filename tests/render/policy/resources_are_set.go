package policy

import corev1 "k8s.io/api/core/v1"

// ResourcesAreSet asks for requests, and for a limit of memory. A limit of CPU is up to the user: it delays failovers.
var ResourcesAreSet = Rule{
	ID:        "resources-are-set",
	Title:     "Every container requests CPU and memory, and has a limit of memory that is not below the request",
	Why:       "Without requests a full node starves or evicts Redis first; without a limit a runaway data set takes the whole node with it.",
	Fix:       "Set requests.cpu, requests.memory and limits.memory under resources.",
	Reference: "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
	Check: func(r *Release) (result Result) {
		for _, c := range r.Containers() {
			path := c.Path + ".resources"
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
				result.check(!request.IsZero(), c.Pod.Owner, path+".requests."+string(name), "is not set")
				result.check(limit.IsZero() || request.Cmp(limit) <= 0, c.Pod.Owner, path+".limits."+string(name), "%s is below the request of %s", limit.String(), request.String())
			}
			limit := c.Resources.Limits[corev1.ResourceMemory]
			result.check(!limit.IsZero(), c.Pod.Owner, path+".limits.memory", "is not set")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no requests", Change: func(r *Release) { r.redis().Resources.Requests = nil }},
		{Name: "no request of CPU", Change: func(r *Release) { delete(r.redis().Resources.Requests, corev1.ResourceCPU) }},
		{Name: "no limit", Change: func(r *Release) { r.test().Spec.Containers[0].Resources.Limits = nil }},
		{Name: "a limit below the request", Change: func(r *Release) {
			r.redis().Resources.Requests[corev1.ResourceMemory] = r.redis().Resources.Limits[corev1.ResourceMemory].DeepCopy()
			limit := r.redis().Resources.Limits[corev1.ResourceMemory]
			limit.SetScaled(1, 6)
			r.redis().Resources.Limits[corev1.ResourceMemory] = limit
		}},
	},
}
