package policy

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// UserIsFixed pins the user that owns the files on the volumes.
var UserIsFixed = Rule{
	ID:        "user-is-fixed",
	Title:     "Every pod runs as the user and the groups of podSecurityContext, which own its volumes, and never as root",
	Why:       "With another user than before a pod may be unable to read the data that it wrote; changing the owner of every file of a large volume delays each start by minutes.",
	Fix:       "Set runAsUser, runAsGroup and fsGroup to the numbers of the values, none where these are null, and fsGroupChangePolicy to that of the values.",
	Reference: "docs/adr/0046-the-account-changes-labels-only.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			path := p.Path + ".securityContext"
			s := p.Spec.SecurityContext
			if s == nil {
				s = &corev1.PodSecurityContext{}
			}
			for field, id := range map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup, "fsGroup": s.FSGroup} {
				want := number(r.value("podSecurityContext", field))
				result.check(numberOf(id) == want, p.Owner, path+"."+field, "is %s, want %s", numberOf(id), want)
			}
			result.check(s.RunAsUser == nil || *s.RunAsUser > 0, p.Owner, path+".runAsUser", "is root")
			result.check(s.FSGroup == nil || *s.FSGroup > 0, p.Owner, path+".fsGroup", "is the group of root")
			want, _ := r.value("podSecurityContext", "fsGroupChangePolicy").(string)
			result.check(s.FSGroupChangePolicy != nil && string(*s.FSGroupChangePolicy) == want, p.Owner, path+".fsGroupChangePolicy", "is not %s", want)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no user", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.RunAsUser = nil }},
		{Name: "no group", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.SecurityContext.RunAsGroup = nil }},
		{Name: "the group of root", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.FSGroup = at(int64(0)) }},
		{Name: "every file", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.FSGroupChangePolicy = nil }},
		{Name: "no context", Change: func(r *Release) { r.test().Spec.SecurityContext = nil }},
		{Name: "a user that is left to the cluster", Values: "podSecurityContext: {runAsUser: null}", Change: func(r *Release) {
			r.server().Spec.Template.Spec.SecurityContext.RunAsUser = at(int64(10001))
		}},
		{Name: "one pod with another user", Values: "podSecurityContext: {runAsUser: 1000650000}", Change: func(r *Release) {
			r.test().Spec.SecurityContext.RunAsUser = at(int64(10001))
		}},
	},
}

// number is a number of the values as text, "none" where it is null. Helm reads it as one of several types.
func number(value any) string {
	if value == nil {
		return "none"
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(encoded)
}

// numberOf gives a number as text, and "none" for nil.
func numberOf(id *int64) string {
	if id == nil {
		return "none"
	}
	return fmt.Sprint(*id)
}
