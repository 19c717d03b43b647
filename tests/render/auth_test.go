package chart_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

const password = "S3cret-of-the-test"

// storedPassword is the password in the Secret of the release.
func storedPassword(t *testing.T, m *render.Manifests) string {
	t.Helper()
	return string(render.One[*corev1.Secret](t, m, render.Fullname).Data["auth"])
}

func TestWithoutAuthThereIsNoSecret(t *testing.T) {
	m := render.Chart(t, nil)
	render.None[*corev1.Secret](t, m)
	for _, p := range m.PodTemplates() {
		if p.Owner == "Pod/"+render.Fullname+"-test" {
			assert.NotContains(t, environment(t, p.Spec.Containers[0]), "REDIS_PASS", p.Owner)
		}
	}
}

// What is missing keeps no container from starting. With auth the same pods find it.
func TestPodsStartWithoutTheSecretOfTheChart(t *testing.T) {
	without, with := render.Chart(t, nil), render.Chart(t, render.Values{"auth": true})
	for _, component := range []string{"server", "sentinel"} {
		name := render.Fullname + "-" + component
		pod := render.One[*appsv1.Deployment](t, without, name).Spec.Template
		assert.Equal(t, pod, render.One[*appsv1.Deployment](t, with, name).Spec.Template, "auth replaces no pod")
		assert.True(t, *passwordVolume(t, pod.Spec).Optional)
		for _, e := range pod.Spec.Containers[0].Env {
			if e.Name == "REDIS_PASS" {
				assert.True(t, *e.ValueFrom.SecretKeyRef.Optional)
			}
		}
	}
	settings := func(m *render.Manifests) string {
		return render.One[*corev1.ConfigMap](t, m, render.Fullname+"-settings").Data["settings"]
	}
	assert.Contains(t, settings(without), "LAUNCHER_AUTH=false\n")
	assert.Contains(t, settings(with), "LAUNCHER_AUTH=true\nLAUNCHER_PASSWORD_GRACE_SECONDS=3600\n")
}

// passwordVolume is the Secret that a pod follows.
func passwordVolume(t *testing.T, pod corev1.PodSpec) *corev1.SecretVolumeSource {
	t.Helper()
	for _, v := range pod.Volumes {
		if v.Name == "password" {
			return v.Secret
		}
	}
	t.Fatal("there is no volume password")
	return nil
}

func TestPodsFollowTheKeyOfTheSecret(t *testing.T) {
	for key, values := range map[string]render.Values{
		"auth":           {"auth": true, "existingSecret": "mine"},
		"redis-password": {"auth": true, "existingSecret": "mine", "existingSecretPasswordKey": "redis-password"},
	} {
		m := render.Chart(t, values)
		for _, p := range m.PodTemplates() {
			assert.Equal(t, "secret:mine/"+key, environment(t, p.Spec.Containers[0])["REDIS_PASS"], p.Owner)
			if p.Owner == "Pod/"+render.Fullname+"-test" {
				continue
			}
			volume := passwordVolume(t, p.Spec)
			assert.Equal(t, "mine", volume.SecretName)
			assert.Nil(t, volume.Optional, "a pod waits for a Secret of the user")
			assert.Equal(t, []corev1.KeyToPath{{Key: key, Path: "password"}}, volume.Items, "nothing else of the Secret")
			assert.Equal(t, "/etc/redis-ha-password/password", environment(t, p.Spec.Containers[0])["LAUNCHER_PASSWORD_FILE"])
		}
	}
}

// Values that "helm upgrade --reuse-values" keeps lack the newer ones.
func TestReusedValuesOfAnEarlierChartKeepTheGracePeriod(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{auth: true, passwordRotation: null, existingSecretPasswordKey: null}"))
	assert.Contains(t, render.One[*corev1.ConfigMap](t, m, render.Fullname+"-settings").Data["settings"], "LAUNCHER_PASSWORD_GRACE_SECONDS=3600\n")
}

