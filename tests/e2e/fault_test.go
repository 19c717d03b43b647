package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// master returns the pod that has the label.
func (r *release) master(t *testing.T) *corev1.Pod {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	masters := v.with("master")
	require.Len(t, masters, 1, "pods with redis-role=master")
	return &masters[0]
}

// failover runs a client, does something to the master, and waits until another
// pod is master and the release is complete and agrees again. It returns the old
// and the new master.
func (r *release) failover(t *testing.T, allowed outage, fault func(master *corev1.Pod)) (before, after *corev1.Pod) {
	t.Helper()
	before = r.master(t)
	client := r.write(t)
	client.advance(100)
	start := time.Now()
	fault(before)
	r.waitMaster(t, "another pod than "+before.Name, func(master *corev1.Pod) bool { return master.UID != before.UID })
	eventually(t, recoveryTime, "a complete release after the failover", r.healthy)
	t.Logf("complete and agreed after %.1f s", time.Since(start).Seconds())
	client.advance(100)
	t.Logf("since the fault:\n%s", r.watcher.history(start))
	client.costs(allowed)
	return before, r.master(t)
}

// waitMaster waits until exactly one pod has the label, and that one is as
// wanted.
func (r *release) waitMaster(t *testing.T, what string, wanted func(*corev1.Pod) bool) {
	t.Helper()
	took := eventually(t, switchTime, what+" to be the only master", func(ctx context.Context) error { return r.onlyMaster(ctx, wanted) })
	t.Logf("%s is labelled master alone after %.1f s", what, took.Seconds())
}

// onlyMaster wants exactly one pod with the label, and that one as told.
func (r *release) onlyMaster(ctx context.Context, wanted func(*corev1.Pod) bool) error {
	pods, err := env.Kube.CoreV1().Pods(r.namespace).List(ctx, r.listOptions())
	if err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	masters := (&view{pods: pods.Items}).with("master")
	names := []string{}
	for _, pod := range masters {
		names = append(names, pod.Name)
	}
	if len(masters) == 1 && wanted(&masters[0]) {
		return nil
	}
	return fmt.Errorf("redis-role=master have %v", names)
}

// scaleServers sets the number of servers with kubectl, which is what healthy
// expects from then on.
func (r *release) scaleServers(t *testing.T, servers int) {
	t.Helper()
	r.kubectl(t, "scale", r.serverWorkload(), "--replicas="+strconv.Itoa(servers))
	r.servers = servers
}

// hasNoServers finds nothing wrong when no server pod is left.
func (r *release) hasNoServers(ctx context.Context) error {
	v, err := r.look(ctx)
	if err == nil && len(v.component("server")) > 0 {
		err = fmt.Errorf("%d server pods are there", len(v.component("server")))
	}
	return err
}

// endpoints lists the addresses behind a Service, by the end of its name.
func (r *release) endpoints(t *testing.T, service string) []string {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	return v.endpoints[r.fullname()+service]
}

// cli runs redis-cli in the client's pod with the password of the release.
func (r *release) cli(t *testing.T, host string, port int, args ...string) string {
	t.Helper()
	return r.cliWith(t, r.password, host, port, args...)
}

// cliWith runs redis-cli in the client's pod with a password, and again until
// it gets a reply: kube-proxy follows the API after up to seconds. A reply that
// is an error is a reply.
func (r *release) cliWith(t *testing.T, password, host string, port int, args ...string) string {
	t.Helper()
	script := login(password) + "timeout 10 " + r.redisCLI(r.clientFiles()) + " -h " + host + " -p " + strconv.Itoa(port)
	for _, arg := range args {
		script += " " + quote(arg)
	}
	var said string
	eventually(t, proxyTime, fmt.Sprintf("a reply of %s to %s", host, args), func(ctx context.Context) (err error) {
		said, err = env.Execute(ctx, workNamespace, clientPod, strings.NewReader(script+" </dev/null 2>&1\n"), "bash", "-s")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return err
	})
	return said
}
