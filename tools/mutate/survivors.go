package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// The mutants that no test needs to notice, by name, with the reason.
//
//go:embed survivors.yaml
var survivorsFile []byte

// explained reads the table of survivors.
func explained() (map[string]string, error) {
	reasons := map[string]string{}
	if err := yaml.UnmarshalStrict(survivorsFile, &reasons); err != nil {
		return nil, fmt.Errorf("read tools/mutate/survivors.yaml: %w", err)
	}
	for name, reason := range reasons {
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("read tools/mutate/survivors.yaml: %q has no reason; say why no test needs to notice it", name)
		}
	}
	return reasons, nil
}

// verdict compares survivors with the table: those that are not in it, and entries of it that are no survivors.
func verdict(survivors []string, all map[string]bool, reasons map[string]string) (unexplained, unused []string) {
	for _, name := range survivors {
		if reasons[name] == "" {
			unexplained = append(unexplained, name)
		}
	}
	for name := range reasons {
		if all[name] && !slices.Contains(survivors, name) {
			unused = append(unused, name)
		}
	}
	slices.Sort(unused)
	return unexplained, unused
}
