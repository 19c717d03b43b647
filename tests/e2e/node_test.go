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
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// lostTime is how long a node is away: longer than a failover needs, and
	// much shorter than the 50 s after which Kubernetes takes it for lost.
	lostTime = 15 * time.Second
	// unnoticedTime is the least time after which Kubernetes may take the pods
	// of a silent node out of Services; what happens before is the launchers'.
	unnoticedTime = 40 * time.Second
	// drainTime bounds kubectl drain: pods of servers have 60 s to go.
	drainTime = 2 * time.Minute
)

// Nobody on the node can take the label away, and nothing there answers: no
// connection is refused, all of them hang.
func TestFailoverWhenTheNodeOfTheMasterIsLost(t *testing.T) {
	r := documentedRelease(t)
	before := r.masterApart(t)
	left := r.leaveConnected(t, before)
	client := r.write(t)
	client.advance(100)

	heal, err := env.CutPodsOfNode(t.Context(), before.Spec.NodeName)
	cleanUp(t, heal)
	require.NoError(t, err)
	start := time.Now()
	resume, err := fault.PauseNode(t.Context(), before.Spec.NodeName)
	require.NoError(t, err)
	resumed := false
	t.Cleanup(func() {
		if !resumed {
			require.NoError(t, resume(context.Background()), "let the node go on")
		}
	})
	r.waitMaster(t, "a pod on another node", func(master *corev1.Pod) bool { return master.UID != before.UID })
	after := r.master(t)
	eventually(t, unnoticedTime-time.Since(start), "one endpoint behind the master Service", func(ctx context.Context) error {
		return r.onlyEndpoint(ctx, after.Status.PodIP)
	})
	require.Less(t, time.Since(start), unnoticedTime, "time until the Service leads to the new master alone")
	client.advance(100)
	time.Sleep(lostTime - time.Since(start))

	woken := time.Now()
	require.NoError(t, resume(t.Context()))
	resumed = true
	require.NoError(t, heal(t.Context()))
	took := eventually(t, switchTime, "the old master to be a replica", func(ctx context.Context) error { return r.follows(ctx, before, after) })
	t.Logf("the old master is a replica %.1f s after its node came back", took.Seconds())
	left.ends(t)
	eventually(t, recoveryTime, "a complete release after the return of the node", r.healthy)
	t.Logf("since the loss; the node came back after %.1f s:\n%s", woken.Sub(start).Seconds(), r.watcher.history(start))
	requireSamePodAsSlave(t, r, before)
	client.advance(100)
	client.costs(silent)
}

func TestFailoverWhenTheNodeOfTheMasterIsDrainedLosesNothing(t *testing.T) {
	r := documentedRelease(t)
	before := r.masterApart(t)
	client := r.write(t)
	client.advance(100)
	start := time.Now()
	t.Cleanup(func() { uncordon(t, before.Spec.NodeName) })
	bash(t, fmt.Sprintf("kubectl drain %s --ignore-daemonsets --delete-emptydir-data --force --timeout=%s", before.Spec.NodeName, drainTime))
	t.Logf("drained after %.1f s", time.Since(start).Seconds())
	for _, pod := range r.pods(t) {
		require.NotEqual(t, before.Spec.NodeName, pod.Spec.NodeName, "node of pod %s", pod.Name)
	}
	if r.workload == "statefulset" { // the volume is on the drained node, and so its pod waits for the node
		r.waitMaster(t, "a pod on another node", func(master *corev1.Pod) bool { return master.Name != before.Name })
		client.advance(100)
		uncordon(t, before.Spec.NodeName)
	}
	eventually(t, recoveryTime, "a complete release after the drain", r.healthy)
	t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
	client.advance(100)
	client.costs(planned)
}

// uncordon lets a node have pods again.
func uncordon(t *testing.T, node string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	require.NoError(t, command(ctx, "kubectl", "uncordon", node))
}

