package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// durableBlocks is the bulk data of a release whose volumes are kept, 32 MiB.
	durableBlocks = 2 * blocksAtOnce
	// rolledTime bounds a roll-out of three servers that keep their volumes, one after the other.
	rolledTime = 4 * time.Minute
)

// asStatefulSet are the arguments of Helm for servers whose volumes are kept.
var asStatefulSet = []string{"--set", "servers.workload=StatefulSet", "--set", "persistence.size=1Gi"}

// durableRelease installs a release whose volumes are kept, with bulk data. The release and its volumes are removed after the test.
func durableRelease(t *testing.T, name string) *release {
	t.Helper()
	r := &release{name: name, namespace: workNamespace, servers: 3, sentinels: 3, workload: "statefulset"}
	t.Cleanup(func() { r.removeDurable(t) })
	r.install(t, asStatefulSet...)
	r.fill(t, durableBlocks)
	return r
}

// removeDurable removes a release and its claims, however far the test has come.
func (r *release) removeDurable(t *testing.T) {
	selector := " --namespace " + r.namespace + " -l " + r.selector()
	bashAfter(t, "helm uninstall "+r.name+" --namespace "+r.namespace+" --ignore-not-found")
	bashAfter(t, "kubectl delete deployments,statefulsets"+selector) // one that Helm was told to keep
	bashAfter(t, "kubectl delete persistentvolumeclaims --wait=false"+selector)
}

// claims lists the claims of the release by their names.
func (r *release) claims(ctx context.Context) (map[string]corev1.PersistentVolumeClaim, error) {
	list, err := env.Kube.CoreV1().PersistentVolumeClaims(r.namespace).List(ctx, r.listOptions())
	if err != nil {
		return nil, fmt.Errorf("list the claims: %w", err)
	}
	found := map[string]corev1.PersistentVolumeClaim{}
	for _, claim := range list.Items {
		found[claim.Name] = claim
	}
	return found, nil
}

// numbered is the name of the server pod with a number.
func (r *release) numbered(number int) string {
	return fmt.Sprintf("%s-server-%d", r.fullname(), number)
}

// requireClaims wants a bound claim for each of the numbers from 0 on, and no other. It returns the names of their volumes.
func (r *release) requireClaims(t *testing.T, servers int) []string {
	t.Helper()
	claims, err := r.claims(t.Context())
	require.NoError(t, err)
	require.Len(t, claims, servers)
	var volumes []string
	for i := range servers {
		claim, ok := claims["data-"+r.numbered(i)]
		require.True(t, ok, "a claim for %s among %v", r.numbered(i), claims)
		require.Equal(t, corev1.ClaimBound, claim.Status.Phase, claim.Name)
		volumes = append(volumes, claim.Spec.VolumeName)
	}
	return volumes
}

// requireBulkData wants all of the bulk data at the master and at its slaves.
func (r *release) requireBulkData(t *testing.T) {
	t.Helper()
	require.Equal(t, durableBlocks, r.count(t, durableBlocks), "blocks of bulk data that are there")
	size := r.cli(t, r.masterService(), redisPort, "dbsize")
	for _, pod := range r.component(t, "server") {
		require.Equal(t, size, r.cli(t, pod.Status.PodIP, redisPort, "dbsize"), "keys of %s and of the master", pod.Name)
	}
}

// serverPods selects the server pods, for kubectl.
func (r *release) serverPods() string { return r.selector() + ",component=server" }

