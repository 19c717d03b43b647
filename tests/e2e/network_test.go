package e2e

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// cutTime is how long a network is cut: longer than a failover needs.
	cutTime = 15 * time.Second
	// maxLag is minReplicasMaxLagSeconds of the chart.
	maxLag = 3 * time.Second
	// almostDown is how long the sentinels have not reached a master that they are about to find
	// down: a second less than downAfterMilliseconds of the chart.
	almostDown = 2 * time.Second
	// lagSlack is what Redis may take longer than maxLag: replicas report once a
	// second, and Redis counts full seconds, once a second.
	lagSlack = 2500 * time.Millisecond
)

func TestFailoverWhenTheMasterIsCutOffFromAllPods(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	client := r.write(t)
	client.advance(100)
	inside := r.writeInside(t, before, 3*time.Second+cutTime)
	start := time.Now()
	heal, err := env.CutPod(t.Context(), before)
	cleanUp(t, heal)
	require.NoError(t, err)
	cut := time.Now()
	r.waitMaster(t, "a pod on the side of the majority", func(master *corev1.Pod) bool { return master.UID != before.UID })
	after := r.master(t)
	client.advance(100)
	time.Sleep(cutTime - time.Since(start))

	healed := time.Now()
	require.NoError(t, heal(t.Context()))
	took := eventually(t, switchTime, "the old master to be a replica", func(ctx context.Context) error { return r.follows(ctx, before, after) })
	t.Logf("the old master is a replica %.1f s after the cut ended", took.Seconds())
	eventually(t, recoveryTime, "a complete release after the cut", r.healthy)
	t.Logf("since the cut, which ended after %.1f s:\n%s", healed.Sub(start).Seconds(), r.watcher.history(start))
	requireSamePodAsSlave(t, r, before)

	last := inside.lastAcknowledged(t)
	t.Logf("the last write on the side of the minority was acknowledged %.1f s after the cut", last.Sub(cut).Seconds())
	require.Less(t, last.Sub(cut), maxLag+lagSlack, "writes of a master that is cut off")
	client.advance(100)
	client.costs(silent)
}

// The sentinels replace a master that only they cannot reach. Its clients and
// its replicas still reach it; writes are held back from the moment that its label is
// taken, until its launcher makes it a replica.
func TestFailoverWhenTheMasterIsCutOffFromTheSentinels(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	client := r.write(t)
	client.advance(100)
	start := time.Now()
	heal, err := env.CutPod(t.Context(), before, r.component(t, "sentinel")...)
	cleanUp(t, heal)
	require.NoError(t, err)
	r.waitMaster(t, "a pod that the sentinels reach", func(master *corev1.Pod) bool { return master.UID != before.UID })
	after := r.master(t)
	took := eventually(t, switchTime, "the old master to be a replica before the cut ends", func(ctx context.Context) error {
		return r.follows(ctx, before, after)
	})
	t.Logf("the old master is a replica %.1f s after the new one is master alone", took.Seconds())
	require.NoError(t, heal(t.Context()))
	eventually(t, recoveryTime, "a complete release after the cut", r.healthy)
	t.Logf("since the cut:\n%s", r.watcher.history(start))
	client.advance(100)
	client.costs(silent)
}

// The sentinels replace a master that they do not reach while the kubelet has not killed it yet.
// Its pod has no object, and so no label that could be taken off it. Its client and a replica
// still reach it.
func TestMasterCutOffFromTheSentinelsAndDeletedByForceLosesNothingThatAReplicaHas(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	client := r.writeConfirmed(t)
	client.advance(100)
	start := time.Now()
	heal, err := env.CutPod(t.Context(), before, r.component(t, "sentinel")...)
	cleanUp(t, heal)
	require.NoError(t, err)
	time.Sleep(almostDown)
	require.NoError(t, env.Kube.CoreV1().Pods(r.namespace).Delete(t.Context(), before.Name, *metav1.NewDeleteOptions(0)))
	r.waitMaster(t, "another pod", func(master *corev1.Pod) bool { return master.UID != before.UID })
	require.NoError(t, heal(t.Context()))
	eventually(t, recoveryTime, "a complete release after the cut", r.healthy)
	t.Logf("since the cut:\n%s", r.watcher.history(start))
	client.advance(100)
	require.Zero(t, client.finish().Lost, "lost writes that a replica had confirmed")
}

// answersOn is how long the API answers a master that the sentinels have lost. It is less than down-after less 0.7 s, from when on
// an answer would count.
const answersOn = time.Second

// The sentinels replace a master that reaches neither them nor the API, so that nothing tells it. Its
// client still reaches it. So does the other replica, which confirms writes until the
// sentinels tell it of the new master.
func TestMasterCutOffFromTheSentinelsWhileTheAPIStandsStillLosesNothingThatAReplicaHas(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	sentinels := r.component(t, "sentinel")
	client := r.writeConfirmed(t)
	client.advance(100)
	start := time.Now().Add(outageDelay)
	require.NoError(t, env.PauseAPI(t.Context(), time.Until(start), apiOutage))
	// The API still answers for a while after the cut. It cannot know of a replacement then.
	heal, err := env.CutPodAfter(t.Context(), time.Until(start)-answersOn, before, sentinels...)
	cleanUp(t, heal)
	require.NoError(t, err)
	time.Sleep(time.Until(start.Add(apiOutage)))
	r.waitMaster(t, "another pod", func(master *corev1.Pod) bool { return master.UID != before.UID })
	require.NoError(t, heal(t.Context()))
	eventually(t, recoveryTime, "a complete release after the cut", r.healthy)
	t.Logf("since the cut:\n%s", r.watcher.history(start))
	client.advance(100)
	require.Zero(t, client.finish().Lost, "lost writes that a replica had confirmed")
}

