package policy

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// ReleasesAreApart compares two releases of the longest names, which differ in the last letter only.
var ReleasesAreApart = Rule{
	ID:        "releases-are-apart",
	Title:     "Two releases in a namespace share no object and no pod, however long and alike their names are",
	Why:       "Names that are cut to fit become the same: the second installation fails, or its Services send clients to the data of the first.",
	Fix:       "Have the release name in every name and selector, and refuse one that would have to be cut.",
	Reference: "https://helm.sh/docs/chart_best_practices/conventions/",
	Check: func(r *Release) (result Result) {
		account, _ := r.value("serviceAccount", "name").(string)
		releases := append([]*render.Manifests{r.Manifests}, r.Long...)
		for i, m := range releases {
			owner := map[string]bool{}
			for _, o := range m.Objects {
				result.check(!owner[o.ID()], o.ID(), "metadata.name", "is there twice")
				owner[o.ID()] = true
			}
			for j, other := range releases {
				if i == j {
					continue
				}
				for _, o := range other.Objects {
					result.check(!owner[o.ID()] || o.ID() == "ServiceAccount/"+account, o.ID(), "metadata.name", "is the same in another release")
				}
				for _, service := range render.All[*corev1.Service](m) {
					selector := labels.SelectorFromSet(service.Spec.Selector)
					for _, p := range podsOf(other) {
						if !p.Peer {
							continue
						}
						for role, set := range p.Roles() {
							result.check(!selector.Matches(set), "Service/"+service.Name, "spec.selector", "selects the %s of another release", role)
						}
					}
				}
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a fixed name", Change: func(r *Release) {
			for _, m := range r.Long {
				m.Objects[0].Object.SetName("redis")
			}
		}},
		{Name: "twice", Change: func(r *Release) { r.Objects = append(r.Objects, r.Objects[0]) }},
		{Name: "a Service for all", Change: func(r *Release) { delete(r.service("-master-svc").Spec.Selector, "release") }},
	},
}
