// Package contract_test follows values of the chart to where they end: through the manifests and the launcher's environment
// into redis.conf and sentinel.conf.
package contract_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/tests/render/generate"
	"github.com/redis-ha/redis-ha/tests/render/render"
	"github.com/redis-ha/redis-ha/tests/render/schema"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

// fields are what the kubelet puts in for a field of the pod.
var fields = map[string]string{
	"metadata.name": "pod", "metadata.namespace": render.Namespace, "metadata.uid": "5f1c6f5e", "status.podIP": "10.0.0.1",
}

// environ is the environment that the container of a rendered pod gets. The files of the settings are in dir.
func environ(t render.T, m *render.Manifests, p render.PodTemplate, dir string) []string {
	t.Helper()
	var found []string
	container := p.Spec.Containers[0]
	for _, e := range container.Env {
		value := e.Value
		switch from := e.ValueFrom; {
		case from != nil && from.FieldRef != nil:
			value = fields[from.FieldRef.FieldPath]
		case from != nil && from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory":
			value = strconv.FormatInt(container.Resources.Limits.Memory().Value(), 10)
		case from != nil && from.SecretKeyRef != nil:
			value = "https://example.com/from-a-secret-of-the-user"
			for _, secret := range render.All[*corev1.Secret](m) {
				if secret.Name == from.SecretKeyRef.Name {
					value = string(secret.Data[from.SecretKeyRef.Key])
				}
			}
		case e.Name == "LAUNCHER_REDIS_CONFIG_FILE" || e.Name == "LAUNCHER_SETTINGS_FILE":
			file := filepath.Base(value)
			value = filepath.Join(dir, file)
			if err := os.WriteFile(value, []byte(render.All[*corev1.ConfigMap](m)[0].Data[file]), 0o600); err != nil {
				t.Fatalf("write the settings: %v", err)
			}
		case e.Name == "LAUNCHER_PASSWORD_FILE":
			value = filepath.Join(dir, filepath.Base(value))
			if err := os.WriteFile(value, mounted(m, p), 0o600); err != nil {
				t.Fatalf("write the password: %v", err)
			}
		}
		found = append(found, e.Name+"="+value)
		if e.ValueFrom == nil {
			found[len(found)-1] = e.Name + "=" + expanded(value, found)
		}
	}
	return found
}

// mounted is the password that a pod finds in the volume of that name; empty where the Secret is not there.
func mounted(m *render.Manifests, p render.PodTemplate) []byte {
	for _, v := range p.Spec.Volumes {
		if v.Name != "password" {
			continue
		}
		for _, secret := range render.All[*corev1.Secret](m) {
			if secret.Name == v.Secret.SecretName {
				return secret.Data[v.Secret.Items[0].Key]
			}
		}
		if v.Secret.Optional == nil {
			return []byte("from a Secret of the user")
		}
	}
	return nil
}

// expanded is a value as the kubelet gives it to a container: $(NAME) is the value of a variable before it, if there is one,
// and two $ are one.
func expanded(value string, environ []string) string {
	return regexp.MustCompile(`\$\$|\$\([^)]*\)`).ReplaceAllStringFunc(value, func(found string) string {
		if found == "$$" {
			return "$"
		}
		for _, variable := range environ {
			if name, value, _ := strings.Cut(variable, "="); found == "$("+name+")" {
				return value
			}
		}
		return found
	})
}

// launchers are the settings of a server and a sentinel of the rendered chart.
func launchers(t render.T, m *render.Manifests, dir string) (server, sentinel config.Config) {
	t.Helper()
	for _, p := range m.PodTemplates() {
		if strings.HasPrefix(p.Owner, "Pod/") {
			continue // the Helm test
		}
		c, err := config.FromEnviron(environ(t, m, p, dir))
		backup := strings.HasPrefix(p.Owner, "CronJob/")
		if err == nil && backup {
			err = c.CheckBackup()
		}
		if err == nil {
			c.RunDir = dir
			_, err = password.Open(&c, slog.New(slog.DiscardHandler))
		}
		if err != nil {
			t.Fatalf("the chart renders what the launcher refuses: %v", err)
		}
		if backup {
			continue
		}
		if c.Sentinel {
			sentinel = c
		} else {
			server = c
		}
	}
	return server, sentinel
}

// directives are the first words of the lines of a file, sorted; of sentinel.conf the first two where they belong together.
func directives(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if words[0] == "sentinel" {
			words[0] += " " + words[1]
		}
		found = append(found, words[0])
	}
	slices.Sort(found)
	return found
}

var (
	master = netip.MustParseAddrPort("10.0.0.2:6379")
	seed   = redisconf.SentinelSeed{ID: strings.Repeat("a", 40), Master: master}
)

// hostile are texts that try to end their word, their line or the file.
var hostile = rapid.OneOf(rapid.SampledFrom([]string{
	"", " ", `"`, `'`, `\`, `\n`, "a\nport 1", "a\r\nport 1", "a\u2028port 1", "a\u0085port 1", `"; port 1`, `" port 1 "`, `a "b" c`, "# port 1", "%s", "{{ .Values }}",
	"密碼", strings.Repeat("x", 300),
}), rapid.String())

