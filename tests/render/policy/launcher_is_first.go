package policy

import corev1 "k8s.io/api/core/v1"

// LauncherIsFirst leaves the choice of the process to the image.
var LauncherIsFirst = Rule{
	ID:        "launcher-is-first",
	Title:     "Servers and sentinels run the image's entry point, and nothing beside or before it",
	Why:       "A shell around the launcher swallows TERM, so the master would be killed instead of handing over; a preStop hook uses up the time for it.",
	Fix:       "Remove command, args, lifecycle and initContainers from the pods of servers and sentinels.",
	Reference: "docs/launcher.md",
	Check: func(r *Release) (result Result) {
		for _, p := range r.Peers() {
			result.check(len(p.Spec.InitContainers) == 0, p.Owner, p.Path+".initContainers", "there are %d", len(p.Spec.InitContainers))
			for _, c := range p.Containers() {
				result.check(len(c.Command) == 0, p.Owner, c.Path+".command", "replaces the entry point: %q", c.Command)
				result.check(len(c.Args) == 0, p.Owner, c.Path+".args", "changes what the launcher does: %q", c.Args)
				result.check(c.Lifecycle == nil, p.Owner, c.Path+".lifecycle", "there is a hook")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a shell", Change: func(r *Release) { r.redis().Command = []string{"sh", "-c", "launcher"} }},
		{Name: "an argument", Change: func(r *Release) { r.redis().Args = []string{"status"} }},
		{Name: "a hook", Change: func(r *Release) {
			r.redis().Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
		}},
		{Name: "an init container", Change: func(r *Release) {
			r.sentinel().Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "wait"}}
		}},
	},
}
