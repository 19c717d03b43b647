package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// MasterHasAnAddress is ADR 0006.
var MasterHasAnAddress = Rule{
	ID:        "master-has-an-address",
	Title:     "Services of the master publish pods that are not ready; the others do not",
	Why:       "The readiness probe lags behind a failover by a second or more, in which the new master would have no address. A slave or sentinel that is not ready has nothing to say.",
	Fix:       "Set publishNotReadyAddresses: true in Services that select the master, false in others.",
	Reference: "docs/adr/0006-publish-not-ready-addresses.md",
	Check: func(r *Release) (result Result) {
		for _, service := range render.All[*corev1.Service](r.Manifests) {
			want := service.Spec.Selector["redis-role"] == "master"
			result.check(service.Spec.PublishNotReadyAddresses == want, "Service/"+service.Name, "spec.publishNotReadyAddresses", "is not %t", want)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "the master waits", Change: func(r *Release) { r.service("-master-svc").Spec.PublishNotReadyAddresses = false }},
		{Name: "slaves do not", Change: func(r *Release) { r.service("-slave-svc").Spec.PublishNotReadyAddresses = true }},
	},
}
