package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

// freezeTime is how long a frozen process, a lost node or a cut lasts: longer than
// the default down-after-milliseconds of 3 s plus a failover.
const freezeTime = 9 * time.Second

// tiltTime is a little more than the 5 s for which a sentinel that has been
// stopped for a while takes no part in failovers afterwards: a second node that is
// lost within that time is a double fault.
const tiltTime = 7 * time.Second

// kind is one fault that is measured.
type kind struct {
	// Name on the command line and in file names.
	Name string
	// Title in tables.
	Title string
	// P50 and P95 are the longest write gaps that the project aims at; 0 if it has
	// no goal for this fault.
	P50, P95 time.Duration
	// Do makes the fault happen to the master, and returns what ends it, or nil.
	Do func(ctx context.Context, b *bench, master *corev1.Pod) (end func(context.Context) error, err error)
	// Before prepares a run, if it is set.
	Before func(ctx context.Context, b *bench) error
	// Rest is how long after the end of a fault the next one must wait.
	Rest time.Duration
	// KeepsMaster says that the old master may come back as the master.
	KeepsMaster bool
}

// kinds are all faults, in the order of the table.
var kinds = []kind{
	{Name: "delete", Title: "master pod deleted", P50: 60 * time.Millisecond, P95: 150 * time.Millisecond, Do: deletePod},
	{Name: "drain", Title: "node of the master drained", P50: 60 * time.Millisecond, P95: 150 * time.Millisecond, Do: drain},
	{Name: "upgrade", Title: "all servers rolled (`helm upgrade`)", P50: 60 * time.Millisecond, P95: 150 * time.Millisecond, Do: upgrade},
	{Name: "kill-redis", Title: "`kill -9` of redis-server on the master", P50: 80 * time.Millisecond, P95: 200 * time.Millisecond, Do: simply((*fault.Cluster).KillRedis)},
	{Name: "kill-launcher", Title: "`kill -9` of the launcher (whole container gone)", P50: 350 * time.Millisecond, P95: 1400 * time.Millisecond, Do: simply((*fault.Cluster).KillLauncher), Before: replaceRestarted},
	{Name: "force-delete", Title: "master pod deleted by force", P50: 350 * time.Millisecond, P95: 1400 * time.Millisecond, Do: forceDelete},
	{Name: "freeze", Title: "redis-server frozen (SIGSTOP)", P50: 3800 * time.Millisecond, P95: 4300 * time.Millisecond, Do: freeze},
	{Name: "node-lost", Title: "node of the master lost (paused)", P50: 3800 * time.Millisecond, P95: 4300 * time.Millisecond, Do: loseNode, Rest: tiltTime},
	{Name: "cut-off", Title: "master cut off from all pods and the API", Do: cutOff},
	{Name: "cut-off-from-sentinels", Title: "master cut off from the sentinels only", Do: cutOffFromSentinels},
	{Name: "kill-all", Title: "all pods killed at once, data on disk", P50: 12 * time.Second, P95: 20 * time.Second, Do: killAll, Before: reinstall, KeepsMaster: true},
}

// kindNamed gives the fault with a name of kinds.
func kindNamed(name string) kind {
	return kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.Name == name })]
}

func simply(do func(*fault.Cluster, context.Context, *corev1.Pod) error) func(context.Context, *bench, *corev1.Pod) (func(context.Context) error, error) {
	return func(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
		return nil, do(b.client.Cluster, ctx, master)
	}
}

func deletePod(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	return nil, b.client.Kube.CoreV1().Pods(master.Namespace).Delete(ctx, master.Name, metav1.DeleteOptions{})
}

