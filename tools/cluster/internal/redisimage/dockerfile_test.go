package redisimage

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// repo is the folder of the repository.
const repo = "../../../.."

// instructions are those of image/Dockerfile, each on one line.
func instructions(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repo, "image", "Dockerfile"))
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(content), "")
	text = strings.ReplaceAll(text, "\\\n", "")
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// arguments are the build arguments of image/Dockerfile with their defaults.
func arguments(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, instruction := range instructions(t) {
		if argument, ok := strings.CutPrefix(instruction, "ARG "); ok {
			name, value, _ := strings.Cut(argument, "=")
			found[name] = value
		}
	}
	return found
}

// step is the only RUN instruction that contains some words.
func step(t *testing.T, words string) string {
	t.Helper()
	var found []string
	for _, instruction := range instructions(t) {
		if script, ok := strings.CutPrefix(instruction, "RUN "); ok && strings.Contains(script, words) {
			found = append(found, script)
		}
	}
	require.Len(t, found, 1, "steps with %q", words)
	return found[0]
}

// shell runs a step that changes nothing, with the build arguments and a redis-server that prints a version.
func shell(t *testing.T, script, server string, changed map[string]string) (string, error) {
	t.Helper()
	for _, word := range []string{"rm ", "apt", "chmod", "userdel", ">/", "> /"} {
		require.NotContains(t, script, word, "this step changes something, and must not run outside of a container")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis-server"), []byte("#!/bin/sh\necho '"+server+"'\n"), 0o700))
	command := exec.Command("sh", "-c", script)
	command.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	for _, values := range []map[string]string{arguments(t), changed} {
		for name, value := range values {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	output, err := command.CombinedOutput()
	return string(output), err
}

// With and without a registry the image has the same base, by name, and the same packages, by version.
func TestBothWaysOfBuildingTheImageAgree(t *testing.T) {
	given := arguments(t)
	assert.Equal(t, base, given["BASE"])
	assert.Contains(t, base, suite)
	assert.Equal(t, "FROM $BASE", instructions(t)[1], "the base is the argument")
	image, err := chartImage(repo)
	require.NoError(t, err)
	assert.Equal(t, tag(image), given["TAG"])
	passed := dockerfileArgs("valkey", image)
	assert.Equal(t, []string{"--build-arg", "BASE=" + base, "--build-arg", "ENGINE=valkey", "--build-arg", "TAG=" + tag(image)}, passed)
	for _, argument := range passed {
		if name, _, ok := strings.Cut(argument, "="); ok {
			assert.Contains(t, given, name, "image/Dockerfile has no such argument")
		}
	}
}

func TestPackagesAreInstalledInOneVersion(t *testing.T) {
	install := step(t, "apt-get install")
	assert.Contains(t, install, `"$ENGINE-server=$package"`)
	assert.Contains(t, install, `"$ENGINE-tools=$package"`)
	assert.Regexp(t, `^[0-9]+:[0-9.]+-\S*$`, arguments(t)["REDIS_VERSION"])
	assert.Regexp(t, `^[0-9.]+\S*-\S*$`, arguments(t)["VALKEY_VERSION"])
	assert.Contains(t, install, `apt-cache madison "$ENGINE-server"`, "where Debian has another version, the build says which")
}

// The tag of the image begins with the version of its engine, which the chart's appVersion repeats.
func TestTheTagTellsTheVersionOfTheEngine(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repo, "charts", "redis-ha", "Chart.yaml"))
	require.NoError(t, err)
	var chart struct{ AppVersion string }
	require.NoError(t, yaml.Unmarshal(content, &chart))
	assert.Equal(t, chart.AppVersion, arguments(t)["TAG"])

	check := step(t, "TAG is")
	for name, c := range map[string]struct {
		changed map[string]string
		says    string
	}{
		"as it is":                {nil, ""},
		"the tag of a fork":       {map[string]string{"TAG": "8.0.2-mine"}, ""},
		"Valkey in the same tag":  {map[string]string{"ENGINE": "valkey"}, ""},
		"an older tag":            {map[string]string{"TAG": "8.0.1-r1"}, "TAG is 8.0.1-r1, and REDIS_VERSION is " + arguments(t)["REDIS_VERSION"] + ": give the image a tag that begins with 8.0.2"},
		"a tag that begins alike": {map[string]string{"TAG": "8.0.20-r1"}, "a tag that begins with 8.0.2"},
		"a newer package":         {map[string]string{"REDIS_VERSION": "5:8.0.5-1"}, "a tag that begins with 8.0.5"},
		"an unknown engine":       {map[string]string{"ENGINE": "keydb"}, "ENGINE is keydb: use redis or valkey"},
	} {
		output, err := shell(t, check, "", c.changed)
		if c.says == "" {
			assert.NoError(t, err, "%s: %s", name, output)
			continue
		}
		assert.Error(t, err, name)
		assert.Contains(t, output, c.says, name)
	}
}

func TestTheBuildFailsWithAnotherEngineThanItsPackage(t *testing.T) {
	check := step(t, "redis-server --version")
	redis, valkey := "Redis server v=8.0.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"
	output, err := shell(t, check, redis, nil)
	assert.NoError(t, err, output)
	output, err = shell(t, check, valkey, map[string]string{"ENGINE": "valkey"})
	assert.NoError(t, err, output)
	for server, changed := range map[string]map[string]string{
		strings.Replace(redis, "8.0.2", "8.0.20", 1): nil, strings.Replace(redis, "8.0.2", "18.0.2", 1): nil, "": nil,
		redis: {"ENGINE": "valkey"}, redis + " ": {"REDIS_VERSION": "5:8.0.5-1"},
	} {
		output, err := shell(t, check, server, changed)
		assert.Error(t, err, server)
		assert.Contains(t, output, "the engine is not ", server)
	}
}

// OpenShift gives containers a user that no file knows, and the group 0. Programs start in the folder of the data.
func TestAnyUserWithTheGroupOfRootHasTheRightsOfTheUser(t *testing.T) {
	assert.Contains(t, step(t, "apt-get install"), "install -d -o 10001 -g 0 -m 0771 /redis-master-data")
	assert.Contains(t, instructions(t), "WORKDIR /redis-master-data")
	assert.Contains(t, instructions(t), "USER 10001:10001", "a user by number, as runAsNonRoot needs")
}
