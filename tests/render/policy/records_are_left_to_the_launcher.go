package policy

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RecordsAreLeftToTheLauncher is ADR 0001.
var RecordsAreLeftToTheLauncher = Rule{
	ID:        "records-are-left-to-the-launcher",
	Title:     "The chart makes both Leases of the release, and puts nothing into them",
	Why:       "The launchers keep the record of the master there. An upgrade that writes over it makes them elect anew, without a memory of who was fenced.",
	Fix:       "Render the Leases -master and -sentinels without spec and annotations.",
	Reference: "docs/adr/0001-leases-as-memory.md",
	Check: func(r *Release) (result Result) {
		leases := map[string]bool{}
		for _, lease := range render.All[*coordinationv1.Lease](r.Manifests) {
			leases[lease.Name] = true
			id := "Lease/" + lease.Name
			result.check(equality.Semantic.DeepEqual(lease.Spec, coordinationv1.LeaseSpec{}), id, "spec", "is set")
			result.check(len(lease.Annotations) == 0, id, "metadata.annotations", "are set")
		}
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			prefix, _ := c.Literal("REDIS_CHART_PREFIX")
			for _, name := range []string{prefix + "master", prefix + "sentinels"} {
				result.check(leases[name], p.Owner, c.Path+".env[REDIS_CHART_PREFIX]", "there is no Lease %s", name)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a holder", Change: func(r *Release) { first[*coordinationv1.Lease](r).Spec.HolderIdentity = at("nobody") }},
		{Name: "a record", Change: func(r *Release) {
			first[*coordinationv1.Lease](r).Annotations = map[string]string{"redis-ha/record": "{}"}
		}},
		{Name: "one missing", Change: func(r *Release) { r.remove("Lease/" + render.Fullname + "-sentinels") }},
		{Name: "another prefix", Change: func(r *Release) { setEnv(r.redis(), "REDIS_CHART_PREFIX", "other-") }},
	},
}
