// Package admission asks the API server's own code whether a change of a pod passes the admission policy of a rendering.
//
// It is apart from package policy, because the API server's code takes long to build.
package admission

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Policy is a ValidatingAdmissionPolicy as the API server compiles it.
type Policy struct{ validator validating.Validator }

// Compile compiles the expressions of a policy as the API server of a Kubernetes version, such as "1.30", does for a policy that is created. The
// policy has no parameters. An API server takes only what the version before knows as well, so that it can be downgraded.
func Compile(p *admissionv1.ValidatingAdmissionPolicy, kubeVersion string) (*Policy, error) {
	ofServer, err := version.ParseGeneric(kubeVersion)
	if err != nil {
		return nil, fmt.Errorf("parse the Kubernetes version %q: %w", kubeVersion, err)
	}
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(ofServer.SubtractMinor(1)))
	if err != nil {
		return nil, fmt.Errorf("prepare the compiler of the policy %s: %w", p.Name, err)
	}
	with := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	for _, v := range p.Spec.Variables {
		result := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, with, environment.NewExpressions)
		if result.Error != nil {
			return nil, fmt.Errorf("compile the variable %s: %v", v.Name, result.Error)
		}
	}
	var conditions, validations, messages []cel.ExpressionAccessor
	for i := range p.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i]))
	}
	for _, v := range p.Spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		messages = append(messages, nil)
	}
	for _, expression := range append(append([]cel.ExpressionAccessor{}, conditions...), validations...) {
		if result := compiler.CompileCELExpression(expression, with, environment.NewExpressions); result.Error != nil {
			return nil, fmt.Errorf("compile %s: %v", expression.GetExpression(), result.Error)
		}
	}
	compile := func(expressions []cel.ExpressionAccessor) cel.ConditionEvaluator {
		return compiler.CompileCondition(expressions, with, environment.NewExpressions)
	}
	matcher := matchconditions.NewMatcher(compile(conditions), p.Spec.FailurePolicy, "policy", "validate", p.Name)
	return &Policy{validating.NewValidator(compile(validations), matcher, compile(nil), compile(messages), p.Spec.FailurePolicy, nil)}, nil
}

// Refusals are the messages with which the policy refuses that an account changes a pod from old to changed; none if it lets the change pass.
func (p *Policy) Refusals(account string, old, changed *corev1.Pod) ([]string, error) {
	kind, resource := corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithResource("pods")
	attributes := admission.NewAttributesRecord(changed, old, kind, old.Namespace, old.Name, resource, "", admission.Update, nil, false, &user.DefaultInfo{Name: account})
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: kind, VersionedOldObject: admission.NewLazyObject(old), VersionedObject: admission.NewLazyObject(changed)}
	result := p.validator.Validate(context.Background(), resource, versioned, nil, nil, celconfig.RuntimeCELCostBudget, nil)
	var refusals []string
	for _, decision := range result.Decisions {
		if decision.Evaluation == validating.EvalError {
			return nil, fmt.Errorf("evaluate the policy: %s", decision.Message)
		}
		if decision.Action == validating.ActionDeny {
			refusals = append(refusals, decision.Message)
		}
	}
	return refusals, nil
}
