package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// commands are the lines of NOTES.txt that a user pastes.
func commands(m *render.Manifests) []string {
	var found []string
	for _, line := range strings.Split(m.Notes, "\n") {
		if command, ok := strings.CutPrefix(line, "  $ "); ok {
			found = append(found, command)
		}
	}
	return found
}

// pasted runs a command in bash with a kubectl that only writes down its arguments, and returns these, one list for each call.
func pasted(t *testing.T, command string) [][]string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/bash\nprintf '%s\\x1f' \"$@\" >> " + log + "; printf '\\n' >> " + log + "\n" +
		"case \"$*\" in *'get pod '*) printf pod-of-the-master;; *'get secret '*) printf c2VjcmV0;; esac\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o700))
	bash := exec.Command("bash", "-c", command)
	bash.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	output, err := bash.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, output)
	content, err := os.ReadFile(log)
	require.NoError(t, err, command)
	var calls [][]string
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		calls = append(calls, strings.Split(strings.TrimSuffix(line, "\x1f"), "\x1f"))
	}
	return calls
}

func TestCommandsOfTheNotesNameWhatIsInstalled(t *testing.T) {
	for _, c := range render.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			m := render.Chart(t, c.Values)
			known := map[string]bool{"pod-of-the-master": true}
			for _, o := range m.Objects {
				switch o.Object.(type) {
				case *appsv1.Deployment:
					known["deployment/"+o.Object.GetName()] = true
				case *appsv1.StatefulSet:
					known["statefulset/"+o.Object.GetName()] = true
				case *corev1.Service, *corev1.Secret, *render.Certificate: // whose Secret has the same name
					known[o.Object.GetName()] = true
				}
			}
			if given, ok := c.Values["existingSecret"].(string); ok {
				known[given] = true
			}
			if section, ok := c.Values["tls"].(map[string]any); ok {
				if given, ok := section["existingSecret"].(string); ok {
					known[given] = true
				}
			}
			list := commands(m)
			require.GreaterOrEqual(t, len(list), 7)
			for _, command := range list {
				for _, call := range pasted(t, command) {
					assert.Contains(t, strings.Join(call, " "), "--namespace "+render.Namespace, command)
					for i, arg := range call {
						if strings.HasPrefix(arg, "deployment/") || strings.HasPrefix(arg, "statefulset/") || arg == "pod-of-the-master" {
							assert.True(t, known[arg], "%s: no %s", command, arg)
						}
						if arg == "secret" || arg == "service" {
							assert.True(t, known[call[i+3]], "%s: no %s %s", command, arg, call[i+3])
						}
					}
				}
			}
		})
	}
}

func TestNotesAnswerTheFirstQuestions(t *testing.T) {
	all := strings.Join(commands(render.Chart(t, nil)), "\n")
	for question, command := range map[string]string{
		"are the servers ready":      "rollout status --namespace kube-public deployment/" + server,
		"are the sentinels ready":    "rollout status --namespace kube-public deployment/" + sentinel,
		"which pod has which role":   "-L redis-role",
		"what does the cluster know": "-- launcher status",
		"does the short name answer": "-h redis-ha-redis-ha.kube-public.svc.cluster.local -p 6379 ping",
		"who is behind master":       "-h " + master + ".kube-public -p 6379 role",
		"who is behind slave":        "-h " + slave + ".kube-public -p 6379 role",
		"whom do sentinels name":     "-h " + sentinel + ".kube-public -p 26379 sentinel get-master-addr-by-name mymaster",
	} {
		assert.Contains(t, all, command, question)
	}
	assert.NotContains(t, all, "get service")
	all = strings.Join(commands(render.Chart(t, render.YAML(t, "servers: {serviceType: LoadBalancer}"))), "\n")
	assert.Contains(t, all, "get service --namespace kube-public "+master+" "+slave)
	notes := render.Chart(t, render.YAML(t, "replicas: {servers: 5, sentinels: 7}")).Notes
	assert.Contains(t, notes, "5 servers and 7 sentinels")
}

func TestNotesOpenRedisInThePodOfTheMaster(t *testing.T) {
	for _, auth := range []bool{false, true} {
		var found [][]string
		for _, command := range commands(render.Chart(t, render.Values{"auth": auth})) {
			if calls := pasted(t, command); len(calls) == 2 {
				found = calls
			}
		}
		require.Len(t, found, 2)
		assert.Contains(t, found[0], "app=redis-ha,release=redis-ha,redis-role=master")
		want := []string{"exec", "-it", "--namespace", render.Namespace, "pod-of-the-master", "--", "redis-cli"}
		if auth {
			want = append(want[:6], "bash", "-c", `REDISCLI_AUTH="$(</etc/redis-ha-password/password)" redis-cli`)
		}
		assert.Equal(t, want, found[1])
	}
}

