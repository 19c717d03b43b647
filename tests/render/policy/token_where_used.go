package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

const (
	// tokenPath is where client-go and kubectl look for the token.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	// shortestToken and longestToken bound the seconds that a token is good for. Kubernetes refuses shorter ones. The kubelet renews a token after a
	// day at the latest.
	shortestToken, longestToken = 600, 86400
	// extendedToken is the time by which the API server knows a token that the kubelet mounts by itself. It makes such a token good for a year.
	extendedToken = 3607
)

// TokenWhereUsed keeps the credentials of the API away from what does not call it.
var TokenWhereUsed = Rule{
	ID:    "token-where-used",
	Title: "A short-lived service account token is mounted into servers, sentinels and pods that make backups, and nowhere else",
	Why: "Somebody may take a token that nobody uses. A token that the kubelet mounts by itself is good for a year. Without one the launcher cannot label " +
		"its pod, and no Service finds it.",
	Fix: "Set automountServiceAccountToken: false everywhere, and mount a projected token for less than a day, with the authorities of the API server, into the containers that " +
		"call it.",
	Reference: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Pods() {
			mounts := p.Spec.AutomountServiceAccountToken
			result.check(mounts != nil && !*mounts, p.Owner, p.Path+".automountServiceAccountToken", "is not false")
			tokens := 0
			for _, v := range p.Spec.Volumes {
				for _, source := range projected(v) {
					if token := source.ServiceAccountToken; token != nil {
						tokens++
						path := p.Path + ".volumes[" + v.Name + "]"
						seconds := token.ExpirationSeconds
						result.check(seconds != nil && *seconds >= shortestToken && *seconds <= longestToken && *seconds != extendedToken, p.Owner, path, "has a token for a long time")
						result.check(p.mountsToken(v), p.Owner, path, "is not mounted read-only at %s", tokenPath)
						result.check(hasAuthorities(v), p.Owner, path, "lacks the authorities of the API server")
					}
				}
			}
			want := 0
			if p.CallsAPI() {
				want = 1
			}
			result.check(tokens == want, p.Owner, p.Path+".volumes", "there are %d tokens, want %d", tokens, want)
		}
		for _, account := range render.All[*corev1.ServiceAccount](r.Manifests) {
			mounts := account.AutomountServiceAccountToken
			result.check(mounts != nil && !*mounts, "ServiceAccount/"+account.Name, "automountServiceAccountToken", "is not false, so every pod that uses the account gets a token")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "the Helm test has one", Change: func(r *Release) { r.test().Spec.AutomountServiceAccountToken = at(true) }},
		{Name: "the Helm test is silent", Change: func(r *Release) { r.test().Spec.AutomountServiceAccountToken = nil }},
		{Name: "the Helm test mounts one", Change: func(r *Release) { r.test().Spec.Volumes = r.server().Spec.Template.Spec.Volumes }},
		{Name: "the servers have the one of the kubelet", Change: func(r *Release) { r.server().Spec.Template.Spec.AutomountServiceAccountToken = at(true) }},
		{Name: "the servers have none", Change: func(r *Release) { *r.token() = corev1.VolumeProjection{} }},
		{Name: "a token for a week", Change: func(r *Release) { r.token().ServiceAccountToken.ExpirationSeconds = at(int64(7 * 86400)) }},
		{Name: "a token that the API server makes longer", Change: func(r *Release) { r.token().ServiceAccountToken.ExpirationSeconds = at(int64(3607)) }},
		{Name: "a token without an end", Change: func(r *Release) { r.token().ServiceAccountToken.ExpirationSeconds = nil }},
		{Name: "no authorities", Change: func(r *Release) {
			v := tokenVolume(r.server().Spec.Template.Spec)
			v.Projected.Sources = v.Projected.Sources[:1]
		}},
		{Name: "elsewhere", Change: func(r *Release) {
			for i := range r.redis().VolumeMounts {
				if r.redis().VolumeMounts[i].MountPath == tokenPath {
					r.redis().VolumeMounts[i].MountPath = "/token"
				}
			}
		}},
		{Name: "the backups have none", Values: withBackup, Change: func(r *Release) {
			tokenVolume(r.backup().Spec.JobTemplate.Spec.Template.Spec).Projected = nil
		}},
		{Name: "the account", Change: func(r *Release) { first[*corev1.ServiceAccount](r).AutomountServiceAccountToken = nil }},
	},
}

// projected are the sources of a projected volume.
func projected(v corev1.Volume) []corev1.VolumeProjection {
	if v.Projected == nil {
		return nil
	}
	return v.Projected.Sources
}

// mountsToken says whether the first container of the pod mounts a volume where clients look for the token.
func (p Pod) mountsToken(v corev1.Volume) bool {
	for _, m := range p.Containers()[0].VolumeMounts {
		if m.Name == v.Name && m.MountPath == tokenPath && m.ReadOnly {
			return true
		}
	}
	return false
}

// hasAuthorities says whether a volume has the authorities of the API server, which every namespace has.
func hasAuthorities(v corev1.Volume) bool {
	for _, source := range projected(v) {
		if source.ConfigMap != nil && source.ConfigMap.Name == "kube-root-ca.crt" {
			return true
		}
	}
	return false
}

// tokenVolume is the volume with the token.
func tokenVolume(spec corev1.PodSpec) *corev1.Volume {
	for i, v := range spec.Volumes {
		if v.Projected != nil {
			return &spec.Volumes[i]
		}
	}
	panic("no volume has a token")
}

// token is the token of the servers.
func (r *Release) token() *corev1.VolumeProjection {
	return &tokenVolume(r.server().Spec.Template.Spec).Projected.Sources[0]
}
