package policy

import corev1 "k8s.io/api/core/v1"

// PasswordsStayInMemory is about redis.conf and sentinel.conf, which hold the password.
var PasswordsStayInMemory = Rule{
	ID:        "passwords-stay-in-memory",
	Title:     "The launcher writes configuration files to a small volume in memory",
	Why:       "They hold the password. On a disk of the node they outlive the pod, and a volume in memory without a limit counts as the container's.",
	Fix:       "Mount an emptyDir with medium Memory and a sizeLimit at /run/redis-ha.",
	Reference: "SECURITY.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			volume, writable := p.mounted("/run/redis-ha")
			result.check(volume != nil && volume.EmptyDir != nil && volume.EmptyDir.Medium == corev1.StorageMediumMemory && writable,
				p.Owner, p.Path+".volumes[run]", "is not a writable emptyDir in memory at /run/redis-ha")
			result.check(volume == nil || volume.EmptyDir == nil || volume.EmptyDir.SizeLimit != nil && !volume.EmptyDir.SizeLimit.IsZero(),
				p.Owner, p.Path+".volumes[run].emptyDir.sizeLimit", "is not set")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "on disk", Change: func(r *Release) { r.run().EmptyDir.Medium = "" }},
		{Name: "without a limit", Change: func(r *Release) { r.run().EmptyDir.SizeLimit = nil }},
		{Name: "not mounted", Change: func(r *Release) { r.redis().VolumeMounts = nil }},
		{Name: "read-only", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.Containers[0].VolumeMounts[0].ReadOnly = true }},
	},
}

// mounted is the volume at a path of the pod's first container, and whether it can be written to.
func (p Pod) mounted(path string) (volume *corev1.Volume, writable bool) {
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		if m.MountPath != path {
			continue
		}
		for i, v := range p.Spec.Volumes {
			if v.Name == m.Name {
				return &p.Spec.Volumes[i], !m.ReadOnly
			}
		}
	}
	return nil, false
}

// run is the volume for configuration files of the servers.
func (r *Release) run() *corev1.Volume { return &r.server().Spec.Template.Spec.Volumes[0] }