func forceDelete(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	now := int64(0)
	return nil, b.client.Kube.CoreV1().Pods(master.Namespace).Delete(ctx, master.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
}

// drain cordons the node and evicts the release's pods from it, the master
// first, which is what kubectl drain does to them.
func drain(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	cordon := func(on bool) func(context.Context) error {
		return func(ctx context.Context) error {
			patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on)
			_, err := b.client.Kube.CoreV1().Nodes().Patch(ctx, master.Spec.NodeName, "application/merge-patch+json", patch, metav1.PatchOptions{})
			return err
		}
	}
	if err := cordon(true)(ctx); err != nil {
		return nil, fmt.Errorf("cordon the node: %w", err)
	}
	servers, others := b.watcher.Pods()
	for _, pod := range append(servers, others...) {
		if pod.Spec.NodeName != master.Spec.NodeName {
			continue
		}
		if err := b.evict(ctx, pod.Namespace, pod.Name); err != nil {
			return cordon(false), err
		}
	}
	return cordon(false), nil
}

// evict asks again while a disruption budget forbids it, as kubectl does.
func (b *bench) evict(ctx context.Context, namespace, name string) error {
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	for deadline := time.Now().Add(recovery); ; time.Sleep(100 * time.Millisecond) {
		err := b.client.Kube.PolicyV1().Evictions(namespace).Evict(ctx, eviction)
		if err == nil || apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsTooManyRequests(err) || time.Now().After(deadline) {
			return fmt.Errorf("evict %s: %w", name, err)
		}
	}
}

// upgrade runs helm upgrade with a changed annotation of the pods.
func upgrade(ctx context.Context, b *bench, _ *corev1.Pod) (func(context.Context) error, error) {
	if b.chart == "" {
		return nil, fmt.Errorf("the fault upgrade needs -chart")
	}
	return nil, b.helm(ctx, "upgrade", b.releaseName, b.chart, "--reuse-values",
		"--set-string", fmt.Sprintf("podAnnotations.bench=run-%d", time.Now().UnixNano()))
}

func freeze(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	err := b.client.Signal(ctx, master, fault.Redis, "STOP")
	return after(freezeTime, func(ctx context.Context) error { return b.client.Signal(ctx, master, fault.Redis, "CONT") }), err
}

func loseNode(ctx context.Context, _ *bench, master *corev1.Pod) (func(context.Context) error, error) {
	resume, err := fault.PauseNode(ctx, master.Spec.NodeName)
	return after(freezeTime, resume), err
}

func cutOff(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	heal, err := b.client.CutPod(ctx, master)
	return after(freezeTime, heal), err
}

func cutOffFromSentinels(ctx context.Context, b *bench, master *corev1.Pod) (func(context.Context) error, error) {
	_, sentinels := b.watcher.Pods()
	heal, err := b.client.CutPod(ctx, master, sentinels...)
	return after(freezeTime, heal), err
}

// after makes the end of a fault wait until the fault has lasted long enough.
func after(span time.Duration, end func(context.Context) error) func(context.Context) error {
	began := time.Now()
	return func(ctx context.Context) error {
		time.Sleep(span - time.Since(began))
		if end == nil {
			return nil
		}
		return end(ctx)
	}
}

// replaceRestarted replaces pods whose container has been restarted: the kubelet
// waits longer before each further restart, which is not what is measured.
func replaceRestarted(ctx context.Context, b *bench) error {
	servers, others := b.watcher.Pods()
	for _, pod := range append(servers, others...) {
		if pod.Status.ContainerStatuses[0].RestartCount == 0 {
			continue
		}
		if err := b.client.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("replace a pod that was restarted: %w", err)
		}
		if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, time.Second, recovery); err != nil {
			return err
		}
	}
	return nil
}

// reinstall gives all pods a fresh start, for the same reason.
func reinstall(ctx context.Context, b *bench) error {
	_, err := b.install(ctx)
	return err
}

func killAll(ctx context.Context, b *bench, _ *corev1.Pod) (func(context.Context) error, error) {
	servers, others := b.watcher.Pods()
	return nil, fault.AtOnce(append(servers, others...), func(pod *corev1.Pod) error { return b.client.KillLauncher(ctx, pod) })
}

// helm runs helm in the namespace of the release.
func (b *bench) helm(ctx context.Context, args ...string) error {
	args = append(args, "--namespace", b.release.Namespace, "--kubeconfig", b.kubeconfig)
	output, err := exec.CommandContext(ctx, "helm", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("helm %q: %w\n%s", args, err, output)
	}
	return nil
}
