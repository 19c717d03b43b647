package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// graceSeconds is the shortest grace period of an earlier password that the chart takes.
const graceSeconds = 120

// rotated finds nothing wrong when all pods accept and use the password of the Secret, and so many accept an earlier one as well.
func (r *release) rotated(earlier int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		said, err := output(ctx, "kubectl", "exec", "--namespace", r.namespace, r.sentinelDeployment(), "--", "launcher", "status")
		if err != nil {
			return err
		}
		all := r.servers + r.sentinels
		want := fmt.Sprintf("password: %d of %d pods accept what the Secret of this pod holds, %d use what their Secret holds, %d accept an earlier one as well", all, all, all, earlier)
		if !strings.Contains(said, want) {
			err = fmt.Errorf("launcher status does not say %q:\n%s", want, said)
		}
		return err
	}
}

// lets says how a server answers a new connection with a password.
func (r *release) lets(t *testing.T, password string) string {
	t.Helper()
	return strings.TrimSpace(r.cliWith(t, password, r.masterService(), redisPort, "ping"))
}

// change upgrades to another password. While it takes the place of the old one, new connections with the old one work.
func (r *release) change(t *testing.T, old, password string, args ...string) {
	t.Helper()
	r.upgradeInPlace(t, args...)
	took := eventuallyEvery(t, 2*time.Second, settingsTime, "all pods to use the new password", func(ctx context.Context) error {
		require.Contains(t, r.lets(t, old), "PONG", "a client with the old password")
		return r.rotated(r.servers + r.sentinels)(ctx)
	})
	t.Logf("all pods use the new password after %.1f s", took.Seconds())
	require.Contains(t, r.lets(t, old), "PONG", "a client with the old password")
	require.Contains(t, r.lets(t, password), "PONG", "a client with the new password")
}

// awaitPasswordAskedFor waits until clients without a password are refused, and clients with it are not.
func (r *release) awaitPasswordAskedFor(t *testing.T, password string) {
	t.Helper()
	took := eventuallyEvery(t, 2*time.Second, graceSeconds*time.Second+settingsTime, "clients without a password to be refused", func(ctx context.Context) error {
		require.Contains(t, r.lets(t, password), "PONG", "a client with the password")
		return r.rotated(0)(ctx)
	})
	t.Logf("clients without a password are refused %.1f s later", took.Seconds())
	require.Contains(t, r.lets(t, ""), "NOAUTH")
}

// noticedNothing ends a writer, which has noticed nothing of a change of the password. A slow machine may answer a write late.
func (w *writer) noticedNothing(t *testing.T) {
	t.Helper()
	found := w.finish()
	require.Zero(t, found.Lost)
	delete(found.FailureKinds, "timeout")
	require.Empty(t, found.FailureKinds, "failed attempts of a client during a change of the password")
}

// TestPasswordIsRotatedUnderClients gives a running release a password, and then another one, under clients. A pod is deleted in between.
func TestPasswordIsRotatedUnderClients(t *testing.T) {
	t.Parallel()
	r := &release{name: "rotated", namespace: workNamespace, servers: 3, sentinels: 3}
	r.install(t, "--set", "persistence.size=128Mi", "--set", fmt.Sprintf("passwordRotation.gracePeriodSeconds=%d", graceSeconds))
	before := r.pods(t)
	without := r.write(t)
	without.advance(100)

	const first, second = "the-first-one", "the-second-one"
	r.change(t, "", first, "--set", "auth=true", "--set", "redisPassword="+first)
	r.password = first
	r.requireUntouched(t, before, 6)
	without.noticedNothing(t)
	withFirst := r.write(t)
	r.awaitPasswordAskedFor(t, first)
	r.requireUntouched(t, before, 6)

	r.change(t, first, second, "--set", "redisPassword="+second, "--set", "passwordRotation.gracePeriodSeconds=1200") // a failover is to fit in
	withFirst.advance(100)
	r.requireUntouched(t, before, 6)
	withFirst.noticedNothing(t)

	r.password = second
	r.failover(t, planned, func(master *corev1.Pod) { r.kubectl(t, "delete", "pod", master.Name, "--wait=false") })
	for _, pod := range r.pods(t) {
		port := redisPort
		if strings.Contains(pod.Name, "-sentinel-") {
			port = sentinelPort
		}
		require.Contains(t, r.cliWith(t, first, pod.Status.PodIP, port, "ping"), "PONG", "%s, which may have started in the grace period, with the old password", pod.Name)
	}
	r.requireUntouched(t, before, 5)
	require.Contains(t, r.helm(t, "test", r.name), "Succeeded")
	r.failover(t, crash, func(master *corev1.Pod) { require.NoError(t, env.KillRedis(t.Context(), master)) })
	r.uninstall(t)
}
