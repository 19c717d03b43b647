package policy

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// Release is what the rules look at: one rendering, and others of the same values to compare it with.
type Release struct {
	*render.Manifests
	Namespace   string
	KubeVersion string
	Again       *render.Manifests   // the same rendered once more
	Later       *render.Manifests   // with a later version of the chart and the image
	Rekeyed     *render.Manifests   // with another password, where there is one
	Long        []*render.Manifests // two releases whose names are as long as may be and differ in the last letter; none with fullnameOverride
}

// namespace is one that no template knows.
const namespace = "caches"

// longestFullname is the length of the longest full name that the chart accepts, so that its longest suffix fits.
func (r *Release) longestFullname() int {
	if r.value("servers", "workload") == "StatefulSet" || r.makesBackups() {
		return 45
	}
	return 52
}

// backupSuffix is what the names of objects of backups end in.
const backupSuffix = "-backup"

// makesBackups says whether the values ask for backups.
func (r *Release) makesBackups() bool { return r.value("backup", "enabled") == true }

// NewRelease renders values for a Kubernetes version such as "1.37".
func NewRelease(values render.Values, kubeVersion string) (*Release, error) {
	r := &Release{Namespace: namespace, KubeVersion: kubeVersion}
	tryWith := func(values render.Values, options ...render.Option) (*render.Manifests, error) {
		return render.Try(values, append([]render.Option{render.As(render.Release, namespace), render.KubeVersion(kubeVersion)}, options...)...)
	}
	try := func(options ...render.Option) (*render.Manifests, error) { return tryWith(values, options...) }
	var err error
	if r.Manifests, err = try(); err != nil {
		return nil, err
	}
	if r.Again, err = try(); err != nil {
		return nil, fmt.Errorf("render the same values again: %w", err)
	}
	if r.Later, err = try(render.Version("999.0.0", "999.0.0-r1")); err != nil {
		return nil, fmt.Errorf("render a later version of the chart: %w", err)
	}
	// A password that the chart makes is another one in each rendering.
	r.Rekeyed = r.Again
	if password, _ := r.value("redisPassword").(string); password != "" {
		rekeyed := render.Values{}
		maps.Copy(rekeyed, values)
		rekeyed["redisPassword"] = anotherPassword(password)
		if r.Rekeyed, err = tryWith(rekeyed); err != nil {
			return nil, fmt.Errorf("render another password: %w", err)
		}
	}
	if chosen, _ := r.value("fullnameOverride").(string); chosen != "" {
		return r, nil
	}
	name, _ := r.value("nameOverride").(string)
	if name == "" {
		name = r.Chart
	}
	for _, last := range []string{"a", "b"} {
		long := strings.Repeat("x", r.longestFullname()-len(name)-2) + last
		m, err := try(render.As(long, r.Namespace))
		if err != nil {
			return nil, fmt.Errorf("render the release %s: %w", long, err)
		}
		r.Long = append(r.Long, m)
	}
	return r, nil
}

// anotherPassword is as long as a password, and differs from it in every character.
func anotherPassword(password string) string {
	return strings.Map(func(character rune) rune {
		if character == 'x' {
			return 'y'
		}
		return 'x'
	}, password)
}

// value is a value of the release, nil if it is not set.
func (r *Release) value(path ...string) any {
	var found any = map[string]any(r.Values)
	for _, key := range path {
		section, _ := found.(map[string]any)
		found = section[key]
	}
	return found
}

// Pod is what becomes a pod.
type Pod struct {
	render.PodTemplate
	Path   string // of the pod's spec in its object
	Peer   bool   // a server or a sentinel, with a launcher as its first process; else a pod of a hook or of a backup
	Backup bool   // makes a backup
}

func podsOf(m *render.Manifests) []Pod {
	var pods []Pod
	for _, template := range m.PodTemplates() {
		p := Pod{PodTemplate: template, Path: "spec.template.spec", Peer: true}
		switch {
		case strings.HasPrefix(p.Owner, "Pod/"):
			p.Path, p.Peer = "spec", false
		case strings.HasPrefix(p.Owner, "CronJob/"):
			p.Path, p.Peer, p.Backup = "spec.jobTemplate.spec.template.spec", false, true
		}
		pods = append(pods, p)
	}
	return pods
}

// Pods are all pods of the release.
func (r *Release) Pods() []Pod { return podsOf(r.Manifests) }

// Peers are the pods of servers and sentinels.
func (r *Release) Peers() []Pod {
	var peers []Pod
	for _, p := range r.Pods() {
		if p.Peer {
			peers = append(peers, p)
		}
	}
	return peers
}

// CallsAPI says whether a process of the pod calls the API server.
func (p Pod) CallsAPI() bool { return p.Peer || p.Backup }

// MetaPath is the path of the pod's metadata in its object.
func (p Pod) MetaPath() string { return strings.TrimSuffix(p.Path, "spec") + "metadata" }

// Sentinel tells the pods of sentinels from those of servers.
func (p Pod) Sentinel() bool {
	value, _ := p.Containers()[0].Literal("SENTINEL")
	return value == "true"
}

// Roles are the labels of the pod while it runs: those of its template, with each role its launcher may write.
func (p Pod) Roles() map[string]labels.Set {
	running := map[string]labels.Set{}
	roles := []string{"master", "slave"}
	if p.Sentinel() {
		roles = []string{"sentinel"}
	}
	for _, role := range roles {
		set := labels.Set(maps.Clone(p.Meta.Labels))
		set["redis-role"] = role
		running[role] = set
	}
	return running
}

// Container is a container of a pod, with its path.
type Container struct {
	corev1.Container
	Pod  Pod
	Path string
}

// Containers lists the containers that stay, then those that initialise.
func (p Pod) Containers() []Container {
	var found []Container
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"containers", p.Spec.Containers}, {"initContainers", p.Spec.InitContainers}} {
		for _, c := range list.containers {
			found = append(found, Container{c, p, fmt.Sprintf("%s.%s[%s]", p.Path, list.name, c.Name)})
		}
	}
	return found
}

// Containers are those of all pods.
func (r *Release) Containers() []Container {
	var found []Container
	for _, p := range r.Pods() {
		found = append(found, p.Containers()...)
	}
	return found
}

// Literal is a variable that is written into the manifest.
func (c Container) Literal(name string) (string, bool) {
	for _, e := range c.Env {
		if e.Name == name && e.ValueFrom == nil {
			return e.Value, true
		}
	}
	return "", false
}

// Number is a variable that is a whole number, -1 where it is none.
func (c Container) Number(name string) int {
	text, _ := c.Literal(name)
	number, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return number
}

// setting is a variable of the settings file that is a whole number, -1 where it is none.
func (r *Release) setting(name string) int {
	for _, m := range render.All[*corev1.ConfigMap](r.Manifests) {
		for line := range strings.Lines(m.Data["settings"]) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				if number, err := strconv.Atoi(value); err == nil {
					return number
				}
			}
		}
	}
	return -1
}

// port is the number of a container port by its name or number, 0 if the container has none like it.
func (c Container) port(name string) int32 {
	for _, port := range c.Ports {
		if port.Name == name || strconv.Itoa(int(port.ContainerPort)) == name {
			return port.ContainerPort
		}
	}
	return 0
}
