package chart_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// hostile are strings that break YAML, templates or redis.conf where they are not quoted.
var hostile = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", " ", "x", "yes", "null", "~", "1e3", "0x10", "a: b", "- a", "#x", "a #b", "{{ .Values }}", "{a: b}", "[a]", "!!int 1", "&a", "*a", "|", ">-", "%", "@x", "`x`",
		`"`, `'`, `\`, `\n`, "a\nb", "a\r\nb: c", "\ta", "---", "...", "key: |\n  text", "$(id)", "${X}", "密碼", "\u2028", "\u0085", strings.Repeat("x", 300),
	}),
	rapid.String(),
)

// Any combination of numbers is either rendered or refused by a rule of the chart, as this model says.
func TestPropertyNumbersAreAcceptedExactlyWhenTheyFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers, sentinels := rapid.IntRange(0, 6).Draw(t, "servers"), rapid.IntRange(0, 8).Draw(t, "sentinels")
		values := render.Values{"replicas": map[string]any{"servers": servers, "sentinels": sentinels}}
		legal := servers >= 1 && sentinels%2 == 1
		if rapid.Bool().Draw(t, "with quorum") {
			quorum := rapid.IntRange(0, 9).Draw(t, "quorum")
			values["sentinel"] = map[string]any{"quorum": quorum}
			legal = legal && (quorum < sentinels || sentinels == 1 && quorum == 1) && quorum > sentinels/2
		}
		if rapid.Bool().Draw(t, "with min-replicas") {
			slaves := rapid.IntRange(0, 7).Draw(t, "min-replicas")
			values["servers"] = map[string]any{"minReplicasToWrite": slaves}
			legal = legal && slaves < servers
		}
		if !legal {
			assert.NotEmpty(t, problems(t, values))
			return
		}
		m := render.Chart(t, values)
		assert.EqualValues(t, servers, *render.One[*appsv1.Deployment](t, m, server).Spec.Replicas)
		assert.EqualValues(t, sentinels, *render.One[*appsv1.Deployment](t, m, sentinel).Spec.Replicas)
	})
}

// A password is stored as it is, or refused because of a control character or its length.
func TestPropertyPasswordsAreStoredAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := hostile.Filter(func(s string) bool { return s != "" }).Draw(t, "password")
		values := render.Values{"auth": true, "redisPassword": given}
		m, err := render.Try(values)
		if err != nil {
			assert.Len(t, problems(t, values), 1)
			return
		}
		assert.Equal(t, given, string(render.One[*corev1.Secret](t, m, render.Fullname).Data["auth"]))
	})
}

// A value of servers.config stays on the line of its directive, or is refused.
func TestPropertyConfigValuesStayOnOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := hostile.Draw(t, "value")
		config := map[string]any{"aaa": "1", "maxmemory-policy": value, "zzz": "2"}
		if _, err := render.Try(render.Values{"servers": map[string]any{"config": config}}); err != nil {
			lines := problems(t, render.Values{"servers": map[string]any{"config": config}})
			assert.Len(t, lines, 1)
			assert.Contains(t, lines[0], "maxmemory-policy")
			return
		}
		if value == "" {
			value = `""`
		}
		assert.Equal(t, []string{"aaa 1", "maxmemory-policy " + value, "zzz 2"}, redisConf(t, config))
	})
}

// The name of a directive is refused or written as it is.
func TestPropertyDirectiveNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		directive := rapid.OneOf(hostile, rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`)).Draw(t, "directive")
		values := render.Values{"servers": map[string]any{"config": map[string]any{directive: "1"}}}
		if _, err := render.Try(values); err != nil {
			assert.NotEmpty(t, problems(t, values))
			return
		}
		assert.Equal(t, []string{directive + " 1"}, redisConf(t, map[string]any{directive: "1"}))
	})
}

// Annotations are free text: they arrive as they are given, or a control character is refused.
func TestPropertyAnnotationsArriveUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := hostile.Draw(t, "text")
		values := render.Values{
			"servers":        map[string]any{"annotations": map[string]any{"example.com/a": text}},
			"podAnnotations": map[string]any{"example.com/b": text},
		}
		m, err := render.Try(values)
		if err != nil {
			assert.Len(t, problems(t, values), 2)
			assert.True(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r > 0xFFFD && r < 0x10000 }), "%q", text)
			return
		}
		assert.Equal(t, text, render.One[*corev1.Service](t, m, master).Annotations["example.com/a"])
		for _, p := range workloadPods(m) {
			assert.Equal(t, text, p.Meta.Annotations["example.com/b"])
		}
	})
}

