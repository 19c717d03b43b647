package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// apiDelay is from ordering an outage of the API to its begin: the orders need it.
	apiDelay = 4 * time.Second
	// apiOutage is shorter than the 10 s after which the controllers of
	// Kubernetes give up and start anew.
	apiOutage = 8 * time.Second
	// rollOutEvery is the pause between two looks at a Deployment.
	rollOutEvery = 200 * time.Millisecond
)

// do makes one fault happen.
func (c *chaos) do(ctx context.Context, s step) error {
	switch s.Fault {
	case "roll-out":
		return c.rollOut(ctx, s)
	case "stop-api":
		return c.stopAPI(ctx, time.Now().Add(apiDelay))
	}
	pod := c.target(s)
	if pod == nil {
		return nil // an earlier fault of the round has left no such pod
	}
	switch s.Fault {
	case "delete":
		return c.client.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
	case "force-delete":
		now := int64(0)
		return c.client.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	if s.Target != "sentinel" && slices.Contains(silencing, s.Fault) {
		c.silenced[pod.Name] = true
	}
	servers, sentinels := c.byName()
	strike := map[string]func() error{
		"replace-and-kill-all":      func() error { return c.replaceAndKillAll(ctx, pod) },
		"freeze-and-kill-successor": func() error { return c.freezeAndKillSuccessor(ctx, pod) },
		"freeze":                    func() error { return c.client.FreezeRedis(ctx, pod, freezeTime) },
		"kill-redis":                func() error { return c.client.KillRedis(ctx, pod) },
		"kill-launcher":             func() error { return c.client.KillLauncher(ctx, pod) },
		"exhaust-memory":            func() error { return c.client.ExhaustMemory(ctx, pod) },
		"kill-redis-without-api":    func() error { return c.killWithoutAPI(ctx, pod) },
		"cut-off":                   func() error { return c.forAWhile(ctx, s)(c.client.CutPod(ctx, pod)) },
		"cut-off-from-api":          func() error { return c.forAWhile(ctx, s)(c.client.CutPodFromAPI(ctx, pod)) },
		"cut-off-from-sentinels":    func() error { return c.forAWhile(ctx, s)(c.client.CutPod(ctx, pod, sentinels...)) },
		"cut-off-from-slaves":       func() error { return c.forAWhile(ctx, s)(c.client.CutPod(ctx, pod, without(servers, pod)...)) },
		"lose-node":                 func() error { return c.forAWhile(ctx, s)(fault.PauseNode(ctx, pod.Spec.NodeName)) },
	}[s.Fault]
	if strike == nil {
		return fmt.Errorf("unknown fault %q", s.Fault)
	}
	// There may be nothing to hit: a fault of the same round may have ended the
	// process before.
	if err := strike(); err != nil {
		fmt.Printf("           %v was not hit: %.100s\n", s, err.Error())
	}
	return nil
}

// forAWhile takes what a fault returns and, if it happened, takes the fault back
// after freezeTime; it does not wait for that.
func (c *chaos) forAWhile(ctx context.Context, s step) func(heal func(context.Context) error, err error) error {
	return func(heal func(context.Context) error, err error) error {
		if err != nil {
			return err
		}
		c.heals.Go(func() {
			pause(ctx, freezeTime)
			if err := heal(context.WithoutCancel(ctx)); err != nil {
				fmt.Printf("           %v was not taken back: %v\n", s, err)
			}
		})
		return nil
	}
}

// stopAPI makes the API servers stand still at a time. The round waits for the
// end of that; faults that come before it are late, as they need the API.
func (c *chaos) stopAPI(ctx context.Context, at time.Time) error {
	if err := c.client.PauseAPI(ctx, time.Until(at), apiOutage); err != nil {
		return err
	}
	c.heals.Go(func() { pause(ctx, time.Until(at.Add(apiOutage))) })
	return nil
}

// killWithoutAPI kills a Redis when the API has just stopped to answer.
func (c *chaos) killWithoutAPI(ctx context.Context, pod *corev1.Pod) error {
	at := time.Now().Add(apiDelay)
	if err := c.client.KillRedisLater(ctx, pod, time.Until(at.Add(time.Second))); err != nil {
		return err
	}
	return c.stopAPI(ctx, at)
}

// rollOut replaces all servers or all sentinels, one after the other, as an
// upgrade does. The round waits for the end of that.
func (c *chaos) rollOut(ctx context.Context, s step) error {
	deployments, name := c.client.Kube.AppsV1().Deployments(c.namespace), c.release+"-redis-ha-"+s.Target
	change := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	if _, err := deployments.Patch(ctx, name, types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("roll out: %w", err)
	}
	c.heals.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, recovery)
		defer cancel()
		for {
			deployment, err := deployments.Get(ctx, name, metav1.GetOptions{})
			if err == nil && rolledOut(deployment) {
				return
			}
			if ctx.Err() != nil {
				fmt.Printf("           %v has not ended in %s\n", s, recovery)
				return
			}
			pause(ctx, rollOutEvery)
		}
	})
	return nil
}

// rolledOut says whether all pods of a Deployment are new and available.
func rolledOut(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == *d.Spec.Replicas &&
		d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas
}

// byName gives the servers and the sentinels, by name.
func (c *chaos) byName() (servers, sentinels []corev1.Pod) {
	servers, sentinels = c.watcher.Pods()
	byName := func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(servers, byName)
	slices.SortFunc(sentinels, byName)
	return servers, sentinels
}

// without leaves a pod out.
func without(pods []corev1.Pod, pod *corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return pod != nil && p.UID == pod.UID })
}

// target gives the pod that a step names; nil if there is none now.
func (c *chaos) target(s step) *corev1.Pod {
	servers, pods := c.byName()
	master, _ := c.watcher.Master()
	if s.Target == "master" {
		return master
	}
	if s.Target == "slave" {
		pods = without(servers, master)
	}
	if s.Number >= len(pods) {
		return nil
	}
	return &pods[s.Number]
}

// pause waits, or for the end of the run.
func pause(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}
