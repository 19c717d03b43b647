package policy

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RightsReachThePods follows the way from the Role to the pods.
var RightsReachThePods = Rule{
	ID:        "rights-reach-the-pods",
	Title:     "The RoleBinding joins the Role and the account of servers and sentinels, and nobody else",
	Why:       "A name that differs in one of four places leaves the launchers without rights: no pod is labelled, and no Service has an endpoint.",
	Fix:       "Use the names of the Role and of the pods' service account in the RoleBinding.",
	Reference: "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
	Check: func(r *Release) (result Result) {
		roles := map[string]bool{}
		for _, role := range render.All[*rbacv1.Role](r.Manifests) {
			roles[role.Name] = true
		}
		bound := map[string]bool{}
		for _, binding := range render.All[*rbacv1.RoleBinding](r.Manifests) {
			id := "RoleBinding/" + binding.Name
			result.check(roles[binding.RoleRef.Name], id, "roleRef.name", "there is no Role %q", binding.RoleRef.Name)
			result.check(len(binding.Subjects) == 1, id, "subjects", "there are %d, want the account of the pods alone", len(binding.Subjects))
			for _, subject := range binding.Subjects {
				result.check(subject.Kind == "ServiceAccount" && subject.Namespace == r.Namespace, id, "subjects["+subject.Name+"]", "is not a ServiceAccount of the namespace %s", r.Namespace)
				bound[subject.Name] = true
			}
		}
		accounts := map[string]bool{}
		for _, account := range render.All[*corev1.ServiceAccount](r.Manifests) {
			accounts[account.Name] = true
		}
		for _, p := range r.Pods() {
			path, name := p.Path+".serviceAccountName", p.Spec.ServiceAccountName
			result.check(!p.Peer || len(roles) == 0 || bound[name], p.Owner, path, "no RoleBinding names the account %q", name)
			result.check(!p.Peer || len(accounts) == 0 || accounts[name], p.Owner, path, "there is no ServiceAccount %q", name)
			result.check(p.Peer || !bound[name], p.Owner, path, "the account %q has rights that this pod does not use", name)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "another Role", Change: func(r *Release) { first[*rbacv1.RoleBinding](r).RoleRef.Name = "other" }},
		{Name: "another account", Change: func(r *Release) { first[*rbacv1.RoleBinding](r).Subjects[0].Name = "other" }},
		{Name: "another namespace", Change: func(r *Release) { first[*rbacv1.RoleBinding](r).Subjects[0].Namespace = "other" }},
		{Name: "a group", Change: func(r *Release) {
			b := first[*rbacv1.RoleBinding](r)
			b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: "Group", Name: "system:authenticated"})
		}},
		{Name: "an account that is not there", Change: func(r *Release) { first[*corev1.ServiceAccount](r).Name = "other" }},
		{Name: "the Helm test has the rights", Change: func(r *Release) {
			r.test().Spec.ServiceAccountName = r.server().Spec.Template.Spec.ServiceAccountName
		}},
		{Name: "no binding", Change: func(r *Release) { r.remove("RoleBinding/" + render.Fullname) }},
	},
}