// restricted are the strings with a form, and where they arrive in the objects.
var restricted = map[string]struct {
	values  func(text string) render.Values
	arrives func(t render.T, m *render.Manifests) string
}{
	"redis_image": {
		func(s string) render.Values { return render.Values{"redis_image": s + ":1"} },
		func(_ render.T, m *render.Manifests) string {
			return strings.TrimSuffix(m.PodTemplates()[0].Spec.Containers[0].Image, ":1")
		},
	},
	"sentinel.masterName": {
		func(s string) render.Values { return render.Values{"sentinel": map[string]any{"masterName": s}} },
		func(_ render.T, m *render.Manifests) string {
			return variable(m.PodTemplates()[0], "LAUNCHER_MASTER_NAME")
		},
	},
	"notifications.webhook": {
		func(s string) render.Values {
			return render.Values{"notifications": map[string]any{"webhook": map[string]any{"url": s}}}
		},
		func(_ render.T, m *render.Manifests) string {
			return variable(m.PodTemplates()[0], "LAUNCHER_NOTIFY_WEBHOOK_URL")
		},
	},
	"persistence.storageClass": {
		func(s string) render.Values { return render.Values{"persistence": map[string]any{"storageClass": s}} },
		func(t render.T, m *render.Manifests) string {
			for _, v := range render.One[*appsv1.Deployment](t, m, server).Spec.Template.Spec.Volumes {
				if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate.Spec.StorageClassName != nil {
					return *v.Ephemeral.VolumeClaimTemplate.Spec.StorageClassName
				}
			}
			return ""
		},
	},
	"serviceAccount.name": {
		func(s string) render.Values { return render.Values{"serviceAccount": map[string]any{"name": s}} },
		func(_ render.T, m *render.Manifests) string { return m.PodTemplates()[0].Spec.ServiceAccountName },
	},
	"fullnameOverride": {
		func(s string) render.Values { return render.Values{"fullnameOverride": s} },
		func(_ render.T, m *render.Manifests) string {
			return strings.TrimSuffix(variable(m.PodTemplates()[0], "REDIS_CHART_PREFIX"), "-")
		},
	},
	"nodeSelector": {
		func(s string) render.Values { return render.Values{"nodeSelector": map[string]any{"disk": s}} },
		func(_ render.T, m *render.Manifests) string { return m.PodTemplates()[0].Spec.NodeSelector["disk"] },
	},
	"tolerations": {
		func(s string) render.Values {
			return render.Values{"tolerations": []any{map[string]any{"key": "disk", "value": s}}}
		},
		func(_ render.T, m *render.Manifests) string { return m.PodTemplates()[0].Spec.Tolerations[0].Value },
	},
	"imagePullSecrets": {
		func(s string) render.Values {
			return render.Values{"imagePullSecrets": []any{map[string]any{"name": s}}}
		},
		func(_ render.T, m *render.Manifests) string {
			return m.PodTemplates()[0].Spec.ImagePullSecrets[0].Name
		},
	},
	"nameOverride": {
		func(s string) render.Values { return render.Values{"nameOverride": s} },
		func(_ render.T, m *render.Manifests) string { return m.PodTemplates()[0].Meta.Labels["app"] },
	},
}

// variable is the value of an environment variable of the pod's first container, empty if there is none.
func variable(p render.PodTemplate, name string) string {
	for _, e := range p.Spec.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func TestPropertyTextWithAFormArrivesOrIsRefused(t *testing.T) {
	for path, r := range restricted {
		t.Run(path, func(t *testing.T) {
			accepted := 0
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.OneOf(hostile, rapid.StringMatching(`(https://)?[a-z][a-z0-9.-]{0,30}`)).Draw(t, "text")
				m, err := render.Try(r.values(text))
				if err != nil {
					assert.Contains(t, strings.ReplaceAll(err.Error(), "/", "."), path)
					return
				}
				accepted++
				if text == "" || (text == "-" && path == "persistence.storageClass") {
					return // the default, or no class
				}
				require.Equal(t, text, r.arrives(t, m))
			})
			assert.Positive(t, accepted, "every text was refused")
		})
	}
}

// TestMain draws 30 cases for each property unless told otherwise with -rapid.checks: a case renders the chart, which takes
// about 10 ms.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "30"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
