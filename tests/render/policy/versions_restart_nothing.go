package policy

import "k8s.io/apimachinery/pkg/api/equality"

// VersionsRestartNothing compares the pods of two chart versions with the same image.
var VersionsRestartNothing = Rule{
	ID:        "versions-restart-nothing",
	Title:     "A new version of the chart alone restarts no pod",
	Why:       "Every restart of the master is a hand-over: a chart that puts its version into the pods costs one for a corrected comment.",
	Fix:       "Keep helm.sh/chart, app.kubernetes.io/version and the like out of pod templates.",
	Reference: "docs/operations.md",
	Check: func(r *Release) (result Result) {
		later := podsOf(r.Later)
		for _, p := range r.Peers() {
			same := false
			for _, other := range later {
				same = same || other.Owner == p.Owner && equality.Semantic.DeepEqual(p.PodTemplate, other.PodTemplate)
			}
			result.check(same, p.Owner, p.Path, "differs in a later version of the chart")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a label with the version", Change: func(r *Release) { r.server().Spec.Template.Labels["helm.sh/chart"] = "redis-ha-0.1.0" }},
		{Name: "an annotation", Change: func(r *Release) { r.sentinel().Spec.Template.Annotations["chart"] = "0.1.0" }},
		{Name: "a variable", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_CHART", "0.1.0") }},
	},
}
