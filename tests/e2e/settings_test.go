package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// settingsTime bounds the way of settings into all launchers: the kubelet refreshes a ConfigMap in a pod within 90 s, sentinels that have gone are
// forgotten a minute later, and a changed down-after counts two minutes later for some.
const settingsTime = 5 * time.Minute

// noPod is what the notes say of an upgrade that replaces none.
const noPod = "This upgrade replaces no pod."

// The tests of this file run at the same time: most of their time they wait for the kubelet.

// followed installs a release with small volumes.
func followed(t *testing.T, name, workload string) *release {
	t.Helper()
	r := &release{name: name, namespace: workNamespace, servers: 3, sentinels: 3, workload: strings.ToLower(workload)}
	t.Cleanup(func() { r.removeDurable(t) })
	r.install(t, "--set", "persistence.size=1Gi", "--set", "servers.workload="+workload)
	return r
}

// upgradeInPlace changes values of the release, and wants the notes to say before and after that no pod is replaced.
func (r *release) upgradeInPlace(t *testing.T, args ...string) {
	t.Helper()
	command := append([]string{r.name, "stable/redis-ha", "--reuse-values"}, args...)
	require.Contains(t, r.helm(t, "upgrade", append(command, "--dry-run=server")...), noPod)
	require.Contains(t, r.helm(t, "upgrade", command...), noPod)
}

// applied finds nothing wrong when all pods have applied the settings that a sentinel has read, and these are those of the release.
func (r *release) applied(ctx context.Context) error {
	v, err := r.look(ctx)
	if err != nil {
		return err
	}
	said, err := output(ctx, "kubectl", "exec", "--namespace", r.namespace, r.sentinelDeployment(), "--", "launcher", "status")
	if err != nil {
		return err
	}
	text, err := output(ctx, "helm", "get", "notes", r.name, "--namespace", r.namespace)
	if err != nil {
		return err
	}
	_, version, _ := strings.Cut(text, "the settings are ")
	version, _, _ = strings.Cut(version, " ")
	want := fmt.Sprintf("settings: %d of %d pods have applied %s", len(v.pods), len(v.pods), version)
	if !strings.Contains(said, want) {
		err = fmt.Errorf("launcher status does not say %q:\n%s", want, said)
	}
	return err
}

// requireUntouched wants each pod that is left to be one of the pods before, and never to have been restarted. left is how many are left.
func (r *release) requireUntouched(t *testing.T, before []corev1.Pod, left int) {
	t.Helper()
	stayed := 0
	for _, pod := range r.pods(t) {
		if !slices.Contains(uids(before), string(pod.UID)) {
			continue
		}
		stayed++
		require.Zero(t, restarts(&pod), "restarts of %s", pod.Name)
	}
	require.Equal(t, left, stayed, "pods that are still there")
}

// requireDirective wants a value of a directive in each server.
func (r *release) requireDirective(t *testing.T, name, want string) {
	t.Helper()
	for _, pod := range r.component(t, "server") {
		require.Equal(t, want, lastWord(r.cli(t, pod.Status.PodIP, redisPort, "config", "get", name)), "%s of %s", name, pod.Name)
	}
}

func TestServersAndSentinelsGoFrom3To5To3WithoutTouchingAPod(t *testing.T) {
	t.Parallel()
	for name, workload := range map[string]string{"numbers": "Deployment", "numerals": "StatefulSet"} {
		t.Run(workload, func(t *testing.T) {
			t.Parallel()
			r := followed(t, name, workload)
			client := r.write(t)
			client.advance(100)
			before := r.pods(t)

			r.upgradeInPlace(t, "--set", "replicas.servers=5", "--set", "replicas.sentinels=5")
			r.servers, r.sentinels = 5, 5
			took := eventually(t, recoveryTime, "five servers and five sentinels", r.healthy)
			t.Logf("complete and agreed after %.1f s", took.Seconds())
			took = eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to have applied the settings", r.applied)
			t.Logf("applied everywhere after %.1f s more", took.Seconds())
			r.requireUntouched(t, before, len(before))
			client.advance(100)
			r.kubectl(t, "delete", "pod", r.master(t).Name, "--wait=false")
			eventually(t, recoveryTime, "another master by the votes of five sentinels", r.healthy)
			client.advance(100)

			five := r.pods(t)
			r.upgradeInPlace(t, "--set", "replicas.servers=3", "--set", "replicas.sentinels=3")
			r.servers, r.sentinels = 3, 3
			took = eventuallyEvery(t, 2*time.Second, settingsTime, "three servers and three sentinels, and nobody who remembers others", r.tidy)
			t.Logf("complete, agreed and forgotten after %.1f s", took.Seconds())
			eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to have applied the settings", r.applied)
			r.requireUntouched(t, five, 6)
			client.advance(100)
			client.costs(planned)

			r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
		})
	}
}

