package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

func TestRoleBindingJoinsTheRoleAndTheAccountOfThePods(t *testing.T) {
	for name, values := range map[string]string{
		"default":           "{}",
		"named account":     "{serviceAccount: {name: mine}}",
		"existing account":  "{serviceAccount: {create: false, name: mine}}",
		"namespace default": "{serviceAccount: {create: false}}",
		"other full name":   "{fullnameOverride: sessions}",
	} {
		t.Run(name, func(t *testing.T) {
			m := render.Chart(t, render.YAML(t, values))
			bindings, roles := render.All[*rbacv1.RoleBinding](m), render.All[*rbacv1.Role](m)
			require.Len(t, bindings, 1)
			require.Len(t, roles, 1)
			assert.Equal(t, rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: roles[0].Name}, bindings[0].RoleRef)
			require.Len(t, bindings[0].Subjects, 1)
			subject := bindings[0].Subjects[0]
			assert.Equal(t, "ServiceAccount", subject.Kind)
			assert.Equal(t, render.Namespace, subject.Namespace)
			for _, p := range workloadPods(m) {
				assert.Equal(t, p.Spec.ServiceAccountName, subject.Name, p.Owner)
			}
			for _, account := range render.All[*corev1.ServiceAccount](m) {
				assert.Equal(t, account.Name, subject.Name)
			}
		})
	}
}

func TestServiceAccountNames(t *testing.T) {
	for values, want := range map[string]struct {
		used    string
		created bool
	}{
		"{}":                                {render.Fullname, true},
		"{serviceAccount: {name: mine}}":    {"mine", true},
		"{serviceAccount: {create: false}}": {"default", false},
		"{serviceAccount: {create: false, name: mine}}": {"mine", false},
	} {
		m := render.Chart(t, render.YAML(t, values))
		assert.Equal(t, want.used, podSpec(t, m, server).ServiceAccountName, values)
		assert.Equal(t, want.used, podSpec(t, m, sentinel).ServiceAccountName, values)
		if want.created {
			assert.Equal(t, []string{want.used}, names(render.All[*corev1.ServiceAccount](m)), values)
		} else {
			render.None[*corev1.ServiceAccount](t, m)
		}
	}
}

func TestWithoutRBACNoRoleIsMade(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{rbac: {create: false}, serviceAccount: {name: mine}}"))
	render.None[*rbacv1.Role](t, m)
	render.None[*rbacv1.RoleBinding](t, m)
	assert.Equal(t, []string{"mine"}, names(render.All[*corev1.ServiceAccount](m)))
}
