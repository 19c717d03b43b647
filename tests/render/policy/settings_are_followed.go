package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// atStart are the directives that Redis takes only when it starts: CONFIG SET refuses them, or does not know them.
var atStart = []string{
	"always-show-logo", "aof-rewrite-cpulist", "bgsave-cpulist", "bio-cpulist", "databases", "disable-thp", "enable-debug-command", "enable-module-command",
	"enable-protected-configs", "io-threads", "io-threads-do-reads", "lua-enable-deprecated-api", "rdbchecksum", "server-cpulist", "set-proc-title",
	"socket-mark-id", "tcp-backlog",
}

// SettingsAreFollowed is about ConfigMaps. A checksum of a Secret would give its value away to guesses, and restart the pods with
// every rendering of a random password.
var SettingsAreFollowed = Rule{
	ID:        "settings-are-followed",
	Title:     "Every pod follows the settings of the release, and a checksum replaces the servers for what Redis takes only when it starts",
	Why:       "A launcher that does not see a change goes by other numbers than its peers. Without the annotation an upgrade reports success, and such directives are in force on the pods that happen to restart.",
	Fix:       "Mount the ConfigMap with the settings as a folder, name its file in LAUNCHER_SETTINGS_FILE, and add the annotation checksum/config to the servers for such directives only.",
	Reference: "docs/adr/0039-settings-are-followed-while-a-release-runs.md",
	Check: func(r *Release) (result Result) {
		maps := map[string]*corev1.ConfigMap{}
		for _, m := range render.All[*corev1.ConfigMap](r.Manifests) {
			maps[m.Name] = m
		}
		unmounted := map[string]bool{}
		for name := range maps {
			unmounted[name] = true
		}
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			file, _ := c.Literal("LAUNCHER_SETTINGS_FILE")
			found, start := false, false
			for _, m := range c.VolumeMounts {
				v, _ := p.volume(m.Name)
				if v.ConfigMap == nil {
					continue
				}
				object, exists := maps[v.ConfigMap.Name]
				result.check(exists, p.Owner, p.Path+".volumes["+v.Name+"]", "there is no ConfigMap %s", v.ConfigMap.Name)
				result.check(m.SubPath == "", p.Owner, fmt.Sprintf("%s.volumeMounts[%s].subPath", c.Path, m.Name), "the kubelet does not refresh a part of a ConfigMap")
				delete(unmounted, v.ConfigMap.Name)
				if !exists {
					continue
				}
				_, has := object.Data[path.Base(file)]
				found = found || path.Dir(file) == m.MountPath && has
				start = start || !p.Sentinel() && takesAtStart(object.Data["redis.conf"])
			}
			result.check(found, p.Owner, c.Path+".env[LAUNCHER_SETTINGS_FILE]", "%q is no file of a ConfigMap that is mounted", file)
			sum := p.Meta.Annotations["checksum/config"]
			result.check(start == (len(sum) == 64), p.Owner, p.MetaPath()+".annotations[checksum/config]", "is %q", sum)
		}
		for name := range unmounted {
			result.check(false, "ConfigMap/"+name, "metadata.name", "is mounted nowhere")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no checksum", Values: withStart, Change: func(r *Release) { delete(r.server().Spec.Template.Annotations, "checksum/config") }},
		{Name: "a checksum of what Redis takes while it runs", Values: withConfig, Change: func(r *Release) {
			r.server().Spec.Template.Annotations["checksum/config"] = strings.Repeat("0", 64)
		}},
		{Name: "a checksum of the sentinels", Change: func(r *Release) { r.sentinel().Spec.Template.Annotations["checksum/config"] = strings.Repeat("0", 64) }},
		{Name: "no ConfigMap", Change: func(r *Release) { r.remove("ConfigMap/" + render.Fullname + "-settings") }},
		{Name: "not mounted", Change: func(r *Release) {
			r.redis().VolumeMounts = slices.DeleteFunc(r.redis().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "settings" })
		}},
		{Name: "mounted as one file", Change: func(r *Release) {
			for i := range r.redis().VolumeMounts {
				if r.redis().VolumeMounts[i].Name == "settings" {
					r.redis().VolumeMounts[i].SubPath = "settings"
				}
			}
		}},
		{Name: "another file", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_SETTINGS_FILE", "/etc/redis-ha/other") }},
		{Name: "no file", Change: func(r *Release) { setEnv(&r.sentinel().Spec.Template.Spec.Containers[0], "LAUNCHER_SETTINGS_FILE", "") }},
	},
}

const (
	withConfig = "servers: {config: {maxmemory: 64mb}}"
	withStart  = "servers: {config: {io-threads: 2}}"
)

// takesAtStart says whether a redis.conf has a directive that Redis takes only when it starts.
func takesAtStart(conf string) bool {
	for line := range strings.Lines(conf) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); slices.Contains(atStart, name) {
			return true
		}
	}
	return false
}

// volume finds a volume by its name.
func (p Pod) volume(name string) (corev1.Volume, bool) {
	for _, v := range p.Spec.Volumes {
		if v.Name == name {
			return v, true
		}
	}
	return corev1.Volume{}, false
}
