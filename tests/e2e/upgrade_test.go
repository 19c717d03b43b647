package e2e

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/olderchart"
)

// helm4 runs a command of Helm 4 in the namespace of the release.
func (r *release) helm4(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--namespace", r.namespace)
	t.Logf("$ helm4 %s", strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(t.Context(), installTime)
	defer cancel()
	said, err := output(ctx, "helm4", args...)
	require.NoError(t, err)
	return said
}

// appliedBy lists the managers of an object's fields that use server-side apply.
func appliedBy(object metav1.ObjectMeta) []string {
	managers := []string{}
	for _, entry := range object.ManagedFields {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

// Helm 4 applies on the server, where somebody else's change of a field that
// the chart has is a conflict: what the launchers write must not be one.
func TestHelm4InstallsUpgradesRollsBackAndUninstalls(t *testing.T) {
	r := &release{name: "four", namespace: workNamespace, servers: 3, sentinels: 3}
	r.helm4(t, "repo", "add", "four", env.charts)
	r.watcher = watch(r)
	r.dumpIfFailed(t)
	r.helm4(t, "install", r.name, "four/redis-ha")
	eventually(t, installTime, "1 master, 2 slaves and 3 sentinels after helm4 install", r.healthy)
	require.Contains(t, appliedBy(r.service(t, "-master-svc").ObjectMeta), "helm", "managers of the master Service")
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })

	change := func(what string, args ...string) {
		v, err := r.look(t.Context())
		require.NoError(t, err)
		client := r.write(t)
		r.helm4(t, args...)
		eventually(t, 2*recoveryTime, "a complete release of new pods after "+what, allNew(r, v.pods))
		client.advance(100)
		client.costs(planned)
	}
	change("helm4 upgrade", "upgrade", r.name, "four/redis-ha", "--set", "podAnnotations.e2e=four")
	change("helm4 rollback", "rollback", r.name)
	require.Contains(t, r.helm4(t, "test", r.name), "Succeeded")
	r.helm4(t, "uninstall", r.name)
	eventually(t, removalTime, "every object of the release to be gone", r.gone)
	r.watcher.stop()
}

func TestUpgradeFromThePreviousChartLosesNothing(t *testing.T) {
	reference, err := olderchart.Previous(t.Context(), repositoryRoot)
	require.NoError(t, err)
	chart, err := olderchart.Export(t.Context(), repositoryRoot, reference, t.TempDir())
	require.NoError(t, err)
	t.Logf("the previous chart is the one of %s", reference)
	present := filepath.Join(repositoryRoot, olderchart.Path)

	r := &release{name: "older", namespace: workNamespace, servers: 3, sentinels: 3}
	r.installChart(t, chart, "--set", "redis_image="+env.Image)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	client := r.write(t)
	client.advance(100)
	// The annotation has all pods replaced, whatever the charts differ in.
	r.helm(t, "upgrade", r.name, present, "--reset-then-reuse-values", "--set-string", "podAnnotations.e2e=upgraded")
	eventually(t, 2*recoveryTime, "a complete release of new pods", allNew(r, v.pods))
	client.advance(100)
	client.costs(planned)

	// A release can go from Helm 3 to Helm 4 and back.
	before := r.pods(t)
	r.helm4(t, "upgrade", r.name, present, "--reuse-values", "--set", "servers.annotations.helm=four")
	require.Equal(t, "four", r.service(t, "-master-svc").Annotations["helm"])
	r.helm(t, "upgrade", r.name, present, "--reuse-values", "--set", "servers.annotations.helm=three")
	require.Equal(t, "three", r.service(t, "-master-svc").Annotations["helm"])
	eventually(t, recoveryTime, "a healthy release after the upgrades", r.healthy)
	require.ElementsMatch(t, uids(before), uids(r.pods(t)), "the pods before and after")
	var listed []struct{ Name, Status string }
	require.NoError(t, json.Unmarshal([]byte(r.helm4(t, "list", "--output", "json", "--filter", "^older$")), &listed))
	require.Len(t, listed, 1)
	require.Equal(t, "deployed", listed[0].Status)
	r.uninstall(t)
}
