package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestPassword tests one release with auth, from its installation to its end.
func TestPassword(t *testing.T) {
	r := &release{name: "secured", namespace: workNamespace, servers: 3, sentinels: 3}
	// The probe for a healthy release needs the password, which the chart makes.
	r.readPassword = true
	r.install(t, "--set", "auth=true", "--set", "persistence.size=128Mi")
	subtest := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			r.use(t)
			test(t)
		})
	}
	subtest("is random, and can be read as documented", func(t *testing.T) {
		said := bash(t, `echo $(kubectl get secret secured-redis-ha --namespace `+workNamespace+` -o "jsonpath={.data['auth']}" | base64 -d)`)
		require.Regexp(t, "^[A-Za-z0-9]{10}$", strings.TrimSpace(said))
		require.Equal(t, r.password, strings.TrimSpace(said))
	})
	subtest("is asked for by servers and sentinels", func(t *testing.T) {
		sentinel := r.fullname() + "-sentinel." + r.namespace
		for password, refusal := range map[string]string{"": "NOAUTH", "wrong": "WRONGPASS"} {
			said := r.cliWith(t, password, r.masterService(), redisPort, "set", "key", "value")
			require.Contains(t, said, refusal, "server, password %q", password)
			said = r.cliWith(t, password, sentinel, sentinelPort, "sentinel", "masters")
			require.Contains(t, said, refusal, "sentinel, password %q", password)
		}
		require.Contains(t, r.cli(t, r.masterService(), redisPort, "set", "key", "value"), "OK")
	})
	subtest("makes no difference to the commands of the notes", func(t *testing.T) { r.runNotes(t) })
	subtest("makes no difference to helm test", func(t *testing.T) {
		require.Contains(t, r.helm(t, "test", r.name), "Succeeded")
	})
	subtest("is only in the Secret", func(t *testing.T) { r.passwordIsSecret(t) })
	subtest("stays the same over helm upgrade", func(t *testing.T) {
		before := r.password
		r.upgrade(t, "--set", `servers.annotations.example\.com/owner=team-cache`)
		require.Equal(t, before, r.secretPassword(t))
	})
	subtest("makes no difference when the master pod is deleted", r.survivesDeletedMaster)
	subtest("makes no difference when Redis is killed", r.survivesKilledRedis)
	t.Run("goes with the release", func(t *testing.T) { r.uninstall(t) })
}

// secretPassword reads the password from the Secret of the release.
func (r *release) secretPassword(t *testing.T) string {
	t.Helper()
	secret, err := env.Kube.CoreV1().Secrets(r.namespace).Get(t.Context(), r.fullname(), metav1.GetOptions{})
	require.NoError(t, err)
	return string(secret.Data["auth"])
}

// passwordIsSecret looks for the password where it must not be.
func (r *release) passwordIsSecret(t *testing.T) {
	t.Helper()
	maps, err := env.Kube.CoreV1().ConfigMaps(r.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for what, objects := range map[string]any{"pods": r.pods(t), "ConfigMaps": maps.Items} {
		text, err := yaml.Marshal(objects)
		require.NoError(t, err)
		require.NotContains(t, string(text), r.password, what)
	}
	for _, pod := range r.pods(t) {
		arguments, err := env.Execute(t.Context(), r.namespace, pod.Name, nil, "bash", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
		require.NoError(t, err)
		require.Contains(t, arguments, "launcher", "arguments of the processes of %s", pod.Name)
		require.NotContains(t, arguments, r.password, "arguments of the processes of %s", pod.Name)
	}
	logs, err := filepath.Glob(filepath.Join(r.watcher.dir, "*.log"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(logs), r.servers+r.sentinels, "logs")
	for _, log := range logs {
		content, err := os.ReadFile(log)
		require.NoError(t, err)
		require.NotContains(t, string(content), r.password, log)
	}
}
