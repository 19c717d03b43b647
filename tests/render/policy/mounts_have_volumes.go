package policy

// MountsHaveVolumes looks both ways.
var MountsHaveVolumes = Rule{
	ID:        "mounts-have-volumes",
	Title:     "Every mount has a volume, every volume is mounted, and no path is mounted twice",
	Why:       "The API server refuses a mount without a volume, in some values only; a volume that nobody mounts is a disk that holds nothing.",
	Fix:       "Add or remove the volume together with its mount.",
	Reference: "https://kubernetes.io/docs/concepts/storage/volumes/",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			volumes, mounted := map[string]bool{}, map[string]bool{}
			for _, v := range p.Spec.Volumes {
				volumes[v.Name] = true
			}
			for _, c := range p.Containers() {
				paths := map[string]bool{}
				for _, m := range c.VolumeMounts {
					path := c.Path + ".volumeMounts[" + m.Name + "]"
					result.check(volumes[m.Name], p.Owner, path, "there is no volume of this name")
					result.check(!paths[m.MountPath], p.Owner, path, "%s is mounted twice", m.MountPath)
					mounted[m.Name], paths[m.MountPath] = true, true
				}
			}
			for name := range volumes {
				result.check(mounted[name], p.Owner, p.Path+".volumes["+name+"]", "is mounted nowhere")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no volume", Change: func(r *Release) { r.server().Spec.Template.Spec.Volumes = nil }},
		{Name: "no claim", Values: withStatefulSet, Change: func(r *Release) { r.set().Spec.VolumeClaimTemplates = nil }},
		{Name: "no mount", Change: func(r *Release) { r.redis().VolumeMounts = r.redis().VolumeMounts[:1] }},
		{Name: "twice", Change: func(r *Release) { r.redis().VolumeMounts[1].MountPath = r.redis().VolumeMounts[0].MountPath }},
	},
}
