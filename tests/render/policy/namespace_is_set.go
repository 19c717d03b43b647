package policy

// NamespaceIsSet is for those who render first and apply later.
var NamespaceIsSet = Rule{
	ID:        "namespace-is-set",
	Title:     "Every object names the namespace of the release",
	Why:       "helm template piped into kubectl apply puts an object without a namespace into whichever one is current.",
	Fix:       "Set metadata.namespace to the namespace of the release.",
	Reference: "https://helm.sh/docs/chart_best_practices/templates/",
	Check: func(r *Release) (result Result) {
		for _, o := range r.Objects {
			result.check(o.Object.GetNamespace() == r.Namespace, o.ID(), "metadata.namespace", "is %q, want %q", o.Object.GetNamespace(), r.Namespace)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "none", Change: func(r *Release) { r.server().Namespace = "" }},
		{Name: "a fixed one", Change: func(r *Release) { r.test().Namespace = "default" }},
	},
}
