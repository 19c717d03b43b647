package policy

import (
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// AccountChangesOnlyLabels looks at what surrounds the expressions; package admission evaluates them.
var AccountChangesOnlyLabels = Rule{
	ID:    "account-changes-only-labels",
	Title: "An admission policy is for the account of the launchers, in force in the namespace of the release, and names the field that it refuses",
	Why: "A policy without a binding, with warnings only, or for another account does not protect. A policy that holds for other accounts or namespaces as well stops " +
		"controllers, and with them the cluster.",
	Fix:       "Bind the policy by its name, with the action Deny and the namespace of the release, and compare the user name with the account of the pods.",
	Reference: "docs/adr/0046-the-account-changes-labels-only.md",
	Check: func(r *Release) (result Result) {
		bound := map[string]bool{}
		for _, b := range render.All[*admissionv1.ValidatingAdmissionPolicyBinding](r.Manifests) {
			id := "ValidatingAdmissionPolicyBinding/" + b.Name
			bound[b.Spec.PolicyName] = true
			result.check(slices.Equal(b.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}), id, "spec.validationActions", "is not Deny alone")
			result.check(r.selectsOwnNamespace(b.Spec.MatchResources), id, "spec.matchResources", "does not select the namespace %s alone", r.Namespace)
		}
		for _, p := range render.All[*admissionv1.ValidatingAdmissionPolicy](r.Manifests) {
			id := "ValidatingAdmissionPolicy/" + p.Name
			result.check(bound[p.Name], id, "metadata.name", "no binding names the policy")
			result.check(p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy == admissionv1.Fail, id, "spec.failurePolicy", "is not Fail")
			result.check(seesChangesOfPods(p.Spec.MatchConstraints), id, "spec.matchConstraints", "does not see all changes of pods")
			for _, peer := range r.Peers() {
				want := `request.userInfo.username == "system:serviceaccount:` + r.Namespace + ":" + peer.Spec.ServiceAccountName + `"`
				result.check(len(p.Spec.MatchConditions) == 1 && p.Spec.MatchConditions[0].Expression == want, id, "spec.matchConditions", "is not %s", want)
			}
			for _, v := range p.Spec.Validations {
				field, _, _ := strings.Cut(v.Message, ": ")
				result.check(v.Reason != nil && *v.Reason == metav1.StatusReasonForbidden, id, "spec.validations["+v.Expression+"].reason", "is not Forbidden")
				result.check(slices.Contains(refusable, field), id, "spec.validations["+v.Expression+"].message", "begins with no field of a pod")
			}
		}
		result.Subjects += len(r.Peers())
		return result
	},
	Mutants: []Mutant{
		{Name: "no binding", Values: withAdmissionPolicy, Change: func(r *Release) { r.remove("ValidatingAdmissionPolicyBinding/" + r.binding().Name) }},
		{Name: "a binding of another policy", Values: withAdmissionPolicy, Change: func(r *Release) { r.binding().Spec.PolicyName = "other" }},
		{Name: "a warning", Values: withAdmissionPolicy, Change: func(r *Release) {
			r.binding().Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
		}},
		{Name: "every namespace", Values: withAdmissionPolicy, Change: func(r *Release) { r.binding().Spec.MatchResources = nil }},
		{Name: "another namespace", Values: withAdmissionPolicy, Change: func(r *Release) {
			r.binding().Spec.MatchResources.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] = "other"
		}},
		{Name: "a policy that lets errors pass", Values: withAdmissionPolicy, Change: func(r *Release) { r.admission().Spec.FailurePolicy = at(admissionv1.Ignore) }},
		{Name: "every account", Values: withAdmissionPolicy, Change: func(r *Release) { r.admission().Spec.MatchConditions = nil }},
		{Name: "another account", Values: withAdmissionPolicy, Change: func(r *Release) { r.server().Spec.Template.Spec.ServiceAccountName = "other" }},
		{Name: "new pods only", Values: withAdmissionPolicy, Change: func(r *Release) {
			r.admission().Spec.MatchConstraints.ResourceRules[0].Operations = []admissionv1.OperationType{admissionv1.Create}
		}},
		{Name: "a refusal that a launcher takes for a change by others", Values: withAdmissionPolicy, Change: func(r *Release) { r.admission().Spec.Validations[0].Reason = nil }},
		{Name: "no field in a message", Values: withAdmissionPolicy, Change: func(r *Release) { r.admission().Spec.Validations[0].Message = "this is not allowed" }},
	},
}

const withAdmissionPolicy = "admissionPolicy: {enabled: true}"

// refusable are the fields of a pod that the messages name.
var refusable = []string{"metadata.labels", "metadata.annotations", "metadata.ownerReferences", "metadata.finalizers", "spec", "status"}

func (r *Release) admission() *admissionv1.ValidatingAdmissionPolicy {
	return first[*admissionv1.ValidatingAdmissionPolicy](r)
}

func (r *Release) binding() *admissionv1.ValidatingAdmissionPolicyBinding {
	return first[*admissionv1.ValidatingAdmissionPolicyBinding](r)
}

// selectsOwnNamespace says whether a binding is for the namespace of the release alone.
func (r *Release) selectsOwnNamespace(match *admissionv1.MatchResources) bool {
	return match != nil && match.NamespaceSelector != nil && len(match.NamespaceSelector.MatchExpressions) == 0 &&
		maps.Equal(match.NamespaceSelector.MatchLabels, map[string]string{corev1.LabelMetadataName: r.Namespace})
}

// seesChangesOfPods says whether a policy is asked about every change of a pod, and of its subresources.
func seesChangesOfPods(match *admissionv1.MatchResources) bool {
	if match == nil || len(match.ResourceRules) != 1 {
		return false
	}
	rule := match.ResourceRules[0]
	return slices.Contains(rule.Operations, admissionv1.Update) && slices.Equal(rule.APIGroups, []string{""}) && slices.Equal(rule.APIVersions, []string{"v1"}) &&
		slices.Equal(rule.Resources, []string{"pods", "pods/*"})
}
