package policy

import "k8s.io/apimachinery/pkg/labels"

// LaunchersFindTheirPeers is about the selector in the environment of the launcher.
var LaunchersFindTheirPeers = Rule{
	ID:        "launchers-find-their-peers",
	Title:     "The launcher's selector finds all servers and sentinels of the release, and no other pod",
	Why:       "A peer that is not found has no vote and no data in an election. A pod that is none would be waited for.",
	Fix:       "Let LAUNCHER_POD_SELECTOR name labels that all servers and sentinels have and hooks do not.",
	Reference: "docs/launcher.md",
	Check: func(r *Release) (result Result) {
		for _, peer := range r.Peers() {
			c := peer.Containers()[0]
			path := c.Path + ".env[LAUNCHER_POD_SELECTOR]"
			text, _ := c.Literal("LAUNCHER_POD_SELECTOR")
			selector, err := labels.Parse(text)
			if text == "" || err != nil {
				result.check(false, peer.Owner, path, "%q is not a selector", text)
				continue
			}
			for _, p := range r.Pods() {
				result.check(selector.Matches(labels.Set(p.Meta.Labels)) == p.Peer, peer.Owner, path, "%q finds %s: %t, want %t", text, p.Owner, !p.Peer, p.Peer)
			}
			for _, m := range r.Long {
				for _, p := range podsOf(m) {
					result.check(!selector.Matches(labels.Set(p.Meta.Labels)), peer.Owner, path, "%q finds %s of another release", text, p.Owner)
				}
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no selector", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_POD_SELECTOR", "") }},
		{Name: "its own component", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_POD_SELECTOR", "component=server") }},
		{Name: "every release", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_POD_SELECTOR", "app=redis-ha") }},
		{Name: "the Helm test looks like a peer", Change: func(r *Release) {
			r.test().Labels["app"], r.test().Labels["release"] = "redis-ha", "redis-ha"
		}},
		{Name: "a server in disguise", Change: func(r *Release) { r.server().Spec.Template.Labels["app"] = "other" }},
	},
}
