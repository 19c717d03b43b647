package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the tests read of one.
type workflow struct {
	On   map[string]any
	Jobs map[string]struct {
		Uses  string
		Steps []struct{ Uses, Run string }
	}
}

// workflows are those of .github/workflows, by file name.
func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root(t), ".github", "workflows", "*.yml"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d workflows found, error %v", len(paths), err)
	}
	found := map[string]workflow{}
	for _, path := range paths {
		name := filepath.Base(path)
		var parsed workflow
		// GitHub reads YAML 1.2, where a bare "on" is no boolean.
		text := strings.Replace(read(t, ".github", "workflows", name), "\non:", "\n\"on\":", 1)
		if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
			t.Fatalf("parse %s: %v", name, err)
		}
		if len(parsed.On) == 0 || len(parsed.Jobs) == 0 {
			t.Errorf("%s has no trigger or no job", name)
		}
		found[name] = parsed
	}
	return found
}

var (
	makeCommand  = regexp.MustCompile(`(?m)^\s*make ([a-z0-9-]+)`)
	exactVersion = regexp.MustCompile(`@v[0-9]+\.[0-9]+\.[0-9]+$`)
)

func TestWorkflowsRunWhatThereIs(t *testing.T) {
	makefile := read(t, "Makefile")
	all := workflows(t)
	commands := 0
	for name, one := range all {
		for job, content := range one.Jobs {
			if called, local := strings.CutPrefix(content.Uses, "./.github/workflows/"); local {
				if _, callable := all[called].On["workflow_call"]; !callable {
					t.Errorf("job %s of %s calls %s, which is not there or has no workflow_call", job, name, called)
				}
			}
			for _, step := range content.Steps {
				if step.Uses != "" && !exactVersion.MatchString(step.Uses) {
					t.Errorf("job %s of %s uses %s: name an exact version", job, name, step.Uses)
				}
				for _, command := range makeCommand.FindAllStringSubmatch(step.Run, -1) {
					commands++
					if !strings.Contains(makefile, "\n"+command[1]+":") {
						t.Errorf("job %s of %s runs make %s, which does not exist", job, name, command[1])
					}
				}
			}
		}
	}
	if commands < 5 {
		t.Errorf("only %d make commands were seen", commands)
	}
}
