package policy

// GraceExceedsBudget compares two numbers that live far apart.
var GraceExceedsBudget = Rule{
	ID:        "grace-exceeds-budget",
	Title:     "The grace period is longer than the launcher's shutdown budget, and that is long enough for a hand-over",
	Why:       "A kubelet that kills first turns a planned hand-over into a crash of the master, with the writes of the last second lost.",
	Fix:       "Keep terminationGracePeriodSeconds 5 s above LAUNCHER_SHUTDOWN_BUDGET_SECONDS, and that at 10 or more.",
	Reference: "docs/launcher.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			budget := c.Number("LAUNCHER_SHUTDOWN_BUDGET_SECONDS")
			grace := int64(30) // what Kubernetes takes without a number
			if p.Spec.TerminationGracePeriodSeconds != nil {
				grace = *p.Spec.TerminationGracePeriodSeconds
			}
			result.check(grace >= int64(budget)+5, p.Owner, p.Path+".terminationGracePeriodSeconds", "%d s are not 5 s more than the budget of %d s", grace, budget)
			result.check(budget >= 10, p.Owner, c.Path+".env[LAUNCHER_SHUTDOWN_BUDGET_SECONDS]", "%d s are too short", budget)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no grace period", Change: func(r *Release) { r.server().Spec.Template.Spec.TerminationGracePeriodSeconds = nil }},
		{Name: "a second less", Change: func(r *Release) { *r.sentinel().Spec.Template.Spec.TerminationGracePeriodSeconds -= 1 }},
		{Name: "no budget", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_SHUTDOWN_BUDGET_SECONDS", "") }},
		{Name: "a short budget", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_SHUTDOWN_BUDGET_SECONDS", "3") }},
	},
}