// A master alone goes on when its launcher has made sure that it is not cut off
// from everybody, and asks for replicas again when they are back.
func TestMasterCutOffFromItsSlavesStaysMasterAndWritesAgain(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	client := r.write(t)
	client.advance(100)
	asks := func(want string) func(context.Context) error {
		return func(context.Context) error {
			if n := r.minReplicas(t, before); n != want {
				return fmt.Errorf("min-replicas-to-write is %q, want %s", n, want)
			}
			return nil
		}
	}
	eventually(t, switchTime, "the master to ask for a replica", asks("1"))
	start := time.Now()
	heal, err := env.CutPod(t.Context(), before, r.component(t, "slave")...)
	cleanUp(t, heal)
	require.NoError(t, err)
	eventually(t, switchTime, "the master to write without replicas", asks("0"))
	client.advance(100)
	during(t, cutTime-time.Since(start), "the same master", func(ctx context.Context) error {
		return r.onlyMaster(ctx, func(master *corev1.Pod) bool { return master.UID == before.UID })
	})
	client.advance(100)
	require.NoError(t, heal(t.Context()))
	eventually(t, recoveryTime, "a complete release after the cut", r.healthy)
	eventually(t, switchTime, "the master to ask for a replica again", asks("1"))
	require.Equal(t, before.UID, r.master(t).UID, "the master after the cut")
	require.NotContains(t, r.watcher.history(start), "redis-role", "changes of labels")
	client.costs(planned)
}

func TestMasterCutOffFromTheAPIServesOnWithItsLabel(t *testing.T) {
	r := documentedRelease(t)
	// A sentinel that forgets who is gone is started anew for that, and does not answer for a moment.
	eventually(t, recoveryTime, "sentinels that remember nobody who is gone", r.tidy)
	before := r.master(t)
	client := r.write(t)
	start := time.Now()
	heal, err := env.CutPodFromAPI(t.Context(), before)
	cleanUp(t, heal)
	require.NoError(t, err)
	ask := `timeout 2 bash -c '</dev/tcp/$KUBERNETES_SERVICE_HOST/$KUBERNETES_SERVICE_PORT' && echo reached || echo cut off`
	said, err := env.Execute(t.Context(), r.namespace, before.Name, nil, "bash", "-c", ask)
	require.NoError(t, err)
	require.Equal(t, "cut off", strings.TrimSpace(said), "the API as the pod sees it")
	during(t, cutTime, "a healthy release", r.healthy)
	require.NoError(t, heal(t.Context()))
	eventually(t, recoveryTime, "a healthy release after the cut", r.healthy)
	require.Equal(t, before.UID, r.master(t).UID, "the master after the cut")
	require.Empty(t, r.watcher.history(start), "labels and readiness since the cut")
	client.costs(outage{gap: 2 * time.Second})
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
}

// component lists the pods of a component, or those with a role.
func (r *release) component(t *testing.T, name string) []corev1.Pod {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	found := slices.Concat(v.component(name), v.with(name))
	slices.SortFunc(found, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b corev1.Pod) bool { return a.UID == b.UID })
}

// minReplicas asks a server for min-replicas-to-write.
func (r *release) minReplicas(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	return lastWord(r.cli(t, pod.Status.PodIP, redisPort, "config", "get", "min-replicas-to-write"))
}

// insideWriter is a client in the pod of a server itself, which no cut of the
// network keeps from it.
type insideWriter struct {
	said  string
	ended chan error
}

// writeInside starts one for some time.
func (r *release) writeInside(t *testing.T, pod *corev1.Pod, span time.Duration) *insideWriter {
	t.Helper()
	require.Empty(t, r.password, "the writer knows no password")
	w := &insideWriter{ended: make(chan error, 1)}
	script := `end=$((SECONDS + $1)); while [ $SECONDS -lt $end ]; do
echo "$EPOCHREALTIME $(timeout 1 redis-cli set inside 1 2>&1)"; sleep 0.02; done`
	go func() {
		said, err := env.Execute(t.Context(), r.namespace, pod.Name, nil, "bash", "-c", script, "inside", strconv.Itoa(int(span.Seconds())))
		w.said = said
		w.ended <- err
	}()
	return w
}

// lastAcknowledged waits for the end of the writer and tells when the last
// write that was acknowledged had begun.
func (w *insideWriter) lastAcknowledged(t *testing.T) time.Time {
	t.Helper()
	select {
	case err := <-w.ended:
		require.NoError(t, err, "the writer inside")
	case <-time.After(recoveryTime):
		t.Fatalf("waited %s for the writer inside the pod", recoveryTime)
	}
	var last time.Time
	kinds := map[string]int{}
	for lines := bufio.NewScanner(strings.NewReader(w.said)); lines.Scan(); {
		at, answer, _ := strings.Cut(lines.Text(), " ")
		kinds[answer]++
		if seconds, err := strconv.ParseFloat(at, 64); err == nil && answer == "OK" {
			last = time.UnixMicro(int64(seconds * 1e6))
		}
	}
	t.Logf("inside the pod: %v", kinds)
	require.False(t, last.IsZero(), "no write inside the pod was acknowledged")
	return last
}
