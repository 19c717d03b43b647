package nodeimage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryComponentHasAModule(t *testing.T) {
	modules, err := filepath.Abs("../../../nodeimage")
	require.NoError(t, err)
	names := map[string]bool{}
	for _, program := range append(Components(modules), Kubectl(modules)) {
		assert.FileExists(t, filepath.Join(program.Module, "go.mod"), program.Name)
		assert.False(t, names[program.Name], "%s is built twice", program.Name)
		names[program.Name] = true
	}
}

func TestKubernetesVersionIsThePinnedOne(t *testing.T) {
	content, err := os.ReadFile("../../../nodeimage/kubernetes/go.mod")
	require.NoError(t, err)
	assert.Contains(t, string(content), "k8s.io/kubernetes "+Kubernetes+"\n")
	assert.Contains(t, kubernetesVariables[0], Kubernetes)
}

func TestContainerfileCopiesEveryComponent(t *testing.T) {
	content, err := files.ReadFile("files/Containerfile")
	require.NoError(t, err)
	for _, program := range Components("modules") {
		found := false
		for _, line := range strings.Split(string(content), "\n") {
			found = found || strings.HasPrefix(line, "COPY ") && strings.Contains(line+" ", " "+program.Name+" ")
		}
		assert.True(t, found, program.Name)
	}
}

func TestStageKeepsProgramsExecutable(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	program := filepath.Join(from, "program")
	require.NoError(t, os.WriteFile(program, []byte("x"), 0o644))
	kind := filepath.Join(from, "kind")
	for _, name := range []string{"usr/local/bin/entrypoint", "etc/crictl.yaml"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(kind, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(kind, name), nil, 0o444))
	}
	require.NoError(t, stage(to, kind, map[string]string{"etcd": program}))
	for name, executable := range map[string]bool{
		"etcd": true, "kind/usr/local/bin/entrypoint": true, "kind/etc/crictl.yaml": false, "kind/kind/manifests/default-storage.yaml": false,
	} {
		info, err := os.Stat(filepath.Join(to, name))
		require.NoError(t, err)
		assert.Equal(t, executable, info.Mode()&0o111 != 0, name)
	}
}

func TestIsLocal(t *testing.T) {
	assert.True(t, IsLocal("localhost/redis-ha/node:0123456789abcdef"))
	assert.False(t, IsLocal(Published))
}
