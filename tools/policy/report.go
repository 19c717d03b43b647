package main

import (
	"fmt"
	"slices"

	"github.com/redis-ha/redis-ha/tests/render/policy"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

// report is what the rules say about some values.
type report struct {
	files   []string
	minors  []string
	results []result
}

// result is what one rule says.
type result struct {
	rule     *policy.Rule
	subjects int
	findings []finding
}

// finding is one for the Kubernetes versions where it is found.
type finding struct {
	policy.Finding
	minors []string
}

// findings counts them.
func (r report) findings() int {
	count := 0
	for _, result := range r.results {
		count += len(result.findings)
	}
	return count
}

// evaluate renders the values for each Kubernetes version and runs every rule on it.
func evaluate(values map[string]any, minors []string) (report, error) {
	r := report{minors: minors}
	for _, rule := range policy.Rules {
		r.results = append(r.results, result{rule: rule})
	}
	for _, minor := range minors {
		release, err := policy.NewRelease(render.Values(values), minor)
		if err != nil {
			return r, fmt.Errorf("the chart refuses the values: %w", err)
		}
		for i := range r.results {
			r.results[i].add(release, minor)
		}
	}
	return r, nil
}

// add runs the rule on a release.
func (r *result) add(release *policy.Release, minor string) {
	found := r.rule.Check(release)
	r.subjects += found.Subjects
	for _, f := range found.Findings {
		if policy.Excepted(r.rule, "", f) != nil {
			continue
		}
		known := slices.IndexFunc(r.findings, func(other finding) bool { return other.Finding == f })
		if known < 0 {
			known = len(r.findings)
			r.findings = append(r.findings, finding{Finding: f})
		}
		if !slices.Contains(r.findings[known].minors, minor) {
			r.findings[known].minors = append(r.findings[known].minors, minor)
		}
	}
}
