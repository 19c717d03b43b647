package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// outage is what a fault may cost a client: how long it may be without an
// acknowledged write, and how many acknowledged writes may be lost. The times are
// bounds for a slow machine, so that a broken fast path is noticed; the tests log
// what they measure.
type outage struct {
	gap  time.Duration
	lost int
}

// asyncTail is how many acknowledged writes a master may take with it that dies
// without warning: replication is asynchronous, so those of the last millisecond
// may have reached the client and no replica.
const asyncTail = 5

var (
	// planned is for a hand-over: pause, catch up, switch, new endpoints.
	planned = outage{gap: 8 * time.Second}
	// crash is for a fault that is noticed at once.
	crash = outage{gap: 12 * time.Second, lost: asyncTail}
	// silent is for a fault that only the time without answers reveals:
	// down-after-milliseconds (3 s) plus an election and new endpoints.
	silent = outage{gap: 20 * time.Second, lost: asyncTail}
)

func TestFailoverWhenMasterPodIsDeleted(t *testing.T) {
	documentedRelease(t).survivesDeletedMaster(t)
}

// survivesDeletedMaster deletes the pod of the master under a client. Its successor must lose nothing, and the new pod must become a slave.
func (r *release) survivesDeletedMaster(t *testing.T) {
	t.Helper()
	before, _ := r.failover(t, planned, func(master *corev1.Pod) {
		r.kubectl(t, "delete", "pod", master.Name, "--wait=false")
	})
	requireReplacedAsSlave(t, r, before)
}

func TestFailoverWhenMasterPodIsDeletedByForce(t *testing.T) {
	r := documentedRelease(t)
	before, _ := r.failover(t, silent, func(master *corev1.Pod) {
		r.kubectl(t, "delete", "pod", master.Name, "--wait=false", "--force", "--grace-period=0")
	})
	requireReplacedAsSlave(t, r, before)
}

func TestFailoverWhenRedisIsKilled(t *testing.T) {
	documentedRelease(t).survivesKilledRedis(t)
}

// survivesKilledRedis kills the Redis of the master under a client. The pod must come back as a slave.
func (r *release) survivesKilledRedis(t *testing.T) {
	t.Helper()
	before, _ := r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	requireSamePodAsSlave(t, r, before)
}

func TestFailoverWhenLauncherIsKilled(t *testing.T) {
	r := documentedRelease(t)
	before, _ := r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.KillLauncher(t.Context(), master)) })
	after := requireSamePodAsSlave(t, r, before)
	require.Equal(t, restarts(before)+1, restarts(after), "restarts of the container")
}

// With control groups of version 2 the kernel ends the whole container, and
// otherwise the process that takes most, so that the launcher lives.
func TestFailoverWhenTheMasterIsKilledForItsMemory(t *testing.T) {
	r := documentedRelease(t)
	before, _ := r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.ExhaustMemory(t.Context(), master)) })
	after := requireSamePodAsSlave(t, r, before)
	if restarts(after) > restarts(before) {
		require.Equal(t, "OOMKilled", after.Status.ContainerStatuses[0].LastTerminationState.Terminated.Reason, "why the container ended")
		return
	}
	said, err := env.Execute(t.Context(), r.namespace, after.Name, nil, "bash", "-c",
		"cd /sys/fs/cgroup && cat memory/memory.oom_control 2>/dev/null || cat memory.events")
	require.NoError(t, err, "ask the kernel what it has killed")
	require.NotContains(t, said, "oom_kill 0", "the container's processes that the kernel has killed for their memory")
}

// A frozen process neither answers nor ends, and wakes up believing that it is
// still master. The time is longer than the sentinels need.
func TestFailoverWhenRedisIsFrozen(t *testing.T) {
	r := documentedRelease(t)
	before, _ := r.failover(t, silent, func(master *corev1.Pod) {
		require.NoError(t, env.FreezeRedis(t.Context(), master, 10*time.Second))
	})
	requireSamePodAsSlave(t, r, before)
}

func TestFailoverTwiceInARow(t *testing.T) {
	r := documentedRelease(t)
	first := r.master(t)
	client := r.write(t)
	require.NoError(t, env.KillRedis(t.Context(), first))
	r.waitMaster(t, "the first successor", func(master *corev1.Pod) bool { return master.UID != first.UID })
	second := r.master(t)
	require.NoError(t, env.KillRedis(t.Context(), second))
	r.waitMaster(t, "the second successor", func(master *corev1.Pod) bool { return master.UID != second.UID })
	eventually(t, recoveryTime, "a complete release after two failovers", r.healthy)
	client.advance(100)
	client.costs(crash)
}

func TestFailoverWithOneSentinelLess(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	sentinel := v.component("sentinel")[0]
	r.failover(t, crash, func(master *corev1.Pod) {
		r.kubectl(t, "delete", "pod", sentinel.Name, "--wait=false")
		require.NoError(t, env.KillRedis(t.Context(), master))
	})
}

// requireReplacedAsSlave wants another pod in the place of the old master's.
func requireReplacedAsSlave(t *testing.T, r *release, before *corev1.Pod) {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	slaves := v.with("slave")
	require.Len(t, slaves, r.servers-1, "slaves")
	for _, pod := range slaves {
		require.NotEqual(t, before.UID, pod.UID, "the deleted pod is still there")
	}
}

// requireSamePodAsSlave wants the old master's pod as a slave.
func requireSamePodAsSlave(t *testing.T, r *release, before *corev1.Pod) *corev1.Pod {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	for _, pod := range v.with("slave") {
		if pod.UID == before.UID {
			require.Equal(t, before.Status.PodIP, pod.Status.PodIP, "address of the pod")
			return &pod
		}
	}
	require.Failf(t, "the old master is not a slave", "pod %s", before.Name)
	return nil
}

func restarts(pod *corev1.Pod) int32 { return pod.Status.ContainerStatuses[0].RestartCount }