func TestEveryContainerReadsThePasswordFromTheSecret(t *testing.T) {
	for name, values := range map[string]render.Values{
		render.Fullname: {"auth": true},
		"mine":          {"auth": true, "existingSecret": "mine"},
	} {
		m := render.Chart(t, values)
		require.Len(t, m.PodTemplates(), 3)
		for _, p := range m.PodTemplates() {
			assert.Equal(t, "secret:"+name+"/auth", environment(t, p.Spec.Containers[0])["REDIS_PASS"], p.Owner)
		}
	}
}

func TestGivenPasswordIsStored(t *testing.T) {
	for _, given := range []string{password, "12345", `p@ss 'word" $HOME #1 {{ .Values }}`, "пароль-密碼", strings.Repeat("x", 512)} {
		m := render.Chart(t, render.Values{"auth": true, "redisPassword": given})
		assert.Equal(t, given, storedPassword(t, m))
		assert.Equal(t, corev1.SecretTypeOpaque, render.One[*corev1.Secret](t, m, render.Fullname).Type)
	}
}

func TestRandomPasswordHasTenLettersAndDigits(t *testing.T) {
	first, second := storedPassword(t, render.Chart(t, render.Values{"auth": true})), storedPassword(t, render.Chart(t, render.Values{"auth": true}))
	assert.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9]{10}$`), first)
	assert.NotEqual(t, first, second)
}

// existing is the Secret of an earlier revision of the release.
func existing(t *testing.T, data map[string][]byte) render.Option {
	return render.Existing(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: render.Fullname, Namespace: render.Namespace}, Data: data,
	})
}

func TestRandomPasswordSurvivesAnUpgrade(t *testing.T) {
	m := render.Chart(t, render.Values{"auth": true}, existing(t, map[string][]byte{"auth": []byte("chosen-before")}))
	assert.Equal(t, "chosen-before", storedPassword(t, m))
}

func TestGivenPasswordReplacesTheStoredOne(t *testing.T) {
	m := render.Chart(t, render.Values{"auth": true, "redisPassword": password}, existing(t, map[string][]byte{"auth": []byte("chosen-before")}))
	assert.Equal(t, password, storedPassword(t, m))
}

// Kubernetes lets nobody change what is immutable: an upgrade with another password, or with other directives, would fail.
func TestWhatAnUpgradeMayChangeIsNotImmutable(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{auth: true, servers: {config: {timeout: 1}}}"))
	checked := 0
	for _, o := range m.Objects {
		switch object := o.Object.(type) {
		case *corev1.Secret:
			checked++
			assert.False(t, object.Immutable != nil && *object.Immutable, o.ID())
		case *corev1.ConfigMap:
			checked++
			assert.False(t, object.Immutable != nil && *object.Immutable, o.ID())
		}
	}
	assert.Equal(t, 2, checked, "the Secret with the password, and redis.conf")
}

func TestSecretWithoutThePasswordGetsARandomOne(t *testing.T) {
	for name, data := range map[string]map[string][]byte{"another key": {"other": []byte("x")}, "no data": nil, "empty": {"auth": nil}} {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, storedPassword(t, render.Chart(t, render.Values{"auth": true}, existing(t, data))), 10)
		})
	}
}

func TestPasswordOfAnotherReleaseIsNotTaken(t *testing.T) {
	m := render.Chart(t, render.Values{"auth": true}, render.Existing(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: render.Fullname, Namespace: "elsewhere"}, Data: map[string][]byte{"auth": []byte("not mine")},
	}))
	assert.NotEqual(t, "not mine", storedPassword(t, m))
}

func TestExistingSecretIsUsedInsteadOfCreatingOne(t *testing.T) {
	m := render.Chart(t, render.Values{"auth": true, "existingSecret": "mine"})
	render.None[*corev1.Secret](t, m)
}

// A checksum of the password in a pod template would restart the pods at every rendering with a random one.
func TestPodTemplatesDoNotChangeWithThePassword(t *testing.T) {
	first := render.Chart(t, render.Values{"auth": true, "redisPassword": "one"})
	second := render.Chart(t, render.Values{"auth": true, "redisPassword": "two"})
	assert.Equal(t, first.PodTemplates(), second.PodTemplates())
}
