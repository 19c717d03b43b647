package chart_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// verifyArguments are the arguments of the Helm test as a map of flag to value.
func verifyArguments(t *testing.T, m *render.Manifests) map[string]string {
	t.Helper()
	args := render.One[*corev1.Pod](t, m, render.Fullname+"-test").Spec.Containers[0].Args
	require.NotEmpty(t, args)
	require.Equal(t, "verify", args[0])
	require.Equal(t, 1, len(args)%2, "flags and values come in pairs: %v", args)
	flags := map[string]string{}
	for i := 1; i < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	return flags
}

func TestHelmTestReachesEveryService(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "sentinel: {masterName: sessions}"))
	flags := verifyArguments(t, m)
	assert.Equal(t, "sessions", flags["--master-name"])
	for flag, name := range map[string]string{"--master": master, "--slave": slave, "--sentinel": sentinel} {
		host, port, err := net.SplitHostPort(flags[flag])
		require.NoError(t, err, flag)
		assert.Equal(t, name, host)
		assert.Equal(t, strconv.Itoa(int(render.One[*corev1.Service](t, m, host).Spec.Ports[0].Port)), port)
	}
}

func TestHelmTestAsksNoSlaveWhereThereIsNone(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "replicas: {servers: 1}"))
	assert.NotContains(t, verifyArguments(t, m), "--slave")
	m = render.Chart(t, render.YAML(t, "replicas: {servers: 2}"))
	assert.Contains(t, verifyArguments(t, m), "--slave")
}

func TestHelmTestIsTheOnlyHook(t *testing.T) {
	m := render.Chart(t, nil)
	pod := render.One[*corev1.Pod](t, m, render.Fullname+"-test")
	assert.Equal(t, "test", pod.Annotations["helm.sh/hook"])
	for _, o := range m.Objects {
		assert.Equal(t, o.Object == any(pod), o.Hook, o.ID())
	}
}
