package policy

import (
	"fmt"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// LabelsAreRecommended are the labels that other tools look for, beside the chart's own.
var LabelsAreRecommended = Rule{
	ID:        "labels-are-recommended",
	Title:     "Every object and pod has the recommended app.kubernetes.io labels, and the older ones say the same",
	Why:       "Dashboards, policies and costs are grouped by these labels; objects without them belong to nobody, and nobody dares to delete them.",
	Fix:       "Use the template labels.standard for objects and redis-ha.podLabels for pods.",
	Reference: "https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/",
	Check: func(r *Release) (result Result) {
		for _, o := range r.Objects {
			labels := o.Object.GetLabels()
			for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
				result.check(labels[key] != "", o.ID(), fmt.Sprintf("metadata.labels[%s]", key), "is missing")
			}
			if o.Hook {
				continue
			}
			for key, want := range map[string]string{"app.kubernetes.io/version": r.AppVersion, "app.kubernetes.io/part-of": r.Chart, "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": render.Release} {
				result.check(labels[key] == want, o.ID(), fmt.Sprintf("metadata.labels[%s]", key), "is %q, want %q", labels[key], want)
			}
			for old, key := range map[string]string{"app": "app.kubernetes.io/name", "release": "app.kubernetes.io/instance", "chart": "helm.sh/chart", "heritage": "app.kubernetes.io/managed-by"} {
				result.check(labels[old] == labels[key], o.ID(), fmt.Sprintf("metadata.labels[%s]", old), "is %q, but %s is %q", labels[old], key, labels[key])
			}
		}
		for _, p := range r.Pods() {
			for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"} {
				result.check(p.Meta.Labels[key] != "", p.Owner, fmt.Sprintf("%s.labels[%s]", p.MetaPath(), key), "is missing")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no name", Change: func(r *Release) { delete(r.service("").Labels, "app.kubernetes.io/name") }},
		{Name: "no version", Change: func(r *Release) { delete(r.server().Labels, "app.kubernetes.io/version") }},
		{Name: "two names", Change: func(r *Release) { r.sentinel().Labels["app"] = "other" }},
		{Name: "a pod without a component", Change: func(r *Release) {
			delete(r.server().Spec.Template.Labels, "app.kubernetes.io/component")
		}},
		{Name: "a hook without an instance", Change: func(r *Release) { delete(r.test().Labels, "app.kubernetes.io/instance") }},
	},
}