// masterApart returns the master, on a node that has neither most sentinels nor
// all servers: after faults and drains the scheduler leaves pods where they are.
func (r *release) masterApart(t *testing.T) *corev1.Pod {
	t.Helper()
	master := r.master(t)
	beside := map[string][]string{}
	for _, pod := range r.pods(t) {
		if pod.Spec.NodeName == master.Spec.NodeName && pod.UID != master.UID {
			beside[pod.Labels["component"]] = append(beside[pod.Labels["component"]], pod.Name)
		}
	}
	// A minority of the sentinels may stay.
	surplus := slices.Concat(beside["server"], beside["sentinel"][min(len(beside["sentinel"]), (r.sentinels-1)/2):])
	if len(surplus) == 0 {
		return master
	}
	r.kubectl(t, "cordon", master.Spec.NodeName)
	t.Cleanup(func() { uncordon(t, master.Spec.NodeName) })
	for _, name := range surplus {
		r.kubectl(t, "delete", "pod", name)
		eventually(t, recoveryTime, "a complete release after pod "+name+" moved", r.healthy)
	}
	uncordon(t, master.Spec.NodeName)
	return r.master(t)
}

// onlyEndpoint wants one address behind the master Service.
func (r *release) onlyEndpoint(ctx context.Context, address string) error {
	endpoints, err := env.Kube.DiscoveryV1().EndpointSlices(r.namespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + r.fullname() + "-master-svc"})
	if err != nil {
		return fmt.Errorf("list the endpoints: %w", err)
	}
	var found []string
	for _, slice := range endpoints.Items {
		for _, endpoint := range slice.Endpoints {
			found = append(found, endpoint.Addresses...)
		}
	}
	if !slices.Equal(found, []string{address}) {
		return fmt.Errorf("behind the master Service are %v, want %s", found, address)
	}
	return nil
}

// follows wants a server to be a replica of another.
func (r *release) follows(ctx context.Context, pod, master *corev1.Pod) error {
	answers, err := r.ask(ctx, []corev1.Pod{*pod})
	if err != nil {
		return err
	}
	if a := answers[pod.Status.PodIP]; a["role"] != "slave" || a["master_host"] != master.Status.PodIP {
		return fmt.Errorf("%s says role %q of %q, want a replica of %s", pod.Name, a["role"], a["master_host"], master.Status.PodIP)
	}
	return nil
}

// idleClient is a client in the cluster that is connected to one server and
// does nothing, as in a pool.
type idleClient struct{ file string }

// leaveConnected connects an idle client to a server.
func (r *release) leaveConnected(t *testing.T, pod *corev1.Pod) idleClient {
	t.Helper()
	client := idleClient{file: "/client/idle-" + string(pod.UID)}
	script := `rm -f "$2"; exec 3<>"/dev/tcp/$1/6379" || exit 1
printf 'PING\r\n' >&3; read -r answer <&3; echo "$answer"
(cat <&3; echo ended) >"$2" 2>&- <&- 3<&3 &`
	said, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "bash", "-c", script, "idle", pod.Status.PodIP, client.file)
	require.NoError(t, err)
	require.Contains(t, said, "PONG")
	return client
}

// ends waits until the server has ended the connection.
func (c idleClient) ends(t *testing.T) {
	t.Helper()
	took := eventually(t, switchTime, "the idle client of the old master to be disconnected", func(ctx context.Context) error {
		said, err := env.Execute(ctx, workNamespace, clientPod, nil, "cat", c.file)
		if err == nil && strings.TrimSpace(said) != "ended" {
			err = fmt.Errorf("it is still connected: %q", said)
		}
		return err
	})
	t.Logf("the idle client is disconnected after %.1f s more", took.Seconds())
}

// cleanUp takes a fault back when the test ends, however it ends.
func cleanUp(t *testing.T, heal fault.Heal) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		if heal != nil {
			require.NoError(t, heal(ctx), "take the fault back")
		}
	})
}
