package policy

// RoleIsLeftToTheLauncher is why a new pod gets no traffic before it has a role.
var RoleIsLeftToTheLauncher = Rule{
	ID:        "role-is-left-to-the-launcher",
	Title:     "No pod is born with redis-role, podIP or runID",
	Why:       "Every pod of the template would be a master from its first second on, with no data, and clients would write to it.",
	Fix:       "Remove these labels from the template; the launcher writes them.",
	Reference: "docs/labels.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			for _, key := range []string{"redis-role", "podIP", "runID"} {
				_, isLabel := p.Meta.Labels[key]
				_, isAnnotation := p.Meta.Annotations[key]
				result.check(!isLabel, p.Owner, p.MetaPath()+".labels."+key, "is set by the template")
				result.check(!isAnnotation, p.Owner, p.MetaPath()+".annotations."+key, "is set by the template")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a master by birth", Change: func(r *Release) { r.server().Spec.Template.Labels["redis-role"] = "master" }},
		{Name: "a run ID", Change: func(r *Release) { r.sentinel().Spec.Template.Labels["runID"] = "" }},
		{Name: "an annotation", Change: func(r *Release) { r.server().Spec.Template.Annotations["podIP"] = "10.0.0.1" }},
	},
}
