package policy

import corev1 "k8s.io/api/core/v1"

// UserIsFixed pins the user that owns the files on the volumes.
var UserIsFixed = Rule{
	ID:        "user-is-fixed",
	Title:     "Every pod runs as a fixed user and group, which own its volumes",
	Why:       "With the user of the image a new image may be unable to read the data that the old one wrote; changing the owner of every file of a large volume delays each start by minutes.",
	Fix:       "Set runAsUser, runAsGroup and fsGroup to the numbers of the image, and fsGroupChangePolicy to OnRootMismatch.",
	Reference: "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			path := p.Path + ".securityContext"
			s := p.Spec.SecurityContext
			if s == nil {
				s = &corev1.PodSecurityContext{}
			}
			for field, id := range map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup, "fsGroup": s.FSGroup} {
				result.check(id != nil && *id > 0, p.Owner, path+"."+field, "is not the number of an unprivileged user or group")
			}
			result.check(s.FSGroupChangePolicy != nil && *s.FSGroupChangePolicy == corev1.FSGroupChangeOnRootMismatch,
				p.Owner, path+".fsGroupChangePolicy", "is not OnRootMismatch")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no user", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.RunAsUser = nil }},
		{Name: "no group", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.SecurityContext.RunAsGroup = nil }},
		{Name: "the group of root", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.FSGroup = at(int64(0)) }},
		{Name: "every file", Change: func(r *Release) { r.server().Spec.Template.Spec.SecurityContext.FSGroupChangePolicy = nil }},
		{Name: "no context", Change: func(r *Release) { r.test().Spec.SecurityContext = nil }},
	},
}
