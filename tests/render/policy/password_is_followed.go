package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

const (
	// passwordDir is where pods find the password.
	passwordDir = "/etc/redis-ha-password"
	// passwordFile is its file.
	passwordFile = passwordDir + "/password"
)

// PasswordIsFollowed is about a password that changes while a release runs.
var PasswordIsFollowed = Rule{
	ID:        "password-is-followed",
	Title:     "Every pod follows the password, gets no more of its Secret, and another password or auth replaces no pod",
	Why:       "The kubelet never refreshes a file that is mounted alone, so such a pod would refuse the others after a change. A pod that is replaced for a new password has to wait until the others have read that password.",
	Fix:       "Mount the key with the password as a read-only folder at " + passwordDir + ", name the file in LAUNCHER_PASSWORD_FILE, and leave out of the pod template what depends on auth or on the password.",
	Reference: "docs/adr/0045-a-password-changes-in-three-steps.md",
	Check: func(r *Release) (result Result) {
		name, _ := r.value("existingSecret").(string)
		ofTheChart := name == ""
		for _, p := range r.Peers() {
			c := p.Containers()[0]
			path, _ := c.Literal("LAUNCHER_PASSWORD_FILE")
			result.check(path == passwordFile, p.Owner, c.Path+".env[LAUNCHER_PASSWORD_FILE]", "is %q", path)
			volume, writable := p.mounted(passwordDir)
			result.check(volume != nil && !writable, p.Owner, c.Path+".volumeMounts", "do not have the password at "+passwordDir+", or can write to it")
			for _, m := range c.VolumeMounts {
				result.check(m.MountPath != passwordDir || m.SubPath == "", p.Owner, c.Path+".volumeMounts["+m.Name+"].subPath", "the kubelet does not refresh a part of a Secret")
			}
			if volume == nil {
				continue
			}
			s := volume.Secret
			at := p.Path + ".volumes[" + volume.Name + "]"
			result.check(s != nil && len(s.Items) == 1 && s.Items[0].Path == "password", p.Owner, at, "is not the password alone")
			result.check(s != nil && s.DefaultMode != nil && *s.DefaultMode == keyMode, p.Owner, at+".secret.defaultMode", "lets others than the user and the group of the pod read the password, or lets somebody do more")
			if s == nil {
				continue
			}
			optional := s.Optional != nil && *s.Optional
			result.check(optional == ofTheChart, p.Owner, at+".secret.optional", "is %t, and only the Secret of the chart may come later", optional)
		}
		rekeyed := map[string]corev1.PodSpec{}
		for _, p := range r.Rekeyed.PodTemplates() {
			rekeyed[p.Owner] = p.Spec
		}
		for _, p := range r.Peers() {
			result.check(equality.Semantic.DeepEqual(p.Spec, rekeyed[p.Owner]), p.Owner, p.Path, "is another one with another password")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no file", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_PASSWORD_FILE", "") }},
		{Name: "another file", Change: func(r *Release) {
			setEnv(&r.sentinel().Spec.Template.Spec.Containers[0], "LAUNCHER_PASSWORD_FILE", "/tmp/password")
		}},
		{Name: "not mounted", Change: func(r *Release) {
			r.redis().VolumeMounts = slices.DeleteFunc(r.redis().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "password" })
		}},
		{Name: "mounted as one file", Change: func(r *Release) { r.passwordMount().SubPath = "password" }},
		{Name: "writable", Change: func(r *Release) { r.passwordMount().ReadOnly = false }},
		{Name: "the whole Secret", Change: func(r *Release) { r.passwordVolume().Secret.Items = nil }},
		{Name: "another key as well", Change: func(r *Release) {
			r.passwordVolume().Secret.Items = append(r.passwordVolume().Secret.Items, corev1.KeyToPath{Key: "other", Path: "other"})
		}},
		{Name: "a password for everybody", Change: func(r *Release) { r.passwordVolume().Secret.DefaultMode = at[int32](0o444) }},
		{Name: "a Secret that must be there", Change: func(r *Release) { r.passwordVolume().Secret.Optional = nil }},
		{Name: "a Secret of the user that may be missing", Values: "{auth: true, existingSecret: mine}", Change: func(r *Release) { r.passwordVolume().Secret.Optional = at(true) }},
		{Name: "a pod for each password", Values: withPassword, Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_RUN", "hunter22-of-the-mutant") }},
	},
}

// passwordMount is where the servers mount the password.
func (r *Release) passwordMount() *corev1.VolumeMount {
	mounts := r.redis().VolumeMounts
	return &mounts[slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == "password" })]
}

// passwordVolume is the volume of the servers with the password.
func (r *Release) passwordVolume() *corev1.Volume {
	volumes := r.server().Spec.Template.Spec.Volumes
	return &volumes[slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == "password" })]
}
