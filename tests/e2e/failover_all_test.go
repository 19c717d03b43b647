package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

// syncedAfter is the age at which a write is safe on disk: with appendfsync
// everysec Redis may confirm writes up to two seconds before they are.
const syncedAfter = 2 * time.Second

// outageGap is for faults that leave no server at all: processes and pods must
// start, load and agree first.
const outageGap = 60 * time.Second

func TestFailoverWhenAllRedisProcessesAreKilledKeepsTheData(t *testing.T) {
	r := documentedRelease(t)
	r.survivesOutage(t, func(servers []corev1.Pod) error {
		return fault.AtOnce(servers, func(pod *corev1.Pod) error { return env.KillRedis(t.Context(), pod) })
	})
}

func TestFailoverWhenAllServerLaunchersAreKilledKeepsTheData(t *testing.T) {
	r := documentedRelease(t)
	r.survivesOutage(t, func(servers []corev1.Pod) error {
		return fault.AtOnce(servers, func(pod *corev1.Pod) error { return env.KillLauncher(t.Context(), pod) })
	})
}

// survivesOutage ends all servers at once while a client writes. What was
// acknowledged some time before must be there afterwards, and what is
// acknowledged when they are back.
func (r *release) survivesOutage(t *testing.T, fault func(servers []corev1.Pod) error) {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	client := r.write(t)
	time.Sleep(syncedAfter)
	client.advance(100)
	start := time.Now()
	require.NoError(t, fault(v.component("server")))
	struck := time.Now()
	client.advance(100)
	eventually(t, recoveryTime, "a complete release after the loss of all servers", r.healthy)
	t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
	found := client.finish()
	requireLostIn(t, found, start.Add(-syncedAfter), struck)
	require.LessOrEqual(t, time.Duration(found.LongestGapMilliseconds)*time.Millisecond, outageGap)
}

// Each pod's volume goes with it, so the last of the old pods must hand its
// data over to the new ones before it leaves.
func TestFailoverWhenAllServerPodsAreDeletedKeepsTheData(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	client := r.write(t)
	client.advance(100)
	start := time.Now()
	r.kubectl(t, "delete", "pods", "-l", r.selector()+",component=server", "--wait=false")
	eventually(t, recoveryTime, "a complete release of new servers", allNew(r, v.component("server")))
	t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
	client.advance(100)
	client.costs(outage{gap: outageGap})
}

func TestFailoverAfterAllSentinelsAreDeleted(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	before := r.master(t)
	client := r.write(t)
	r.kubectl(t, "delete", "pods", "-l", r.selector()+",component=sentinel", "--wait=false")
	eventually(t, recoveryTime, "new sentinels that know everything", allNew(r, v.component("sentinel")))
	require.Equal(t, before.UID, r.master(t).UID, "the master while sentinels are replaced")
	client.costs(planned)
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.KillLauncher(t.Context(), master)) })
}

// allNew finds nothing wrong when the release is healthy and has none of the
// old pods any more.
func allNew(r *release, old []corev1.Pod) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		v, err := r.look(ctx)
		if err != nil {
			return err
		}
		problems := []error{v.problems(r)}
		for _, pod := range v.pods {
			if slices.ContainsFunc(old, func(gone corev1.Pod) bool { return gone.UID == pod.UID }) {
				problems = append(problems, fmt.Errorf("the old pod %s is still there", pod.Name))
			}
		}
		return errors.Join(problems...)
	}
}
