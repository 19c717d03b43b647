package demo

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestManifest(t *testing.T) {
	d := Demo{Namespace: "kube-public", Release: "redis-ha", WriterImage: "docker.io/library/redis-ha-writer:dev"}
	var got corev1.Pod
	require.NoError(t, yaml.UnmarshalStrict([]byte(d.manifest()), &got))
	assert.Equal(t, pod, got.Name)
	container := got.Spec.Containers[0]
	assert.Equal(t, d.WriterImage, container.Image)
	assert.Equal(t, []string{"-address=redis-ha-redis-ha-master-svc.kube-public:6379", "-duration=15s"}, container.Args)
	assert.Equal(t, "redis-ha-redis-ha", container.Env[0].ValueFrom.SecretKeyRef.Name)
}

func TestParseReport(t *testing.T) {
	_, err := parseReport("writing\n")
	assert.Error(t, err)
	report, err := parseReport("writing\n{\"acknowledged\":10,\"lost\":0,\"longestGapMilliseconds\":1020,\"failures\":2,\"failureKinds\":{\"timeout\":2}}\n")
	require.NoError(t, err)
	assert.Equal(t, 10, report.Acknowledged)
	assert.Contains(t, report.Text(), "1.020 s")
	assert.Contains(t, report.Text(), "2 x timeout")
}
