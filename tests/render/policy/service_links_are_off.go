package policy

// ServiceLinksAreOff keeps the Services of others out of the environment.
var ServiceLinksAreOff = Rule{
	ID:        "service-links-are-off",
	Title:     "No pod gets variables from the Services of its namespace",
	Why:       "A Service called redis-sentinel sets REDIS_SENTINEL_SERVICE_HOST in every pod of its namespace, and the servers would ask the sentinels of somebody else.",
	Fix:       "Set enableServiceLinks: false.",
	Reference: "https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			links := p.Spec.EnableServiceLinks
			result.check(links != nil && !*links, p.Owner, p.Path+".enableServiceLinks", "is not false")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "unset", Change: func(r *Release) { r.server().Spec.Template.Spec.EnableServiceLinks = nil }},
		{Name: "on", Change: func(r *Release) { r.test().Spec.EnableServiceLinks = at(true) }},
	},
}