func TestSettingsAreAppliedWithoutTouchingAPod(t *testing.T) {
	t.Parallel()
	r := followed(t, "settings", "Deployment")
	client := r.write(t)
	client.advance(100)
	before := r.pods(t)

	const numbers = "sentinel.downAfterMilliseconds=4000,sentinel.failoverTimeoutMilliseconds=9000,servers.minReplicasMaxLagSeconds=5,logLevel=debug"
	r.upgradeInPlace(t, "--set", "servers.minReplicasToWrite=2,"+numbers, "--set", "servers.config.maxmemory-policy=allkeys-lru,servers.config.hz=20")
	took := eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to have applied the settings", r.applied)
	t.Logf("applied everywhere after %.1f s", took.Seconds())
	r.requireDirective(t, "maxmemory-policy", "allkeys-lru")
	r.requireDirective(t, "hz", "20")
	r.requireDirective(t, "min-replicas-max-lag", "5")
	require.Equal(t, "2", r.minReplicas(t, r.master(t)))
	for _, pod := range r.component(t, "sentinel") {
		said := r.cli(t, pod.Status.PodIP, sentinelPort, "sentinel", "master", "mymaster")
		require.Regexp(t, `down-after-milliseconds\s+4000`, said, pod.Name)
		require.Regexp(t, `failover-timeout\s+9000`, said, pod.Name)
	}

	r.upgradeInPlace(t, "--reset-values", "--set", "persistence.size=1Gi,"+numbers) // without the directives
	eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to have applied the settings", r.applied)
	r.requireDirective(t, "maxmemory-policy", "noeviction")
	r.requireDirective(t, "hz", "10")
	require.Equal(t, "1", r.minReplicas(t, r.master(t)))

	said := r.helm(t, "upgrade", r.name, "stable/redis-ha", "--reuse-values", "--set", "servers.config.io-threads=2", "--dry-run=server")
	require.Contains(t, said, "This upgrade replaces the pods of the servers, one after the other")
	r.requireUntouched(t, before, len(before))
	client.costs(planned)
}

// A settings file with an error changes nothing, and the next upgrade writes it again.
func TestEditedSettingsAreRefusedAndTold(t *testing.T) {
	t.Parallel()
	r := followed(t, "edited", "Deployment")
	before := r.pods(t)
	r.kubectl(t, "patch", "configmap", r.fullname()+"-settings", "--patch", `{"data":{"settings":"LAUNCHER_SERVERS=many\nLAUNCHER_SENTINELS=4\n"}}`)
	eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to tell what is wrong", func(ctx context.Context) error {
		said, err := output(ctx, "kubectl", "exec", "--namespace", r.namespace, r.component(t, "sentinel")[0].Name, "--", "launcher", "status")
		if err == nil {
			err = fmt.Errorf("launcher status has accepted the file:\n%s", said)
		}
		if strings.Contains(err.Error(), `LAUNCHER_SERVERS is "many"`) && strings.Contains(err.Error(), "LAUNCHER_SENTINELS is 4") {
			return nil
		}
		return err
	})
	require.NoError(t, r.healthy(t.Context()))
	r.upgrade(t)
	eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to have applied the settings of the release", r.applied)
	r.requireUntouched(t, before, len(before))
}

// Whoever scales the servers keeps their number over upgrades, of Helm 3 and of Helm 4.
func TestServersScaledByOthersAreKeptByAnUpgrade(t *testing.T) {
	t.Parallel()
	for _, helm := range []string{"helm", "helm4"} {
		t.Run(helm, func(t *testing.T) {
			t.Parallel()
			r := &release{name: "scaled-" + helm, namespace: workNamespace, servers: 3, sentinels: 3}
			t.Cleanup(func() { r.removeDurable(t) })
			run := r.helm4
			if helm == "helm" {
				bash(t, "helm repo add stable "+env.charts)
				run = func(t *testing.T, args ...string) string { return r.helm(t, args[0], args[1:]...) }
			} else {
				r.helm4(t, "repo", "add", "stable", env.charts, "--force-update")
			}
			r.watcher = watch(r)
			r.dumpIfFailed(t)
			run(t, "install", r.name, "stable/redis-ha", "--set", "persistence.size=1Gi,replicas.external=true")
			eventually(t, installTime, "a healthy release", r.healthy)
			client := r.write(t)
			client.advance(100)
			before := r.pods(t)

			r.scaleServers(t, 4)
			eventually(t, recoveryTime, "four servers", r.healthy)
			require.Contains(t, run(t, "upgrade", r.name, "stable/redis-ha", "--reuse-values", "--set", "logLevel=debug"), noPod)
			during(t, 10*time.Second, "four servers after the upgrade", r.healthy)

			// Without metrics the autoscaler keeps the number within its bounds.
			bash(t, fmt.Sprintf("kubectl autoscale %s --namespace %s --min=5 --max=6 --cpu-percent=80", r.serverWorkload(), r.namespace))
			t.Cleanup(func() { bashAfter(t, "kubectl delete hpa --namespace "+r.namespace+" "+r.fullname()+"-server") })
			r.servers = 5
			eventually(t, recoveryTime, "five servers by the autoscaler", r.healthy)
			require.Contains(t, run(t, "upgrade", r.name, "stable/redis-ha", "--reuse-values", "--set", "logLevel=info"), noPod)
			during(t, 10*time.Second, "five servers after the upgrade", r.healthy)
			r.requireUntouched(t, before, len(before))
			client.costs(planned)
		})
	}
}