// check renders values, if they are accepted, and compares the directives of both files with those that the values ask for.
func check(t *rapid.T, values render.Values, dir string, more func(server, sentinel []string) (wantServer, wantSentinel []string)) bool {
	m, err := render.Try(values)
	if err != nil {
		return false
	}
	plainServer, plainSentinel := launchers(t, render.Chart(t, nil), dir)
	wantServer, wantSentinel := more(directives(redisconf.Server(plainServer, master)), directives(redisconf.Sentinel(plainSentinel, seed)))
	slices.Sort(wantServer)
	slices.Sort(wantSentinel)
	server, sentinel := launchers(t, m, dir)
	require.Equal(t, wantServer, directives(redisconf.Server(server, master)))
	require.Equal(t, wantSentinel, directives(redisconf.Sentinel(sentinel, seed)))
	return true
}

// No text of the values that reaches redis.conf or sentinel.conf adds, removes or changes a directive.
func TestPropertyNoTextAddsADirective(t *testing.T) {
	dir, accepted := t.TempDir(), map[string]int{}
	texts := map[string]func(text string) (render.Values, func(server, sentinel []string) ([]string, []string)){
		"redisPassword": func(text string) (render.Values, func(server, sentinel []string) ([]string, []string)) {
			return render.Values{"auth": true, "redisPassword": text}, func(server, sentinel []string) ([]string, []string) {
				return append(server, "requirepass", "masterauth", "masteruser"),
					append(sentinel, "requirepass", "sentinel sentinel-pass", "sentinel sentinel-user", "sentinel auth-pass", "sentinel auth-user")
			}
		},
		"servers.config": func(text string) (render.Values, func(server, sentinel []string) ([]string, []string)) {
			return render.Values{"servers": map[string]any{"config": map[string]any{"proc-title-template": text}}}, func(server, sentinel []string) ([]string, []string) {
				return append(server, "proc-title-template"), sentinel
			}
		},
		"sentinel.masterName": func(text string) (render.Values, func(server, sentinel []string) ([]string, []string)) {
			return render.Values{"sentinel": map[string]any{"masterName": text}}, func(server, sentinel []string) ([]string, []string) {
				return server, sentinel
			}
		},
	}
	for name, of := range texts {
		rapid.Check(t, func(t *rapid.T) {
			values, more := of(rapid.OneOf(hostile, rapid.StringMatching(`[A-Za-z0-9._-]{1,20}`)).Draw(t, name))
			if check(t, values, dir, more) {
				accepted[name]++
			}
		})
		assert.Positive(t, accepted[name], "%s: every text was refused", name)
	}
}

// What the chart accepts, the launcher accepts: nobody learns from a crashing pod what a refusal could have told.
func TestPropertyLauncherAcceptsWhatTheChartRenders(t *testing.T) {
	root, err := schema.Read(render.File(t, "values.schema.json"))
	require.NoError(t, err)
	dir, rendered := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		m, err := render.Try(generate.Some(root.Leaves(), 4, hostile).Draw(t, "values"))
		if err != nil {
			return
		}
		rendered++
		server, sentinel := launchers(t, m, dir)
		require.False(t, server.Sentinel)
		require.True(t, sentinel.Sentinel)
		require.Equal(t, server.Quorum, sentinel.Quorum)
		require.Equal(t, server.SettingsVersion, sentinel.SettingsVersion)
	})
	assert.Positive(t, rendered)
}

// The kubelet changes values of variables, and an address may look like a reference to one, such as that with the password.
func TestPropertyWebhookReachesTheLauncherUnchanged(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		address := "https://example.com/?" + rapid.OneOf(rapid.SampledFrom([]string{"$(REDIS_PASS)", "$$(REDIS_PASS)", "$(POD_NAME", "$$x"}),
			rapid.StringMatching(`[$(){}A-Z_]{0,12}`)).Draw(t, "query")
		m := render.Chart(t, render.Values{"auth": true, "notifications": map[string]any{"webhook": map[string]any{"url": address}}})
		_, sentinel := launchers(t, m, dir)
		require.Equal(t, address, sentinel.WebhookURL)
	})
}

// The notes of an upgrade name the settings as the launchers do.
func TestNotesNameTheVersionOfTheSettingsThatLaunchersTell(t *testing.T) {
	for _, values := range []string{"", "servers: {config: {hz: 20}}", "{replicas: {sentinels: 5}, logLevel: debug}"} {
		m := render.Chart(t, render.YAML(t, values), render.Upgrade())
		server, _ := launchers(t, m, t.TempDir())
		require.Len(t, server.SettingsVersion, 8)
		require.Contains(t, m.Notes, `the settings are `+server.SettingsVersion+` in "launcher status"`, values)
	}
}
