package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// certificateDir is where pods find the certificate.
const certificateDir = "/etc/redis-ha-tls"

// keyMode is the mode of the mounted files: the kubelet gives them to the group of the pod.
const keyMode = 0o440

// EverythingIsEncrypted is about pods that encrypt and pods that do not, which cannot talk to each other.
var EverythingIsEncrypted = Rule{
	ID:        "everything-is-encrypted",
	Title:     "With tls.enabled every pod has the certificate, follows it and gets no more of its Secret, and without it none has",
	Why:       "A pod without the certificate reaches no other one. A mounted file is never refreshed, so the certificate would expire in it. The key of the authority could sign whatever its finder likes.",
	Fix:       "Mount certificate, key and authorities of the Secret as a read-only folder at /etc/redis-ha-tls, name them in LAUNCHER_TLS_*, and have the kubelet ask by HTTPS.",
	Reference: "docs/adr/0044-one-switch-encrypts-every-link.md",
	Check: func(r *Release) (result Result) {
		encrypted := r.value("tls", "enabled") == true
		for _, p := range r.Pods() {
			c := p.Containers()[0]
			for variable, file := range map[string]string{"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"} {
				path, set := c.Literal("LAUNCHER_TLS_" + variable + "_FILE")
				result.check(set == encrypted && (!set || path == certificateDir+"/"+file), p.Owner, c.Path+".env[LAUNCHER_TLS_"+variable+"_FILE]", "is %q", path)
			}
			volume, writable := p.mounted(certificateDir)
			result.check((volume != nil) == encrypted && !writable, p.Owner, c.Path+".volumeMounts", "do not have the certificate at "+certificateDir+", or have it in vain, or can write to it")
			for _, m := range c.VolumeMounts {
				result.check(m.MountPath != certificateDir || m.SubPath == "", p.Owner, c.Path+".volumeMounts["+m.Name+"].subPath", "the kubelet does not refresh a part of a Secret")
			}
			if volume != nil {
				var files []string
				if volume.Secret != nil {
					for _, item := range volume.Secret.Items {
						files = append(files, item.Path)
					}
				}
				slices.Sort(files)
				result.check(volume.Secret != nil && volume.Secret.DefaultMode != nil && *volume.Secret.DefaultMode == keyMode, p.Owner,
					p.Path+".volumes["+volume.Name+"].secret.defaultMode", "lets others than the user and the group of the pod read the key, or lets somebody do more")
				result.check(slices.Equal(files, []string{"ca.crt", "tls.crt", "tls.key"}), p.Owner, p.Path+".volumes["+volume.Name+"]", "gives the pod %v of the Secret", files)
			}
			for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if probe != nil && probe.HTTPGet != nil {
					result.check((probe.HTTPGet.Scheme == corev1.URISchemeHTTPS) == encrypted, p.Owner, c.Path+".probes", "ask by %q", probe.HTTPGet.Scheme)
				}
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a pod without the certificate", Values: withTLS, Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_TLS_CERT_FILE", "") }},
		{Name: "a sentinel with another file", Values: withTLS, Change: func(r *Release) {
			setEnv(&r.sentinel().Spec.Template.Spec.Containers[0], "LAUNCHER_TLS_CA_FILE", "/etc/ssl/cert.pem")
		}},
		{Name: "not mounted", Values: withTLS, Change: func(r *Release) {
			r.redis().VolumeMounts = slices.DeleteFunc(r.redis().VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "tls" })
		}},
		{Name: "mounted as one file", Values: withTLS, Change: func(r *Release) { r.certificate().SubPath = "tls.crt" }},
		{Name: "writable", Values: withTLS, Change: func(r *Release) { r.certificate().ReadOnly = false }},
		{Name: "the whole Secret", Values: withTLS, Change: func(r *Release) { r.certificateVolume().Secret.Items = nil }},
		{Name: "the key of the authority", Values: withTLS, Change: func(r *Release) {
			r.certificateVolume().Secret.Items = append(r.certificateVolume().Secret.Items, corev1.KeyToPath{Key: "ca.key", Path: "ca.key"})
		}},
		{Name: "a key for everybody", Values: withTLS, Change: func(r *Release) { r.certificateVolume().Secret.DefaultMode = at[int32](0o444) }},
		{Name: "a key for everybody by default", Values: withTLS, Change: func(r *Release) { r.certificateVolume().Secret.DefaultMode = nil }},
		{Name: "a plain probe", Values: withTLS, Change: func(r *Release) { r.redis().ReadinessProbe.HTTPGet.Scheme = "" }},
		{Name: "an encrypted probe in a plain release", Change: func(r *Release) { r.redis().LivenessProbe.HTTPGet.Scheme = corev1.URISchemeHTTPS }},
		{Name: "a certificate in a plain release", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_TLS_KEY_FILE", "/etc/redis-ha-tls/tls.key") }},
		{Name: "a test without the certificate", Values: withTLS, Change: func(r *Release) { r.test().Spec.Containers[0].VolumeMounts = nil }},
	},
}

const withTLS = "tls: {enabled: true, existingSecret: mine}"

// certificate is where the servers mount the certificate.
func (r *Release) certificate() *corev1.VolumeMount {
	mounts := r.redis().VolumeMounts
	return &mounts[slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == "tls" })]
}

// certificateVolume is the volume of the servers with the certificate.
func (r *Release) certificateVolume() *corev1.Volume {
	volumes := r.server().Spec.Template.Spec.Volumes
	return &volumes[slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == "tls" })]
}
