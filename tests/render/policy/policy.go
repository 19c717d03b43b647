// Package policy holds what must be true of every rendering of the chart, whatever its values.
//
// A rule is a file with one exported variable. It looks at a release as the API server would get it, and it carries mutants:
// small changes of a real rendering that it must catch. The tests of this package run each rule on each values file of the
// chart for each supported Kubernetes version; tools/policy runs the same rules on the values of a user.
package policy

import "fmt"

// Rule is one thing that must be true of every rendering.
type Rule struct {
	ID        string // kebab-case; part of the output, so it does not change
	Title     string // the claim, without a full stop
	Why       string // what breaks in production where it is not true
	Fix       string // what to do about a finding
	Reference string // where to read on: a URL, or a path in this repository
	Check     func(*Release) Result
	Mutants   []Mutant
}

// Mutant breaks a real rendering in a way that the rule must catch.
type Mutant struct {
	Name   string
	Values string // as in a values file, where the defaults do not have what is to be broken
	Change func(*Release)
}

// Finding is a place where a rule is not kept.
type Finding struct {
	Object  string // Kind/name
	Path    string // of the field; list entries by their name where they have one
	Message string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Object, f.Path, f.Message) }

// Result is what a rule found, and how many things it looked at. A rule that looked at none has proved nothing.
type Result struct {
	Findings []Finding
	Subjects int
}

// find adds a finding.
func (r *Result) find(object, path, format string, arguments ...any) {
	r.Findings = append(r.Findings, Finding{object, path, fmt.Sprintf(format, arguments...)})
}

// check counts a subject, and adds a finding where it is not as it must be.
func (r *Result) check(holds bool, object, path, format string, arguments ...any) {
	r.Subjects++
	if !holds {
		r.find(object, path, format, arguments...)
	}
}
