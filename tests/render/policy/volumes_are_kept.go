package policy

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// VolumesAreKept is about servers whose volumes outlive their pods. DataIsNotShared wants the volumes themselves.
var VolumesAreKept = Rule{
	ID:    "volumes-are-kept",
	Title: "The launchers know whether the volumes of the servers outlive their pods, and a StatefulSet starts its servers at the same time and stays upgradable",
	Why: "A launcher that takes a kept volume for a new one elects a master without the data on it. Servers that start one after the other wait for each other. " +
		"Kubernetes refuses to change the claims, the Service or the pod management of a StatefulSet.",
	Fix:       "Set LAUNCHER_VOLUMES_KEPT for a StatefulSet only, podManagementPolicy: Parallel, and nothing in the claims that a later version of the chart changes.",
	Reference: "docs/adr/0036-what-data-are-worth-belongs-to-the-volume.md",
	Check: func(r *Release) (result Result) {
		services, later := map[string]bool{}, map[string]*appsv1.StatefulSet{}
		for _, s := range render.All[*corev1.Service](r.Manifests) {
			services[s.Name] = true
		}
		for _, s := range render.All[*appsv1.StatefulSet](r.Later) {
			later["StatefulSet/"+s.Name] = s
		}
		for _, w := range r.workloads() {
			kept, _ := (Container{Container: w.template.Spec.Containers[0]}).Literal("LAUNCHER_VOLUMES_KEPT")
			result.check((kept == "true") == (w.statefulSet != nil), w.id, "spec.template.spec.containers[0].env[LAUNCHER_VOLUMES_KEPT]", "is %q", kept)
			if w.statefulSet == nil {
				continue
			}
			spec := w.statefulSet.Spec
			result.check(spec.PodManagementPolicy == appsv1.ParallelPodManagement, w.id, "spec.podManagementPolicy", "is not Parallel")
			result.check(services[spec.ServiceName], w.id, "spec.serviceName", "there is no Service %q", spec.ServiceName)
			result.check(spec.PersistentVolumeClaimRetentionPolicy != nil, w.id, "spec.persistentVolumeClaimRetentionPolicy", "is left to the default")
			next := later[w.id]
			result.check(next != nil && spec.ServiceName == next.Spec.ServiceName && spec.PodManagementPolicy == next.Spec.PodManagementPolicy &&
				equality.Semantic.DeepEqual(spec.VolumeClaimTemplates, next.Spec.VolumeClaimTemplates), w.id, "spec", "is refused as an upgrade from this version to a later one")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a launcher that does not know", Values: withStatefulSet, Change: func(r *Release) { setEnv(r.keeper(), "LAUNCHER_VOLUMES_KEPT", "false") }},
		{Name: "a Deployment", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_VOLUMES_KEPT", "true") }},
		{Name: "one after the other", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement }},
		{Name: "no Service", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.ServiceName = "redis-ha-redis-ha-headless" }},
		{Name: "volumes that may go", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.PersistentVolumeClaimRetentionPolicy = nil }},
		{Name: "the version in a claim", Values: withStatefulSet, Change: func(r *Release) {
			r.set().Spec.VolumeClaimTemplates[0].Labels["helm.sh/chart"] = "redis-ha-0.1.0"
		}},
		{Name: "another Service in a later version", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.ServiceName = render.Fullname + "-master-svc" }},
	},
}

const withStatefulSet = "servers: {workload: StatefulSet}"

// set is the StatefulSet of the servers.
func (r *Release) set() *appsv1.StatefulSet {
	return render.One[*appsv1.StatefulSet](must{}, r.Manifests, render.Fullname+"-server")
}

// keeper is the container of the servers of a StatefulSet.
func (r *Release) keeper() *corev1.Container { return &r.set().Spec.Template.Spec.Containers[0] }