func TestStatefulSetKeepsTheDataOverItsPods(t *testing.T) {
	r := durableRelease(t, "durable")
	volumes := r.requireClaims(t, 3)
	for i := range 3 {
		_, err := env.Kube.CoreV1().Pods(r.namespace).Get(t.Context(), r.numbered(i), metav1.GetOptions{})
		require.NoError(t, err)
	}
	r.requireNotes(t)

	t.Run("all pods are deleted at once", func(t *testing.T) {
		r.use(t)
		old := r.component(t, "server")
		client := r.write(t)
		client.advance(100)
		start := time.Now()
		r.kubectl(t, "delete", "pods", "-l", r.serverPods(), "--wait=false")
		eventually(t, recoveryTime, "a complete release of new pods", allNew(r, old))
		t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
		client.advance(100)
		client.costs(outage{gap: outageGap})
		r.requireBulkData(t)
	})
	t.Run("all pods are deleted by force", func(t *testing.T) {
		r.use(t)
		r.survivesOutage(t, func([]corev1.Pod) error {
			r.kubectl(t, "delete", "pods", "-l", r.serverPods(), "--force", "--grace-period=0", "--wait=false")
			return nil
		})
		r.requireBulkData(t)
	})
	t.Run("0 servers and 3 again", func(t *testing.T) {
		r.use(t)
		found := r.written(t)
		r.scaleServers(t, 0)
		took := eventually(t, removalTime, "no server pods", r.hasNoServers)
		t.Logf("no servers after %.1f s", took.Seconds())
		require.Equal(t, volumes, r.requireClaims(t, 3), "volumes while there are no servers")
		r.scaleServers(t, 3)
		took = eventually(t, recoveryTime, "a complete release with its data", r.healthy)
		t.Logf("complete and agreed after %.1f s", took.Seconds())
		r.requireWritten(t, found)
		r.requireBulkData(t)
	})
	t.Run("a volume that comes back old", func(t *testing.T) {
		r.use(t)
		r.scaleServers(t, 2)
		eventually(t, recoveryTime, "two servers", r.healthy)
		found := r.written(t)
		r.scaleServers(t, 0)
		eventually(t, removalTime, "no server pods", r.hasNoServers)
		r.scaleServers(t, 3)
		eventually(t, recoveryTime, "a complete release with its data", r.healthy)
		r.requireWritten(t, found)
		r.requireBulkData(t)
	})
	t.Run("a volume is lost for good", func(t *testing.T) {
		r.use(t)
		found := r.written(t)
		lost := r.master(t)
		claims, err := r.claims(t.Context())
		require.NoError(t, err)
		r.kubectl(t, "delete", "persistentvolumeclaim", "data-"+lost.Name, "--wait=false")
		r.kubectl(t, "delete", "pod", lost.Name, "--force", "--grace-period=0", "--wait=false")
		eventually(t, recoveryTime, "a new volume for "+lost.Name, func(ctx context.Context) error {
			now, err := r.claims(ctx)
			if err == nil && (now["data-"+lost.Name].UID == claims["data-"+lost.Name].UID || now["data-"+lost.Name].Status.Phase != corev1.ClaimBound) {
				err = errors.New("the claim is the old one, or not bound")
			}
			return err
		})
		eventually(t, recoveryTime, "a complete release without the old volume", r.healthy)
		r.requireWritten(t, found)
		r.requireBulkData(t)
	})
}

// The claims stay, and the next release of the name serves the data, although nothing but the volumes tells of the release before.
func TestUninstalledStatefulSetKeepsTheData(t *testing.T) {
	r := durableRelease(t, "kept")
	found := r.written(t)
	volumes := r.requireClaims(t, 3)
	r.uninstall(t)
	require.Equal(t, volumes, r.requireClaims(t, 3), "volumes after helm uninstall")
	r.install(t, asStatefulSet...)
	require.Equal(t, volumes, r.requireClaims(t, 3), "volumes after another helm install")
	r.requireWritten(t, found)
	r.requireBulkData(t)

	r.upgrade(t, "--set", "persistence.retention.whenDeleted=Delete")
	eventually(t, switchTime, "the claims to belong to the StatefulSet", func(ctx context.Context) error {
		claims, err := r.claims(ctx)
		for name, claim := range claims {
			if len(claim.OwnerReferences) == 0 {
				err = errors.Join(err, fmt.Errorf("the claim %s has no owner", name))
			}
		}
		return err
	})
	r.uninstall(t)
	eventually(t, removalTime, "the claims to be gone with the release", func(ctx context.Context) error {
		claims, err := r.claims(ctx)
		if err == nil && len(claims) > 0 {
			err = fmt.Errorf("%d claims are there", len(claims))
		}
		return err
	})
}

// A roll-out stops the servers from the highest number down. The master hands over to a server that has been rolled already.
func TestRollOutOfAStatefulSetLosesNothing(t *testing.T) {
	r := durableRelease(t, "rolled")
	for number := range 3 {
		t.Run(fmt.Sprintf("the master is server %d", number), func(t *testing.T) {
			r.use(t)
			r.makeMaster(t, number)
			old := r.component(t, "server")
			client := r.write(t)
			client.advance(100)
			start := time.Now()
			r.kubectl(t, "rollout", "restart", r.serverWorkload())
			eventually(t, rolledTime, "a complete release of new pods", allNew(r, old))
			history := r.watcher.history(start)
			t.Logf("rolled out after %.1f s:\n%s", time.Since(start).Seconds(), history)
			handOvers := 1
			if number == 2 {
				handOvers = 2 // it is rolled before there is another rolled pod
			}
			require.Equal(t, handOvers, strings.Count(history, `-> "master"`), "hand-overs")
			client.advance(100)
			client.costs(planned)
			r.requireBulkData(t)
		})
	}
}

