package policy

import corev1 "k8s.io/api/core/v1"

// DataIsNotShared wants a volume for each server.
var DataIsNotShared = Rule{
	ID:        "data-is-not-shared",
	Title:     "Every server has a writable data volume of its own",
	Why:       "Two servers that append to one file destroy it; without a volume the data fill the container's layer, which is read-only here.",
	Fix:       "Mount an ephemeral volumeClaimTemplate, an emptyDir, or a claim of volumeClaimTemplates of a StatefulSet at /redis-master-data.",
	Reference: "docs/adr/0004-deployment-with-ephemeral-volumes.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			for _, v := range p.Spec.Volumes {
				result.check(v.PersistentVolumeClaim == nil && v.HostPath == nil, p.Owner, p.Path+".volumes["+v.Name+"]", "is shared by all pods of the workload")
			}
			if p.Sentinel() {
				continue
			}
			volume, writable := p.mounted("/redis-master-data")
			result.check(volume != nil && writable && (volume.Ephemeral != nil || volume.EmptyDir != nil),
				p.Owner, p.Path+".volumes[data]", "is not a writable volume of each pod at /redis-master-data")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "one claim", Change: func(r *Release) {
			r.data().VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}
		}},
		{Name: "no claim for each pod", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.VolumeClaimTemplates[0].Name = "other" }},
		{Name: "one claim for a StatefulSet", Values: withStatefulSet, Change: func(r *Release) {
			pod := &r.set().Spec.Template.Spec
			pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
			}})
		}},
		{Name: "the node's disk", Change: func(r *Release) {
			r.sentinel().Spec.Template.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}
		}},
		{Name: "elsewhere", Change: func(r *Release) { r.redis().VolumeMounts[0].MountPath = "/data" }},
		{Name: "read-only", Change: func(r *Release) { r.redis().VolumeMounts[0].ReadOnly = true }},
	},
}

// data is the volume for the data of the servers.
func (r *Release) data() *corev1.Volume {
	volumes := r.server().Spec.Template.Spec.Volumes
	return &volumes[len(volumes)-1]
}
