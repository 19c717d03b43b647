package policy

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// workload is a Deployment or a StatefulSet with its numbers.
type workload struct {
	deployment  *appsv1.Deployment  // nil for a StatefulSet
	statefulSet *appsv1.StatefulSet // nil for a Deployment

	id       string
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	replicas int
	needed   int // pods without which there is no failover, or nothing to fail over to
	budgets  []*policyv1.PodDisruptionBudget
}

// workloads are the Deployments and the StatefulSets of the release.
func (r *Release) workloads() []workload {
	var found []workload
	for _, d := range render.All[*appsv1.Deployment](r.Manifests) {
		found = append(found, r.counted(workload{
			deployment: d, id: "Deployment/" + d.Name, selector: d.Spec.Selector, template: d.Spec.Template, replicas: replicasOf(d.Spec.Replicas),
		}))
	}
	for _, s := range render.All[*appsv1.StatefulSet](r.Manifests) {
		found = append(found, r.counted(workload{
			statefulSet: s, id: "StatefulSet/" + s.Name, selector: s.Spec.Selector, template: s.Spec.Template, replicas: replicasOf(s.Spec.Replicas),
		}))
	}
	return found
}

// counted adds the pods that are needed, and the budgets of the workload.
func (r *Release) counted(w workload) workload {
	w.needed = 1
	for _, p := range r.Peers() {
		if p.Owner == w.id && p.Sentinel() {
			w.needed = max(w.replicas/2+1, r.setting("LAUNCHER_QUORUM"))
		}
	}
	for _, pdb := range render.All[*policyv1.PodDisruptionBudget](r.Manifests) {
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(w.template.Labels)) {
			w.budgets = append(w.budgets, pdb)
		}
	}
	return w
}

// replicasOf is the number of pods of a workload, which is 1 where it is not set.
func replicasOf(replicas *int32) int {
	if replicas == nil {
		return 1
	}
	return int(*replicas)
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
