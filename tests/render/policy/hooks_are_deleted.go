package policy

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// HooksAreDeleted is about what Helm makes and forgets.
var HooksAreDeleted = Rule{
	ID:        "hooks-are-deleted",
	Title:     "Every hook ends by itself and is deleted, by the next run at the latest",
	Why:       "helm test fails the second time where its pod is still there, and helm uninstall leaves behind what no release owns.",
	Fix:       "Set helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded, restartPolicy: Never and activeDeadlineSeconds.",
	Reference: "https://helm.sh/docs/topics/charts_hooks/",
	Check: func(r *Release) (result Result) {
		for _, o := range r.Objects {
			if !o.Hook {
				continue
			}
			path := "metadata.annotations[helm.sh/hook-delete-policy]"
			policies := strings.Split(o.Object.GetAnnotations()["helm.sh/hook-delete-policy"], ",")
			for _, want := range []string{"before-hook-creation", "hook-succeeded"} {
				result.check(slices.Contains(policies, want), o.ID(), path, "lacks %s", want)
			}
			if pod, ok := o.Object.(*corev1.Pod); ok {
				result.check(pod.Spec.RestartPolicy == corev1.RestartPolicyNever, o.ID(), "spec.restartPolicy", "is not Never")
				result.check(pod.Spec.ActiveDeadlineSeconds != nil, o.ID(), "spec.activeDeadlineSeconds", "is not set")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no policy", Change: func(r *Release) { delete(r.test().Annotations, "helm.sh/hook-delete-policy") }},
		{Name: "half a policy", Change: func(r *Release) { r.test().Annotations["helm.sh/hook-delete-policy"] = "hook-succeeded" }},
		{Name: "again and again", Change: func(r *Release) { r.test().Spec.RestartPolicy = corev1.RestartPolicyAlways }},
		{Name: "for ever", Change: func(r *Release) { r.test().Spec.ActiveDeadlineSeconds = nil }},
	},
}
