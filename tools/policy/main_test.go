package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
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

// asProgram is the variable that makes the test binary behave as the command does.
const asProgram = "POLICY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program runs the command as a process of its own in a folder, and returns its exit code and what it prints for people.
func program(t *testing.T, dir string, environment []string, arguments ...string) (int, string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return execute(t, dir, append(environment, asProgram+"=1"), self, arguments...)
}

// execute runs a program, and returns its exit code and what it prints for people.
func execute(t *testing.T, dir string, environment []string, name string, arguments ...string) (int, string) {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), environment...)
	var errors bytes.Buffer
	command.Stderr = &errors
	if err := command.Run(); command.ProcessState == nil {
		require.NoError(t, err, "start %s", name)
	}
	return command.ProcessState.ExitCode(), errors.String()
}

// The findings of the chart's own values would look like those of the values that somebody forgot to name.
func TestWithoutValuesItSaysHowToNameThem(t *testing.T) {
	text, err := run(t)
	require.ErrorContains(t, err, "there are no values to check: name a file with -f my-values.yaml, or a value with --set key=value")
	assert.NotErrorIs(t, err, errFindings)
	assert.Empty(t, text)
	_, err = run(t, "--set-string", "podAnnotations.a=1", "--kube-version", "1.37")
	assert.NoError(t, err)
	root, err := render.Root()
	require.NoError(t, err)
	_, err = run(t, "-f", filepath.Join(root, "charts", "redis-ha", "values.yaml"), "--kube-version", "1.37")
	assert.NoError(t, err, "the chart's own values")
}

func TestWithoutTheChartItSaysWhereToRun(t *testing.T) {
	values, elsewhere := file(t, "auth: true"), t.TempDir()
	code, text := program(t, elsewhere, []string{render.ChartVariable + "="}, "-f", values)
	assert.Equal(t, 2, code)
	assert.Contains(t, text, "policy: find the chart: run this in a clone of the repository, or set "+render.ChartVariable+
		" to the folder of the chart: find the repository: no directory above this one contains charts/redis-ha\n")
	code, text = program(t, elsewhere, []string{render.ChartVariable + "=" + elsewhere}, "-f", values)
	assert.Equal(t, 2, code)
	assert.Contains(t, text, "policy: find the chart: set "+render.ChartVariable+" to the folder of the chart: stat "+elsewhere+"/Chart.yaml: no such file or directory\n")
	root, err := render.Root()
	require.NoError(t, err)
	code, text = program(t, elsewhere, []string{render.ChartVariable + "=" + filepath.Join(root, "charts", "redis-ha")}, "-f", values, "--kube-version", "1.37")
	assert.Zero(t, code, text)
}

func TestMakePolicyWithoutValuesSaysHowToNameThem(t *testing.T) {
	root, err := render.Root()
	require.NoError(t, err)
	code, text := execute(t, root, []string{"MAKEFLAGS="}, "make", "policy", "VALUES=")
	assert.Equal(t, 2, code)
	assert.Contains(t, text, "make policy: there are no values to check: set VALUES=my-values.yaml, or several files: VALUES=\"a.yaml b.yaml\"\n")
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
		"a version":      {"--set", "auth=true", "--kube-version", "1.12"},
		"a format":       {"--set", "auth=true", "-o", "html"},
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
