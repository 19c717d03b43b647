package policy

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// ConfigHasAChecksum is about ConfigMaps. A checksum of a Secret would give its value away to guesses, and restart the pods with
// every rendering of a random password.
var ConfigHasAChecksum = Rule{
	ID:        "config-has-a-checksum",
	Title:     "Every pod that mounts a ConfigMap of the release has a checksum of it in an annotation",
	Why:       "Redis reads its configuration when it starts. Without the annotation an upgrade reports success, and the new directives are in force on the pods that happen to restart.",
	Fix:       "Add the annotation checksum/<volume> to the pod template, and mount a ConfigMap that the release has.",
	Reference: "https://helm.sh/docs/howto/charts_tips_and_tricks/#automatically-roll-deployments",
	Check: func(r *Release) (result Result) {
		maps := map[string]bool{}
		for _, m := range render.All[*corev1.ConfigMap](r.Manifests) {
			maps[m.Name] = true
		}
		for _, p := range r.Peers() {
			for _, v := range p.Spec.Volumes {
				result.Subjects++
				if v.ConfigMap == nil {
					continue
				}
				path := fmt.Sprintf("%s.annotations[checksum/%s]", p.MetaPath(), v.Name)
				result.check(len(p.Meta.Annotations["checksum/"+v.Name]) == 64, p.Owner, path, "is not a checksum of the ConfigMap %s", v.ConfigMap.Name)
				result.check(maps[v.ConfigMap.Name], p.Owner, p.Path+".volumes["+v.Name+"]", "there is no ConfigMap %s", v.ConfigMap.Name)
				delete(maps, v.ConfigMap.Name)
			}
			for key := range p.Meta.Annotations {
				if name, ok := strings.CutPrefix(key, "checksum/"); ok {
					_, mounted := p.volume(name)
					result.check(mounted, p.Owner, p.MetaPath()+".annotations["+key+"]", "is of nothing that is mounted")
				}
			}
		}
		for name := range maps {
			result.check(false, "ConfigMap/"+name, "metadata.name", "is mounted nowhere")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no checksum", Values: withConfig, Change: func(r *Release) { delete(r.server().Spec.Template.Annotations, "checksum/config") }},
		{Name: "no ConfigMap", Values: withConfig, Change: func(r *Release) { r.remove("ConfigMap/" + render.Fullname + "-config") }},
		{Name: "not mounted", Values: withConfig, Change: func(r *Release) {
			r.server().Spec.Template.Spec.Volumes = r.server().Spec.Template.Spec.Volumes[:1]
		}},
		{Name: "of nothing", Change: func(r *Release) { r.sentinel().Spec.Template.Annotations["checksum/config"] = strings.Repeat("0", 64) }},
	},
}

const withConfig = "servers: {config: {maxmemory: 64mb}}"

// volume finds a volume by its name.
func (p Pod) volume(name string) (corev1.Volume, bool) {
	for _, v := range p.Spec.Volumes {
		if v.Name == name {
			return v, true
		}
	}
	return corev1.Volume{}, false
}
