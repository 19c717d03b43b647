package policy

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/redis-ha/redis-ha/image/launcher/calls"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RightsAreThoseCalled compares the Role with the calls that a run of the launcher recorded.
var RightsAreThoseCalled = Rule{
	ID:        "rights-are-those-called",
	Title:     "Each Role grants the calls that the launcher makes, and nothing else",
	Why:       "A missing right shows in the first failover, as a label that does not move. One too many is there for whoever takes over a pod.",
	Fix:       "Make the rules of the Role agree with image/launcher/calls/calls.txt, which the loopback tests write.",
	Reference: "https://kubernetes.io/docs/concepts/security/rbac-good-practices/",
	Check: func(r *Release) (result Result) {
		prefix, _ := r.Peers()[0].Containers()[0].Literal("REDIS_CHART_PREFIX")
		fullname := strings.TrimSuffix(prefix, "-")
		for _, role := range render.All[*rbacv1.Role](r.Manifests) {
			id := "Role/" + role.Name
			called := map[grant]bool{}
			for _, c := range r.calls(role.Name == fullname+backupSuffix) {
				name := c.Name
				if name != "" {
					name = fullname + name
				}
				called[grant{c.Verb, c.Group, c.Resource, name}] = true
			}
			for _, g := range grantsOf(role) {
				result.check(called[g], id, "rules["+g.resource+"].verbs["+g.verb+"]", "the launcher never calls %s", g)
				delete(called, g)
			}
			for g := range called {
				result.check(false, id, "rules["+g.resource+"].verbs["+g.verb+"]", "is missing: the launcher calls %s", g)
			}
		}
		result.Subjects += len(r.Peers())
		return result
	},
	Mutants: []Mutant{
		{Name: "a verb too many", Change: func(r *Release) {
			r.role().Rules[0].Verbs = append(r.role().Rules[0].Verbs, "delete")
		}},
		{Name: "a verb too few", Change: func(r *Release) { r.role().Rules[0].Verbs = []string{"get", "list", "watch"} }},
		{Name: "all verbs", Change: func(r *Release) { r.role().Rules[2].Verbs = []string{"*"} }},
		{Name: "all Leases", Change: func(r *Release) { r.role().Rules[1].ResourceNames = nil }},
		{Name: "another Lease", Change: func(r *Release) { r.role().Rules[1].ResourceNames[0] = "other" }},
		{Name: "Secrets", Change: func(r *Release) {
			r.role().Rules[0].Resources = append(r.role().Rules[0].Resources, "secrets")
		}},
		{Name: "no rules", Change: func(r *Release) { r.role().Rules = nil }},
		{Name: "the last backup is not told", Values: withBackup, Change: func(r *Release) { r.role().Rules = append(r.role().Rules[:2], r.role().Rules[3]) }},
		{Name: "a backup that may label", Values: withBackup, Change: func(r *Release) {
			r.backupRole().Rules[0].Verbs = append(r.backupRole().Rules[0].Verbs, "patch")
		}},
		{Name: "a backup that may elect", Values: withBackup, Change: func(r *Release) {
			r.backupRole().Rules[1].ResourceNames = append(r.backupRole().Rules[1].ResourceNames, render.Fullname+"-master")
		}},
		{Name: "a backup without its Lease", Values: withBackup, Change: func(r *Release) { r.backupRole().Rules = r.backupRole().Rules[:1] }},
	},
}

func (r *Release) role() *rbacv1.Role { return first[*rbacv1.Role](r) }

func (r *Release) backupRole() *rbacv1.Role {
	return render.One[*rbacv1.Role](must{}, r.Manifests, render.Fullname+backupSuffix)
}

// calls are those of the pods that make backups, or of the others, which ask for the last backup only where there are backups.
func (r *Release) calls(ofBackups bool) []calls.Call {
	if ofBackups {
		return calls.RecordedOfBackups()
	}
	return slices.DeleteFunc(calls.Recorded(), func(c calls.Call) bool { return c.Name == backupSuffix && !r.makesBackups() })
}

// grant is a right to one call.
type grant struct{ verb, group, resource, name string }

func (g grant) String() string {
	return strings.TrimSpace(g.verb + " " + strings.TrimSuffix(g.resource+"."+g.group, ".") + " " + g.name)
}

// grantsOf writes the rules of a Role out, one right for each combination.
func grantsOf(role *rbacv1.Role) []grant {
	var grants []grant
	for _, rule := range role.Rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						grants = append(grants, grant{verb, group, resource, name})
					}
				}
			}
		}
	}
	return grants
}
