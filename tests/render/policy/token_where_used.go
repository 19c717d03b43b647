package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// TokenWhereUsed keeps the credentials of the API away from what does not call it.
var TokenWhereUsed = Rule{
	ID:        "token-where-used",
	Title:     "A service account token is mounted into servers, sentinels and pods that make backups, and nowhere else",
	Why:       "A token that nobody uses is one that somebody can take. Without one the launcher cannot label its pod, and no Service finds it.",
	Fix:       "Set automountServiceAccountToken: true in pods with a launcher, false in other pods and in the ServiceAccount.",
	Reference: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			mounts := p.Spec.AutomountServiceAccountToken
			result.check(mounts != nil && *mounts == p.CallsAPI(), p.Owner, p.Path+".automountServiceAccountToken", "is not %t", p.CallsAPI())
		}
		for _, account := range render.All[*corev1.ServiceAccount](r.Manifests) {
			mounts := account.AutomountServiceAccountToken
			result.check(mounts != nil && !*mounts, "ServiceAccount/"+account.Name, "automountServiceAccountToken", "is not false, so every pod that uses the account gets a token")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "the Helm test has one", Change: func(r *Release) { r.test().Spec.AutomountServiceAccountToken = at(true) }},
		{Name: "the Helm test is silent", Change: func(r *Release) { r.test().Spec.AutomountServiceAccountToken = nil }},
		{Name: "the servers have none", Change: func(r *Release) { r.server().Spec.Template.Spec.AutomountServiceAccountToken = at(false) }},
		{Name: "the backups have none", Values: withBackup, Change: func(r *Release) {
			r.backup().Spec.JobTemplate.Spec.Template.Spec.AutomountServiceAccountToken = at(false)
		}},
		{Name: "the account", Change: func(r *Release) { first[*corev1.ServiceAccount](r).AutomountServiceAccountToken = nil }},
	},
}
