package policy

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RightsReachThePods follows the way from the Role to the pods.
var RightsReachThePods = Rule{
	ID:        "rights-reach-the-pods",
	Title:     "Each RoleBinding joins a Role and the account of the pods that it is for, and nobody else",
	Why:       "A name that differs in one of four places leaves the launchers without rights: no pod is labelled, and no Service has an endpoint.",
	Fix:       "Use the names of the Role and of the pods' service account in the RoleBinding.",
	Reference: "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
	Check: func(r *Release) (result Result) {
		roles := map[string]bool{}
		for _, role := range render.All[*rbacv1.Role](r.Manifests) {
			roles[role.Name] = true
		}
		bound := map[string][]string{} // roles by account
		for _, binding := range render.All[*rbacv1.RoleBinding](r.Manifests) {
			id := "RoleBinding/" + binding.Name
			result.check(roles[binding.RoleRef.Name], id, "roleRef.name", "there is no Role %q", binding.RoleRef.Name)
			result.check(len(binding.Subjects) == 1, id, "subjects", "there are %d, want the account of the pods alone", len(binding.Subjects))
			for _, subject := range binding.Subjects {
				result.check(subject.Kind == "ServiceAccount" && subject.Namespace == r.Namespace, id, "subjects["+subject.Name+"]", "is not a ServiceAccount of the namespace %s", r.Namespace)
				bound[subject.Name] = append(bound[subject.Name], binding.RoleRef.Name)
			}
		}
		accounts := map[string]bool{}
		for _, account := range render.All[*corev1.ServiceAccount](r.Manifests) {
			accounts[account.Name] = true
		}
		for _, p := range r.Pods() {
			path, name := p.Path+".serviceAccountName", p.Spec.ServiceAccountName
			result.check(!p.CallsAPI() || len(roles) == 0 || slices.Contains(bound[name], r.roleOf(p)), p.Owner, path, "no RoleBinding joins the account %q and the Role %q", name, r.roleOf(p))
			result.check(!p.CallsAPI() || len(accounts) == 0 || accounts[name], p.Owner, path, "there is no ServiceAccount %q", name)
			result.check(p.CallsAPI() || len(bound[name]) == 0, p.Owner, path, "the account %q has rights that this pod does not use", name)
			result.check(len(accounts) == 0 || len(bound[name]) < 2, p.Owner, path, "the account %q has the rights of other pods, too", name)
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
		{Name: "the backups have the rights of servers", Values: withBackup, Change: func(r *Release) {
			r.backup().Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName = r.server().Spec.Template.Spec.ServiceAccountName
		}},
		{Name: "the servers have the rights of backups, too", Values: withBackup, Change: func(r *Release) {
			for _, binding := range render.All[*rbacv1.RoleBinding](r.Manifests) {
				binding.Subjects[0].Name = r.server().Spec.Template.Spec.ServiceAccountName
			}
		}},
		{Name: "no binding", Change: func(r *Release) { r.remove("RoleBinding/" + render.Fullname) }},
	},
}

// roleOf names the Role with the rights of a pod.
func (r *Release) roleOf(p Pod) string {
	prefix, _ := p.Containers()[0].Literal("REDIS_CHART_PREFIX")
	fullname := strings.TrimSuffix(prefix, "-")
	if p.Backup {
		return fullname + backupSuffix
	}
	return fullname
}
