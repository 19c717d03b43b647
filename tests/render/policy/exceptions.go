package policy

import "strings"

// Exception is a finding that is accepted.
type Exception struct {
	Rule   *Rule
	Kind   string // of the object
	Path   string // of the finding
	Case   string // values file of the chart; empty for all values, those of users too
	Reason string
}

// Exceptions are all of them. One that covers no finding any more fails the tests.
var Exceptions = []Exception{
	{
		Rule: &RightsAreThoseCalled, Kind: "Role", Path: "rules[pods].verbs[get]",
		Reason: "The documented Role grants it, and scripts that run kubectl in a pod of the release rely on it. Whoever may list pods learns nothing more by get.",
	},
}

// Excepted is the exception that covers a finding of a rule, nil if there is none.
func Excepted(rule *Rule, valuesFile string, f Finding) *Exception {
	for i, e := range Exceptions {
		kind, _, _ := strings.Cut(f.Object, "/")
		if e.Rule == rule && e.Kind == kind && e.Path == f.Path && (e.Case == "" || e.Case == valuesFile) {
			return &Exceptions[i]
		}
	}
	return nil
}

// Violations are the findings of a rule that no exception covers.
func Violations(rule *Rule, r *Release) []Finding {
	var found []Finding
	for _, f := range rule.Check(r).Findings {
		if Excepted(rule, "", f) == nil {
			found = append(found, f)
		}
	}
	return found
}
