package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestTwoReleasesInOneNamespace installs a small release beside the documented
// one, from a registry instead of a repository and with as many values set as
// there are reasons to set them, and breaks it.
func TestTwoReleasesInOneNamespace(t *testing.T) {
	first := documentedRelease(t)
	second := &release{name: "second", namespace: first.namespace, servers: 2, sentinels: 1, password: "two words, 'quoted' \"twice\""}
	second.installChart(t, pushChart(t), "--plain-http",
		"--set", "replicas.servers=2", "--set", "replicas.sentinels=1",
		"--set", "persistence.enabled=false",
		"--set", "resources.master.requests.cpu=50m", "--set", "resources.slave.requests.cpu=50m",
		"--set", "resources.sentinel.requests.memory=64Mi", "--set", "resources.sentinel.limits.memory=64Mi",
		"--set", `nodeSelector.kubernetes\.io/os=linux`,
		"--set", "tolerations[0].key=dedicated", "--set", "tolerations[0].operator=Exists",
		"--set", "serviceAccount.name=second-account",
		"--set", "servers.serviceType=NodePort",
		"--set", "servers.config.maxmemory=64mb",
		"--set", "auth=true", "--set", `redisPassword=two words\, 'quoted' "twice"`,
		"--set", "redis_image="+env.Image,
	)
	subtest := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			first.use(t)
			second.use(t)
			test(t)
		})
	}
	subtest("the values of the second reach its pods", func(t *testing.T) {
		requireSecondValues(t, second)
	})
	subtest("each has its own pods behind its Services", func(t *testing.T) {
		for _, service := range []string{"", "-master-svc", "-slave-svc", "-sentinel"} {
			require.NotSubset(t, first.endpoints(t, service), second.endpoints(t, service), "endpoints of Service %s", service)
		}
	})
	subtest("a failover in one leaves the other alone", func(t *testing.T) {
		client := first.write(t)
		before := first.master(t)
		second.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
		require.Equal(t, before.UID, first.master(t).UID, "master of the first release")
		client.costs(planned)
	})
	t.Run("the first stays when the second goes", func(t *testing.T) {
		client := first.write(t)
		before := first.pods(t)
		second.uninstall(t)
		eventually(t, recoveryTime, "the first release to be complete", first.healthy)
		require.ElementsMatch(t, uids(before), uids(first.pods(t)), "pods of the first release")
		client.costs(planned)
	})
}

// requireSecondValues compares objects with the values of the second release.
func requireSecondValues(t *testing.T, r *release) {
	t.Helper()
	for _, pod := range r.pods(t) {
		container := pod.Spec.Containers[0]
		require.Equal(t, env.Image, container.Image, pod.Name)
		require.Equal(t, "linux", pod.Spec.NodeSelector["kubernetes.io/os"], pod.Name)
		require.Contains(t, pod.Spec.Tolerations, corev1.Toleration{Key: "dedicated", Operator: corev1.TolerationOpExists}, pod.Name)
		require.Equal(t, "second-account", pod.Spec.ServiceAccountName, pod.Name)
		if pod.Labels["component"] == "sentinel" {
			require.Equal(t, resource.MustParse("64Mi"), *container.Resources.Limits.Memory(), pod.Name)
			continue
		}
		require.Equal(t, resource.MustParse("50m"), *container.Resources.Requests.Cpu(), pod.Name)
		for _, volume := range pod.Spec.Volumes {
			require.Nil(t, volume.Ephemeral, "volume %s of pod %s", volume.Name, pod.Name)
		}
	}
	require.Equal(t, corev1.ServiceTypeNodePort, r.service(t, "-master-svc").Spec.Type)
	require.Contains(t, r.cli(t, r.masterService(), redisPort, "config", "get", "maxmemory"), "67108864")
}