// makeMaster makes the server with this number the master. It deletes all other servers, so that the master hands over to this server.
func (r *release) makeMaster(t *testing.T, number int) {
	t.Helper()
	if r.master(t).Name == r.numbered(number) {
		return
	}
	remove := []string{"delete", "pods", "--wait=false"}
	var old []corev1.Pod
	for _, pod := range r.component(t, "server") {
		if pod.Name != r.numbered(number) {
			remove, old = append(remove, pod.Name), append(old, pod)
		}
	}
	r.kubectl(t, remove...)
	eventually(t, recoveryTime, "a complete release after the other servers were replaced", allNew(r, old))
	require.Equal(t, r.numbered(number), r.master(t).Name, "the master")
}

// A running release goes from one kind of workload to the other by the documented commands, while a client writes.
func TestDeploymentBecomesAStatefulSetAndBack(t *testing.T) {
	r := &release{name: "moving", namespace: workNamespace, servers: 3, sentinels: 3}
	t.Cleanup(func() { r.removeDurable(t) })
	r.install(t, "--set", "persistence.size=1Gi")
	r.fill(t, durableBlocks)
	client := r.write(t)
	client.advance(100)
	for _, kind := range []string{"StatefulSet", "Deployment"} {
		_, err := tryBash(t, "helm upgrade "+r.name+" stable/redis-ha --namespace "+r.namespace+" --reuse-values --set servers.workload="+kind, "")
		require.Error(t, err, "an upgrade that would delete the servers")
		require.NoError(t, r.healthy(t.Context()), "after the refusal")
		before := r.serverWorkload()
		old := r.component(t, "server")
		start := time.Now()
		r.kubectl(t, "annotate", before, "helm.sh/resource-policy=keep")
		r.upgrade(t, "--set", "servers.workload="+kind)
		r.workload = strings.ToLower(kind)
		bash(t, fmt.Sprintf("kubectl rollout status %s --namespace %s --timeout %s", r.serverWorkload(), r.namespace, rolledTime))
		r.kubectl(t, "delete", before, "--wait=false")
		eventually(t, recoveryTime, "a complete release of servers of a "+kind, allNew(r, old))
		t.Logf("a %s after %.1f s:\n%s", kind, time.Since(start).Seconds(), r.watcher.history(start))
		client.advance(100)
		require.Equal(t, durableBlocks, r.count(t, durableBlocks), "blocks of bulk data that are there")
	}
	client.costs(planned)
	r.requireBulkData(t)
}

// A pod that is deleted by force may run for a moment beside its successor, which has the same volume.
func TestPodThatStillRunsKeepsItsVolumeToItself(t *testing.T) {
	r := durableRelease(t, "locked")
	require.NoError(t, env.Prepare(t.Context()))
	slave := r.component(t, "server")[0]
	for _, pod := range r.component(t, "server") {
		if pod.Labels["redis-role"] == "slave" {
			slave = pod
		}
	}
	client := r.write(t)
	client.advance(100)
	for _, process := range []string{fault.Launcher, fault.Redis} {
		require.NoError(t, env.Signal(t.Context(), &slave, process, "STOP"))
	}
	r.kubectl(t, "delete", "pod", slave.Name, "--force", "--grace-period=0", "--wait=false")
	eventually(t, recoveryTime, "a complete release after "+slave.Name+" was deleted by force", allNew(r, []corev1.Pod{slave}))
	require.Contains(t, r.kubectl(t, "logs", slave.Name), "waiting for the pod that still uses the data volume to end")
	client.advance(100)
	client.costs(planned)
	r.requireBulkData(t)
}

// requireNotes wants notes that name the StatefulSet and the volumes.
func (r *release) requireNotes(t *testing.T) {
	t.Helper()
	require.Contains(t, r.notes, "rollout status --namespace "+r.namespace+" "+r.serverWorkload())
	require.Contains(t, r.notes, "kubectl delete persistentvolumeclaim --namespace "+r.namespace)
}

// written writes a mark that every replica has, in memory and on disk, and returns it for requireWritten.
func (r *release) written(t *testing.T) string {
	t.Helper()
	mark := fmt.Sprintf("mark %d", time.Now().UnixNano())
	require.Equal(t, "OK", strings.TrimSpace(r.cli(t, r.masterService(), redisPort, "set", "mark", mark)))
	require.Equal(t, fmt.Sprint(r.servers-1), strings.TrimSpace(r.cli(t, r.masterService(), redisPort, "wait", fmt.Sprint(r.servers-1), "5000")))
	time.Sleep(syncedAfter)
	return mark
}

// requireWritten wants the last mark at the master and at its slaves.
func (r *release) requireWritten(t *testing.T, mark string) {
	t.Helper()
	for _, pod := range r.component(t, "server") {
		assert.Equal(t, mark, strings.TrimSpace(r.cli(t, pod.Status.PodIP, redisPort, "get", "mark")), "the last write before, at %s", pod.Name)
	}
	require.False(t, t.Failed())
}
