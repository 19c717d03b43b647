package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// fatal is a render.T outside a test: what fails becomes an error.
type fatal struct{}

func (fatal) Helper() {}

func (fatal) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

// cases are the values files of a chart, by name.
func cases(dir string) (found map[string]render.Values, err error) {
	defer func() {
		if problem, ok := recover().(error); ok {
			err = problem
		}
	}()
	found = map[string]render.Values{}
	for _, c := range render.CasesIn(fatal{}, dir) {
		found[c.Name] = c.Values
	}
	return found, nil
}

// compare prints what differs between two charts, and tells whether anything does.
func compare(oldDir, newDir string, to io.Writer) (bool, error) {
	before, err := cases(oldDir)
	if err != nil {
		return false, fmt.Errorf("read the older values files: %w", err)
	}
	after, err := cases(newDir)
	if err != nil {
		return false, fmt.Errorf("read the newer values files: %w", err)
	}
	names := maps.Clone(after)
	maps.Copy(names, before)
	found := false
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var older, newer map[string]string
		if values, ok := before[name]; ok {
			// A user who upgrades keeps the values of the older version.
			older, newer = rendered(oldDir, values), rendered(newDir, values)
		} else {
			newer = rendered(newDir, after[name])
		}
		text, err := difference(name, older, newer)
		if err != nil {
			return false, err
		}
		found = found || text != ""
		if _, err := io.WriteString(to, text); err != nil {
			return false, fmt.Errorf("print the difference: %w", err)
		}
	}
	return found, nil
}

// random are the password and the certificate that differ in every rendering.
var random = regexp.MustCompile(`(?m)^(  (?:auth|ca\.crt|ca\.key|tls\.crt|tls\.key): ).*$`)

// rendered is everything that a chart gives for some values, by the name of the object. A refusal is part of it.
func rendered(dir string, values render.Values) map[string]string {
	m, err := render.Try(values, render.Dir(dir))
	if err != nil {
		return map[string]string{"refusal": strings.TrimSpace(err.Error()) + "\n"}
	}
	texts := map[string]string{"NOTES.txt": strings.TrimSpace(m.Notes) + "\n"}
	for _, o := range m.Objects {
		text := strings.TrimSpace(o.YAML) + "\n"
		if strings.HasPrefix(o.ID(), "Secret/") && values["redisPassword"] == nil {
			text = random.ReplaceAllString(text, "${1}a random value")
		}
		texts[o.ID()] = text
	}
	return texts
}

// difference is a unified diff of each object of one values file.
func difference(name string, before, after map[string]string) (string, error) {
	var all strings.Builder
	ids := maps.Clone(after)
	if ids == nil {
		ids = map[string]string{}
	}
	maps.Copy(ids, before)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if before[id] == after[id] {
			continue
		}
		text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: lines(before[id]), B: lines(after[id]), FromFile: "old/" + name + "/" + id, ToFile: "new/" + name + "/" + id, Context: 3,
		})
		if err != nil {
			return "", fmt.Errorf("compare %s of %s: %w", id, name, err)
		}
		all.WriteString(text)
	}
	return all.String(), nil
}

// lines splits a text that ends in a line break; an empty one has none.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return difflib.SplitLines(strings.TrimSuffix(text, "\n"))
}
