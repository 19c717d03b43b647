package policy

// RootIsReadOnly is not part of the Pod Security Standards.
var RootIsReadOnly = Rule{
	ID:        "root-is-read-only",
	Title:     "The root file system of every container is read-only",
	Why:       "Whoever gets a command into the container can change its programs, and a file that fills the node's disk takes other pods with it.",
	Fix:       "Set readOnlyRootFilesystem to true, and mount a volume where the program has to write.",
	Reference: "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
	Check: func(r *Release) (result Result) {
		for _, c := range r.Containers() {
			s := c.SecurityContext
			result.check(s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem,
				c.Pod.Owner, c.Path+".securityContext.readOnlyRootFilesystem", "is not true")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "unset", Change: func(r *Release) { r.redis().SecurityContext.ReadOnlyRootFilesystem = nil }},
		{Name: "false", Change: func(r *Release) { r.test().Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = at(false) }},
		{Name: "no context", Change: func(r *Release) { r.redis().SecurityContext = nil }},
	},
}
