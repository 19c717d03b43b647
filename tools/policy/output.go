package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// formats are the ways to write a report.
var formats = map[string]func(io.Writer, report) error{"text": writeText, "junit": writeJUnit, "sarif": writeSARIF}

// writeText is for people.
func writeText(out io.Writer, r report) error {
	var text strings.Builder
	subjects := 0
	for _, result := range r.results {
		subjects += result.subjects
		for _, f := range result.findings {
			fmt.Fprintf(&text, "%s: %s\n", result.rule.ID, result.rule.Title)
			for _, line := range [][2]string{
				{"object", f.Object}, {"path", f.Path}, {"found", f.Message}, {"Kubernetes", strings.Join(f.minors, ", ")},
				{"why", result.rule.Why}, {"fix", result.rule.Fix}, {"read on", result.rule.Reference},
			} {
				fmt.Fprintf(&text, "  %-11s %s\n", line[0], line[1])
			}
			text.WriteString("\n")
		}
	}
	fmt.Fprintf(&text, "%d rules, %d things looked at, Kubernetes %s: %d findings\n", len(r.results), subjects, strings.Join(r.minors, ", "), r.findings())
	_, err := io.WriteString(out, text.String())
	return err
}

// writeJUnit has a test case for each rule.
func writeJUnit(out io.Writer, r report) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name     string    `xml:"name,attr"`
		Class    string    `xml:"classname,attr"`
		Failures []failure `xml:"failure"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	suite := testsuite{Name: "redis-ha policies", Tests: len(r.results)}
	for _, result := range r.results {
		c := testcase{Name: result.rule.ID, Class: "redis-ha.policy"}
		for _, f := range result.findings {
			c.Failures = append(c.Failures, failure{Message: f.Finding.String(), Text: fmt.Sprintf(
				"%s\nKubernetes %s\nwhy: %s\nfix: %s", result.rule.Title, strings.Join(f.minors, ", "), result.rule.Why, result.rule.Fix)})
		}
		if len(c.Failures) > 0 {
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	encoded, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, encoded)
	return err
}

// writeSARIF is version 2.1.0 of the Static Analysis Results Interchange Format. What is found has a place in the first values
// file, as nothing else of it is in the user's repository.
func writeSARIF(out io.Writer, r report) error {
	type object = map[string]any
	rules, results := []object{}, []object{}
	for i, result := range r.results {
		rule := object{
			"id": result.rule.ID, "shortDescription": object{"text": result.rule.Title},
			"fullDescription": object{"text": result.rule.Why}, "help": object{"text": result.rule.Fix},
		}
		if strings.HasPrefix(result.rule.Reference, "https://") {
			rule["helpUri"] = result.rule.Reference
		}
		rules = append(rules, rule)
		for _, f := range result.findings {
			location := object{"logicalLocations": []object{{"fullyQualifiedName": f.Object + "." + f.Path, "kind": "object"}}}
			if len(r.files) > 0 {
				location["physicalLocation"] = object{"artifactLocation": object{"uri": r.files[0]}}
			}
			results = append(results, object{
				"ruleId": result.rule.ID, "ruleIndex": i, "level": "error",
				"message": object{"text": f.Finding.String() + ". " + result.rule.Fix}, "locations": []object{location},
			})
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{"tool": object{"driver": object{"name": "redis-ha policies", "rules": rules}}, "results": results}},
	})
}
