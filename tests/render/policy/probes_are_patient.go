package policy

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ProbesArePatient bounds the times of the probes from both sides.
var ProbesArePatient = Rule{
	ID:        "probes-are-patient",
	Title:     "Servers and sentinels have three probes that ask the launcher, notice within seconds, and survive a slow one",
	Why:       "A liveness probe that kills Redis while it loads its data or the node is busy turns a slow second into a failover, and a failover into a loop.",
	Fix:       "Ask /livez and /readyz at the launcher's port; let liveness fail for 30 s and startup for 60 s before the kubelet kills.",
	Reference: "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			for _, want := range []struct {
				name, page string
				seconds    int32 // that it may fail before something happens
				probe      *corev1.Probe
			}{
				{"startupProbe", "/livez", 60, c.StartupProbe},
				{"livenessProbe", "/livez", 30, c.LivenessProbe},
				{"readinessProbe", "/readyz", 3, c.ReadinessProbe},
			} {
				path, probe := c.Path+"."+want.name, want.probe
				if probe == nil {
					probe = &corev1.Probe{}
				}
				result.check(probe.HTTPGet != nil && probe.HTTPGet.Path == want.page, p.Owner, path+".httpGet.path", "does not ask the launcher for %s", want.page)
				result.check(probe.PeriodSeconds*probe.FailureThreshold >= want.seconds, p.Owner, path+".failureThreshold", "gives up before %d s", want.seconds)
				result.check(probe.InitialDelaySeconds == 0, p.Owner, path+".initialDelaySeconds", "delays every start")
				result.check(probe.PeriodSeconds <= 5 && (probe.PeriodSeconds <= 1 || !strings.HasPrefix(want.name, "read")), p.Owner, path+".periodSeconds", "notices too late")
				result.check(want.name == "startupProbe" || probe.TimeoutSeconds >= 2, p.Owner, path+".timeoutSeconds", "is below 2 s")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no liveness", Change: func(r *Release) { r.redis().LivenessProbe = nil }},
		{Name: "no readiness", Change: func(r *Release) { r.redis().ReadinessProbe = nil }},
		{Name: "liveness asks for readiness", Change: func(r *Release) { r.redis().LivenessProbe.HTTPGet.Path = "/readyz" }},
		{Name: "one failure kills", Change: func(r *Release) { r.redis().LivenessProbe.FailureThreshold = 1 }},
		{Name: "a delay", Change: func(r *Release) { r.redis().ReadinessProbe.InitialDelaySeconds = 10 }},
		{Name: "readiness every ten seconds", Change: func(r *Release) { r.redis().ReadinessProbe.PeriodSeconds = 10 }},
		{Name: "readiness every three seconds", Change: func(r *Release) { r.redis().ReadinessProbe.PeriodSeconds = 3 }},
		{Name: "a second for an answer", Change: func(r *Release) { r.redis().LivenessProbe.TimeoutSeconds = 1 }},
		{Name: "a short start", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.Containers[0].StartupProbe.FailureThreshold = 5 }},
	},
}
