package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/policy"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

// run carries the command out and returns what it writes.
func run(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := newCommand(&out)
	command.SetArgs(arguments)
	err := command.Execute()
	return out.String(), err
}

// file is a values file.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// unlimited are values that a policy does not take; the chart does where unchecked was called.
const unlimited = "resources: {sentinel: {limits: {memory: null}}}"

// unchecked makes the commands of a test use a chart that leaves resources to the policies.
func unchecked(t *testing.T) {
	t.Helper()
	root, err := render.Root()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(root, "charts", "redis-ha"))))
	path := filepath.Join(dir, "templates", "_validate.tpl")
	checks, err := os.ReadFile(path)
	require.NoError(t, err)
	without := bytes.Replace(checks, []byte(`{{ include "redis-ha.problems.resources" . }}`), nil, 1)
	require.Less(t, len(without), len(checks))
	require.NoError(t, os.WriteFile(path, without, 0o600))
	t.Setenv(render.ChartVariable, dir)
}

func TestGoodValuesHaveNoFindings(t *testing.T) {
	text, err := run(t, "-f", file(t, "auth: true"), "--set", "replicas.servers=5", "--kube-version", "1.29,1.37")
	require.NoError(t, err)
	assert.Contains(t, text, "Kubernetes 1.29, 1.37: 0 findings")
}

func TestFindingNamesRuleObjectPathAndWhatToDo(t *testing.T) {
	unchecked(t)
	text, err := run(t, "-f", file(t, unlimited))
	require.ErrorIs(t, err, errFindings)
	for _, want := range []string{
		"resources-are-set", "Deployment/redis-ha-redis-ha-sentinel", "spec.template.spec.containers[sentinel].resources.limits.memory",
		policy.ResourcesAreSet.Why, policy.ResourcesAreSet.Fix, "1.29, 1.30, 1.31", ": 1 findings",
	} {
		assert.Contains(t, text, want)
	}
}

func TestLaterValuesOverrideEarlierOnes(t *testing.T) {
	unchecked(t)
	_, err := run(t, "-f", file(t, unlimited), "-f", file(t, "resources: {sentinel: {limits: {memory: 1Gi}}}"), "--kube-version", "1.37")
	assert.NoError(t, err)
	_, err = run(t, "-f", file(t, "auth: true"), "--set", "resources.sentinel.limits.memory=null", "--kube-version", "1.37")
	assert.ErrorIs(t, err, errFindings)
}

func TestWhatCannotBeCheckedIsNoFinding(t *testing.T) {
	for name, arguments := range map[string][]string{
		"no such file":   {"-f", "no-such-file.yaml"},
		"no YAML":        {"-f", file(t, "a: b: c")},
		"a schema error": {"--set", "replicas.server=3"},
		"a refusal":      {"--set", "replicas.sentinels=2"},
		"a version":      {"--kube-version", "1.12"},
		"a format":       {"-o", "html"},
		"an argument":    {"values.yaml"},
	} {
		text, err := run(t, arguments...)
		require.Error(t, err, name)
		assert.NotErrorIs(t, err, errFindings, name)
		assert.Empty(t, text, name)
	}
}

func TestJUnitHasACaseForEachRule(t *testing.T) {
	unchecked(t)
	text, err := run(t, "-f", file(t, unlimited), "-o", "junit", "--kube-version", "1.37")
	require.ErrorIs(t, err, errFindings)
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name     string `xml:"name,attr"`
			Failures []struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	require.NoError(t, xml.Unmarshal([]byte(text), &suite))
	assert.Equal(t, len(policy.Rules), suite.Tests)
	assert.Len(t, suite.Cases, suite.Tests)
	assert.Equal(t, 1, suite.Failures)
	for _, c := range suite.Cases {
		assert.Equal(t, c.Name == "resources-are-set", len(c.Failures) == 1, c.Name)
	}
}

func TestSARIFNamesTheRuleAndTheFile(t *testing.T) {
	unchecked(t)
	values := file(t, unlimited)
	text, err := run(t, "-f", values, "-o", "sarif", "--kube-version", "1.37")
	require.ErrorIs(t, err, errFindings)
	var sarif struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &sarif))
	assert.Equal(t, "2.1.0", sarif.Version)
	require.Len(t, sarif.Runs, 1)
	require.Len(t, sarif.Runs[0].Results, 1)
	found := sarif.Runs[0].Results[0]
	assert.Equal(t, "resources-are-set", found.RuleID)
	assert.Equal(t, found.RuleID, sarif.Runs[0].Tool.Driver.Rules[found.RuleIndex].ID)
	assert.Equal(t, values, found.Locations[0].PhysicalLocation.ArtifactLocation.URI)
}
