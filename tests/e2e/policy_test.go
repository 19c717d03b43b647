package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/policyengine"
)

const (
	launcherPort = 8080
	// strangerPort is where the stranger listens.
	strangerPort = 7000
	// policyTime bounds the time from a changed NetworkPolicy to the packets that follow it.
	policyTime = 30 * time.Second
	// allowed names the client and the scraper, both in the namespace of the release.
	allowed = `networkPolicy={"enabled":true,"clients":[{"podSelector":{"matchLabels":{"e2e":"client"}}}],"scrapers":[{"podSelector":{"matchLabels":{"e2e":"scraper"}}}]}`
)

// TestNetworkPolicyKeepsOthersOut shows with packets who reaches what, and that a release fails over as before.
func TestNetworkPolicyKeepsOthersOut(t *testing.T) {
	require.NoError(t, env.Prepare(t.Context()))
	stop, err := policyengine.Enforce(t.Context(), &env.Cluster, repositoryRoot)
	cleanUp(t, stop)
	require.NoError(t, err)
	bash(t, fmt.Sprintf("kubectl label pod %s --namespace %s e2e=client", clientPod, workNamespace))
	scraper, stranger := neighbour(t, "scraper"), neighbour(t, "stranger")

	r := &release{name: "walled", namespace: workNamespace, servers: 3, sentinels: 3, readPassword: true}
	r.install(t, "--set", "auth=true")
	master, sentinel := r.master(t), r.component(t, "sentinel")[0]
	requireLinks(t, []reach{
		{stranger.Name, master.Status.PodIP, redisPort, true}, {stranger.Name, sentinel.Status.PodIP, sentinelPort, true},
		{stranger.Name, master.Status.PodIP, launcherPort, true}, {clientPod, stranger.Status.PodIP, strangerPort, true},
	})

	before := r.pods(t)
	r.upgrade(t, "--set-json", allowed)
	requireLinks(t, []reach{
		{clientPod, master.Status.PodIP, redisPort, true}, {clientPod, sentinel.Status.PodIP, sentinelPort, true}, {clientPod, master.Status.PodIP, launcherPort, false},
		{scraper.Name, master.Status.PodIP, launcherPort, true}, {scraper.Name, sentinel.Status.PodIP, launcherPort, true}, {scraper.Name, master.Status.PodIP, redisPort, false},
		{stranger.Name, master.Status.PodIP, redisPort, false}, {stranger.Name, sentinel.Status.PodIP, sentinelPort, false}, {stranger.Name, master.Status.PodIP, launcherPort, false},
		{master.Name, stranger.Status.PodIP, strangerPort, false}, {sentinel.Name, stranger.Status.PodIP, strangerPort, false}, {clientPod, stranger.Status.PodIP, strangerPort, true},
	})
	eventually(t, recoveryTime, "a healthy release behind its NetworkPolicy", r.healthy)
	r.requireUntouched(t, before, len(before))

	r.failover(t, planned, func(master *corev1.Pod) { r.kubectl(t, "delete", "pod", master.Name, "--wait=false") })
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.KillLauncher(t.Context(), master)) })
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.FreezeRedis(t.Context(), master, 10*time.Second)) })
	r.kubectl(t, "rollout", "restart", r.sentinelDeployment())
	bash(t, fmt.Sprintf("kubectl rollout status %s --namespace %s --timeout 3m", r.sentinelDeployment(), r.namespace))
	eventually(t, recoveryTime, "a healthy release with other sentinels", r.healthy)
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	requireLinks(t, []reach{{stranger.Name, r.master(t).Status.PodIP, redisPort, false}, {clientPod, r.master(t).Status.PodIP, redisPort, true}})
	bash(t, fmt.Sprintf("helm test %s --namespace %s", r.name, r.namespace))
	r.uninstall(t)
}

// neighbour is a pod in the namespace of the release, with its name as a label, that listens at strangerPort.
func neighbour(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	pod := env.SleepingPod(name)
	pod.Labels = map[string]string{"e2e": name}
	pod.Spec.Containers[0].Command = []string{"redis-server", "--port", fmt.Sprint(strangerPort), "--protected-mode", "no", "--save", "", "--dir", "/client"}
	require.NoError(t, env.CreatePod(t.Context(), pod))
	t.Cleanup(func() {
		bashAfter(t, "kubectl delete pod "+name+" --namespace "+workNamespace+" --now --wait=false --ignore-not-found")
	})
	found, err := env.Kube.CoreV1().Pods(workNamespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return found
}

// reach says whether a pod of workNamespace opens a connection to an address.
type reach struct {
	from, to string
	port     int
	open     bool
}

// check tries the connection. The network drops the packets of a connection that it does not let through, so the attempt hangs.
func (l reach) check(ctx context.Context) error {
	said, err := env.Execute(ctx, workNamespace, l.from, nil, "bash", "-c",
		`timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1; case $? in 0) echo open;; 124) echo dropped;; *) echo refused;; esac`, "reach", l.to, fmt.Sprint(l.port))
	if err != nil {
		return err
	}
	want := map[bool]string{true: "open", false: "dropped"}[l.open]
	if words := strings.Fields(said); words[len(words)-1] != want {
		return fmt.Errorf("a connection of %s to %s port %d: %s, want %s", l.from, l.to, l.port, said, want)
	}
	return nil
}

// requireLinks wants all connections to be as told. The network follows a changed NetworkPolicy after a moment.
func requireLinks(t *testing.T, links []reach) {
	t.Helper()
	for _, link := range links {
		eventually(t, policyTime, fmt.Sprintf("%s to reach %s port %d: %t", link.from, link.to, link.port, link.open), link.check)
	}
	for _, link := range links {
		assert.NoError(t, link.check(t.Context()))
	}
}
