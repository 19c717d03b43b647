package e2e

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestFailoverInRollingUpgradeLosesNothing(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	client := r.write(t)
	start := time.Now()
	r.upgrade(t, "--set-string", "podAnnotations.e2e="+strconv.FormatInt(start.Unix(), 10))
	eventually(t, 2*recoveryTime, "a complete release of new pods", allNew(r, v.pods))
	t.Logf("rolled after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
	client.advance(100)
	client.costs(planned)
}

func TestFailoverAfterSentinelsAreRolled(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	before := r.master(t)
	client := r.write(t)
	r.kubectl(t, "rollout", "restart", r.sentinelDeployment())
	eventually(t, 2*recoveryTime, "new sentinels that know each other and nothing of the past", allNew(r, v.component("sentinel")))
	require.Equal(t, before.UID, r.master(t).UID, "the master while sentinels are replaced")
	client.costs(planned)
	r.failover(t, silent, func(master *corev1.Pod) { require.NoError(t, env.KillLauncher(t.Context(), master)) })
}
