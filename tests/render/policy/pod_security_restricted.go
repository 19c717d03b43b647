package policy

import (
	"sync"

	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"
)

// PodSecurityRestricted asks the code of the API server's own admission.
var PodSecurityRestricted = Rule{
	ID:        "pod-security-restricted",
	Title:     "Every pod meets the Pod Security Standard restricted",
	Why:       "A namespace that enforces the standard refuses the pods, and a process that breaks out of Redis has more rights than it needs.",
	Fix:       "Set what the message names in the security context of the pod or the container.",
	Reference: "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
	Check: func(r *Release) (result Result) {
		version, err := psaapi.ParseVersion("v" + r.KubeVersion)
		if err != nil {
			result.find("", "", "parse the Kubernetes version %s: %v", r.KubeVersion, err)
			return result
		}
		for _, p := range r.Pods() {
			admission := psa.AggregateCheckResults(podSecurity().EvaluatePod(
				psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: version}, &p.Meta, &p.Spec))
			result.check(admission.Allowed, p.Owner, p.Path, "is refused: %s", admission.ForbiddenDetail())
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "privilege escalation", Change: func(r *Release) { r.redis().SecurityContext.AllowPrivilegeEscalation = nil }},
		{Name: "capabilities", Change: func(r *Release) { r.redis().SecurityContext.Capabilities = nil }},
		{Name: "root", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.SecurityContext.RunAsNonRoot = nil }},
		{Name: "seccomp", Change: func(r *Release) { r.test().Spec.SecurityContext.SeccompProfile = nil }},
		{Name: "host network", Change: func(r *Release) { r.server().Spec.Template.Spec.HostNetwork = true }},
	},
}

var podSecurity = sync.OnceValue(func() psa.Evaluator {
	evaluator, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the checks are a part of the library
	}
	return evaluator
})
