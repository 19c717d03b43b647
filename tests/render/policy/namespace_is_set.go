package policy

import (
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// NamespaceIsSet is for those who render first and apply later.
var NamespaceIsSet = Rule{
	ID:    "namespace-is-set",
	Title: "Every object names the namespace of the release, and an object of the cluster has it in its name",
	Why: "helm template piped into kubectl apply puts an object without a namespace into whichever one is current. Objects of the cluster are there for all namespaces, so " +
		"the second release of a name could not be installed.",
	Fix:       "Set metadata.namespace to the namespace of the release, or end the name of an object of the cluster in a dot and the namespace.",
	Reference: "https://helm.sh/docs/chart_best_practices/templates/",
	Check: func(r *Release) (result Result) {
		for _, o := range r.Objects {
			if ofCluster(o) {
				result.check(o.Object.GetNamespace() == "", o.ID(), "metadata.namespace", "is %q, and objects of this kind have none", o.Object.GetNamespace())
				result.check(strings.HasSuffix(o.Object.GetName(), "."+r.Namespace), o.ID(), "metadata.name", "does not end in .%s", r.Namespace)
				continue
			}
			result.check(o.Object.GetNamespace() == r.Namespace, o.ID(), "metadata.namespace", "is %q, want %q", o.Object.GetNamespace(), r.Namespace)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "none", Change: func(r *Release) { r.server().Namespace = "" }},
		{Name: "a fixed one", Change: func(r *Release) { r.test().Namespace = "default" }},
		{Name: "a policy with one", Values: withAdmissionPolicy, Change: func(r *Release) { r.admission().Namespace = r.Namespace }},
		{Name: "a policy of every namespace", Values: withAdmissionPolicy, Change: func(r *Release) { r.binding().Name = render.Fullname }},
	},
}

// ofCluster says whether an object is in no namespace.
func ofCluster(o render.Object) bool {
	switch o.Object.(type) {
	case *admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding:
		return true
	}
	return false
}