// A password among the arguments shows in the process list of the node.
func TestNotesPassThePasswordInTheEnvironment(t *testing.T) {
	m := render.Chart(t, render.Values{"auth": true, "redisPassword": password})
	assert.NotContains(t, m.Notes, password)
	assert.NotContains(t, m.Notes, "redis-cli -a")
	for _, command := range commands(m) {
		if strings.Contains(command, "redis-cli") {
			assert.Contains(t, command, `bash -c 'REDISCLI_AUTH="$(</etc/redis-ha-password/password)" redis-cli`)
		}
	}
	assert.NotContains(t, render.Chart(t, nil).Notes, "redis-ha-password")
}

func TestNotesTellThePasswordOnlyToThoseWhoNeedOne(t *testing.T) {
	find := func(values render.Values) string {
		for _, command := range commands(render.Chart(t, values)) {
			if strings.Contains(command, "get secret") {
				return command
			}
		}
		return ""
	}
	assert.Empty(t, find(nil))
	assert.Contains(t, find(render.Values{"auth": true}), render.Fullname)
	command := find(render.Values{"auth": true, "existingSecret": "mine"})
	assert.Contains(t, command, " mine ")
	assert.Contains(t, command, "base64 -d")
}

func TestNotesNameTheAddresses(t *testing.T) {
	notes := render.Chart(t, nil).Notes
	for _, address := range []string{
		"redis-ha-redis-ha.kube-public.svc.cluster.local:6379",
		"redis-ha-redis-ha-master-svc.kube-public.svc.cluster.local:6379",
		"redis-ha-redis-ha-slave-svc.kube-public.svc.cluster.local:6379",
		"redis-ha-redis-ha-sentinel.kube-public.svc.cluster.local:26379",
		"redis-cli -h redis-ha-redis-ha-master-svc.kube-public -p 6379",
		"-L redis-role",
	} {
		assert.Contains(t, notes, address)
	}
}

func TestNotesWarnOfWhatAppliesOnly(t *testing.T) {
	for values, warning := range map[string]string{
		"replicas: {servers: 1}":           "with one server",
		"replicas: {sentinels: 1}":         "with one sentinel",
		"persistence: {enabled: false}":    "without persistence",
		"auth: false":                      "without a password",
		"serviceAccount: {create: false}":  "default service account",
		"servers: {serviceType: NodePort}": "From outside the cluster, use the addresses of the NodePort Services",
	} {
		assert.Contains(t, render.Chart(t, render.YAML(t, values)).Notes, warning, values)
	}
	notes := render.Chart(t, render.Values{"auth": true}).Notes
	assert.NotContains(t, notes, "WARNING")
	assert.NotContains(t, notes, "outside")
}

func TestNotesOfOneServerNameNoSlave(t *testing.T) {
	for _, values := range []string{"replicas: {servers: 1}", "{replicas: {servers: 1}, servers: {serviceType: NodePort}}"} {
		notes := render.Chart(t, render.YAML(t, values)).Notes
		assert.NotContains(t, notes, "slave-svc", values)
		assert.Contains(t, notes, master, values)
	}
}

// From the second server on there is a slave, and its Service has an address.
func TestNotesOfTwoServersNameTheSlave(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{replicas: {servers: 2}, servers: {serviceType: NodePort}}"))
	assert.Contains(t, m.Notes, "  read           "+slave+".kube-public.svc.cluster.local:6379\n")
	all := strings.Join(commands(m), "\n")
	assert.Contains(t, all, "get service --namespace kube-public "+master+" "+slave)
	assert.Contains(t, all, "-h "+slave+".kube-public -p 6379 role")
	assert.NotContains(t, m.Notes, "with one server")
}

func TestNotesIntroduceWhatTheyShow(t *testing.T) {
	for _, values := range []string{"auth: false", "auth: true", "servers: {serviceType: NodePort}"} {
		paragraphs := regexp.MustCompile(`\n{2,}`).Split(strings.TrimSpace(render.Chart(t, render.YAML(t, values)).Notes), -1)
		for i, paragraph := range paragraphs {
			if !strings.HasPrefix(paragraph, "  ") {
				continue
			}
			require.NotZero(t, i, paragraph)
			before := paragraphs[i-1]
			assert.False(t, strings.HasPrefix(before, "  "), "nothing says what this is:\n%s", paragraph)
			assert.Regexp(t, ":$", before, "before:\n%s", paragraph)
		}
	}
	assert.Contains(t, render.Chart(t, render.YAML(t, "auth: true")).Notes, "Inside the pods it is in the file /etc/redis-ha-password/password.")
}
