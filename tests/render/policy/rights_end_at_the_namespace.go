package policy

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RightsEndAtTheNamespace allows a release no more than its namespace.
var RightsEndAtTheNamespace = Rule{
	ID:        "rights-end-at-the-namespace",
	Title:     "Nothing is granted outside the namespace of the release",
	Why:       "Whoever takes over a Redis pod would get at other namespaces, and whoever installs the chart would have to be an administrator of the cluster.",
	Fix:       "Use a Role and a RoleBinding in the namespace of the release.",
	Reference: "https://kubernetes.io/docs/concepts/security/rbac-good-practices/",
	Check: func(r *Release) (result Result) {
		for _, o := range r.Objects {
			switch o.Object.(type) {
			case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
				result.find(o.ID(), "kind", "grants rights in every namespace")
			}
			result.Subjects++
		}
		for _, binding := range render.All[*rbacv1.RoleBinding](r.Manifests) {
			result.check(binding.RoleRef.Kind == "Role", "RoleBinding/"+binding.Name, "roleRef.kind", "is %s: what that grants is not in this chart", binding.RoleRef.Kind)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a ClusterRole", Change: func(r *Release) {
			role := &rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{Kind: "ClusterRole"}}
			r.Objects = append(r.Objects, render.Object{Object: role})
		}},
		{Name: "a ClusterRoleBinding", Change: func(r *Release) {
			binding := &rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{Kind: "ClusterRoleBinding"}}
			r.Objects = append(r.Objects, render.Object{Object: binding})
		}},
		{Name: "a ClusterRole in a namespace", Change: func(r *Release) { first[*rbacv1.RoleBinding](r).RoleRef.Kind = "ClusterRole" }},
	},
}
