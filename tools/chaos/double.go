package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// syncDelay is how long a master lets a replica wait for its copy, in seconds, while
	// something is done to the replica or to the master.
	syncDelay = "20"
	// saveDelay is how much slower a new server writes each key into its first append-only
	// file, in microseconds: seconds for what the clients have written.
	saveDelay = "1000"
	// stepTime bounds the wait for one step of a double fault.
	stepTime = time.Minute
	// heardTime is how long sentinels need to hear of a replica.
	heardTime = 3 * time.Second
	// ownWrite is a command for what a frozen master writes when it wakes up, more than the clients write meanwhile.
	ownWrite = `EVAL "return redis.call('SET', 'own', string.rep('o', 4194304), 'EX', 60)" 0`
)

// replaceAndKillAll replaces a server by a new one, and ends all containers as soon as the
// release is complete. The new server writes its first append-only file slowly, as one with
// much data does: if it counted as complete before that, it might be elected without its data.
func (c *chaos) replaceAndKillAll(ctx context.Context, pod *corev1.Pod) error {
	master, err := c.watcher.Master()
	if err != nil {
		return err
	}
	before, _ := c.watcher.Pods()
	if err := c.set(ctx, master, "repl-diskless-sync-delay", syncDelay); err != nil {
		return err
	}
	if err := c.client.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	err = c.await(ctx, "a new server to answer before its first copy", func() bool {
		servers, _ := c.watcher.Pods()
		return slices.ContainsFunc(servers, func(p corev1.Pod) bool {
			isNew := !slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == p.UID })
			role := c.watcher.RoleOf(p.Name)
			return isNew && role.Role == "slave" && !role.Linked && c.set(ctx, &p, "rdb-key-save-delay", saveDelay) == nil
		})
	})
	if err != nil {
		return err
	}
	if err := c.set(ctx, master, "repl-diskless-sync-delay", "0"); err != nil {
		return err
	}
	if err := c.watcher.AwaitHealthy(ctx, c.serverCount, c.podCount, 0, recovery); err != nil {
		return err
	}
	servers, others := c.watcher.Pods()
	return fault.AtOnce(slices.Concat(servers, others), func(pod *corev1.Pod) error { return c.client.KillLauncher(ctx, pod) })
}

// freezeAndKillSuccessor has a master stand still until another is master, lets it wake
// up with a write of its own, so that it needs a full copy, and kills its successor while
// it waits for that.
func (c *chaos) freezeAndKillSuccessor(ctx context.Context, former *corev1.Pod) error {
	if err := c.client.FreezeRedisWith(ctx, former, freezeTime, ownWrite); err != nil {
		return err
	}
	var present *corev1.Pod
	err := c.await(ctx, "another master than "+former.Name, func() bool {
		master, err := c.watcher.Master()
		present = master
		return err == nil && master.UID != former.UID
	})
	if err != nil {
		return err
	}
	if err := c.set(ctx, present, "repl-diskless-sync-delay", syncDelay); err != nil {
		return err
	}
	err = c.await(ctx, former.Name+" to be a replica without a copy", func() bool {
		role := c.watcher.RoleOf(former.Name)
		return role.Role == "slave" && !role.Linked
	})
	if err != nil {
		return err
	}
	pause(ctx, heardTime)
	return c.client.KillRedis(ctx, present)
}

// set sets a directive in a running server, which asks for no password.
func (c *chaos) set(ctx context.Context, pod *corev1.Pod, directive, value string) error {
	_, err := c.client.Execute(ctx, pod.Namespace, pod.Name, nil, "redis-cli", "config", "set", directive, value)
	return err
}

// await waits until a condition holds.
func (c *chaos) await(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			return fmt.Errorf("waited %s for %s", stepTime, what)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}
