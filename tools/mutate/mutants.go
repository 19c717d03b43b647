package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-ha/redis-ha/tests/render/schema"
)

// A mutant is a chart that differs from the real one in one line.
type mutant struct {
	file   string // of the chart, with slashes
	number int    // of the line, from 1
	change string // "remove" or "flip"
	before string // the line, without the spaces around it
	after  string // what it becomes, empty when it is removed
	nth    int    // which of the same lines of the file, from 1
}

// name is how the table of survivors calls the mutant; it does not change with the lines above it.
func (m mutant) name() string {
	name := fmt.Sprintf("%s: %s %s", m.file, m.change, m.before)
	if m.nth > 1 {
		name += fmt.Sprintf(" (%d)", m.nth)
	}
	if m.change == "flip" {
		name += " -> " + m.after
	}
	return name
}

// write changes the file in a copy of the chart.
func (m mutant) write(dir string, original []byte) error {
	lines := strings.Split(string(original), "\n")
	if m.change == "remove" {
		lines = slices.Delete(lines, m.number-1, m.number)
	} else {
		lines[m.number-1] = strings.Replace(lines[m.number-1], m.before, m.after, 1)
	}
	return os.WriteFile(filepath.Join(dir, filepath.FromSlash(m.file)), []byte(strings.Join(lines, "\n")), 0o600)
}

// mutants are those of a chart: every line of a template removed, every literal of a template and every value flipped.
func mutants(dir string) ([]mutant, error) {
	var found []mutant
	root := filepath.Join(dir, "templates")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		found = append(found, templateMutants(filepath.ToSlash(name), string(text))...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "values.schema.json"))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	accepted, err := schema.Read(string(text))
	if err != nil {
		return nil, err
	}
	values, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	found = append(found, valueMutants(string(values), accepted)...)
	count(found)
	return found, nil
}

// count numbers the mutants that would have the same name.
func count(mutants []mutant) {
	seen := map[string]int{}
	for i := range mutants {
		m := &mutants[i]
		key := m.file + m.change + m.before
		seen[key]++
		m.nth = seen[key]
	}
}

// literal is a key with a plain value in a template.
var literal = regexp.MustCompile(`^(\s*(?:- )?[A-Za-z0-9.]+: )(true|false|"true"|"false"|[0-9]+)$`)

// templateMutants leaves out comments, of templates and of YAML, and empty lines.
func templateMutants(file, text string) []mutant {
	var found []mutant
	comment := false
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		starts := strings.HasPrefix(trimmed, "{{/*") || strings.HasPrefix(trimmed, "{{- /*")
		if comment || starts {
			comment = !strings.Contains(trimmed, "*/")
			continue
		}
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		found = append(found, mutant{file: file, number: i + 1, change: "remove", before: trimmed})
		if match := literal.FindStringSubmatch(line); match != nil {
			found = append(found, mutant{file: file, number: i + 1, change: "flip", before: trimmed, after: strings.TrimSpace(match[1]) + " " + flipped(match[2], nil)})
		}
	}
	return found
}

var valueLine = regexp.MustCompile(`^( *)([A-Za-z_]+):(?: (.*))?$`)

// valueMutants flips every value that is no map and no list.
func valueMutants(text string, root *schema.Node) []mutant {
	var found []mutant
	var path []string
	for i, line := range strings.Split(text, "\n") {
		match := valueLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		path = append(path[:len(match[1])/2:len(match[1])/2], match[2])
		if value := match[3]; value != "" && value != "{}" && value != "[]" {
			found = append(found, mutant{
				file: "values.yaml", number: i + 1, change: "flip", before: strings.TrimSpace(line), after: match[2] + ": " + flipped(value, nodeAt(root, path)),
			})
		}
	}
	return found
}

// nodeAt is what the schema says about a value, nil if nothing.
func nodeAt(n *schema.Node, path []string) *schema.Node {
	for _, step := range path {
		if n = n.Properties[step]; n == nil {
			return nil
		}
	}
	return n
}

var number = regexp.MustCompile(`[0-9]+`)

// flipped is another value of the same kind: the other boolean, the next number, the next word that the schema lists.
func flipped(value string, node *schema.Node) string {
	if node != nil && len(node.Enum) > 1 {
		at := slices.Index(node.Enum, any(value))
		return fmt.Sprint(node.Enum[(at+1)%len(node.Enum)])
	}
	switch value {
	case "true", "false":
		return strconv.FormatBool(value == "false")
	case `"true"`, `"false"`:
		return strconv.Quote(strconv.FormatBool(value == `"false"`))
	case "null":
		return "0"
	case `""`:
		return `"other"`
	}
	if at := number.FindStringIndex(value); at != nil {
		n, err := strconv.Atoi(value[at[0]:at[1]])
		if err == nil {
			return value[:at[0]] + strconv.Itoa(n+1) + value[at[1]:]
		}
	}
	return value + "x"
}
