package policy

import (
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// workload is a Deployment with its numbers.
type workload struct {
	*appsv1.Deployment
	id       string
	replicas int
	needed   int // pods without which there is no failover, or nothing to fail over to
	budgets  []*policyv1.PodDisruptionBudget
}

// workloads are the Deployments of the release.
func (r *Release) workloads() []workload {
	var found []workload
	for _, d := range render.All[*appsv1.Deployment](r.Manifests) {
		w := workload{Deployment: d, id: "Deployment/" + d.Name, replicas: replicasOf(d), needed: 1}
		for _, p := range r.Peers() {
			if p.Owner == w.id && p.Sentinel() {
				w.needed = max(w.replicas/2+1, p.Containers()[0].Number("LAUNCHER_QUORUM"))
			}
		}
		for _, pdb := range render.All[*policyv1.PodDisruptionBudget](r.Manifests) {
			selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
			if err == nil && selector.Matches(labels.Set(d.Spec.Template.Labels)) {
				w.budgets = append(w.budgets, pdb)
			}
		}
		found = append(found, w)
	}
	return found
}

// disrupted is how many pods a budget lets go at the same time. Kubernetes rounds both percentages up.
func (w workload) disrupted(pdb *policyv1.PodDisruptionBudget) int {
	if pdb.Spec.MinAvailable != nil {
		return max(0, w.replicas-w.scaled(pdb.Spec.MinAvailable, true))
	}
	return min(w.replicas, w.scaled(pdb.Spec.MaxUnavailable, true))
}

// scaled is a number of pods, which may be given as a percentage; 0 where it is neither.
func (w workload) scaled(value *intstr.IntOrString, up bool) int {
	if value == nil {
		return 0
	}
	number, err := intstr.GetScaledValueFromIntOrPercent(value, w.replicas, up)
	if err != nil {
		return 0
	}
	return number
}
