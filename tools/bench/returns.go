package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// comeback is a way in which a slave goes and its next pod comes.
type comeback struct {
	Name, Title, Workload string
	// Force deletes the pod without time to save its data.
	Force bool
}

// comebacks are measured in turns.
var comebacks = []comeback{
	{Name: "saved-copy", Title: "StatefulSet, deleted: from the copy that it saved", Workload: "StatefulSet"},
	{Name: "append-only-file", Title: "StatefulSet, deleted by force: from its append-only file", Workload: "StatefulSet", Force: true},
	{Name: "new-volume", Title: "Deployment, deleted: on a new volume", Workload: "Deployment"},
}

// returned is one slave that went and came back.
type returned struct {
	At time.Time `json:"at"`
	// ReadyMS is from the deletion until all servers were ready again.
	ReadyMS float64 `json:"readyMilliseconds"`
	// SentBytes is what the master sent to its slaves meanwhile.
	SentBytes int64 `json:"sentBytes"`
}

// measureReturns has a slave with 1 GB of data come back in each way.
func measureReturns(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		found := map[string][]returned{}
		for _, workload := range []string{"StatefulSet", "Deployment"} {
			if err := b.returnsOf(ctx, o, workload, found); err != nil {
				return errors.Join(err, b.forgetVolumes(ctx))
			}
		}
		if err := b.forgetVolumes(ctx); err != nil {
			return err
		}
		if _, err := b.install(ctx); err != nil {
			return err
		}
		return keep(o, func(all *results) { all.Returns = found })
	})
}

// returnsOf measures the ways that a kind of workload has.
func (b *bench) returnsOf(ctx context.Context, o options, workload string, found map[string][]returned) error {
	if err := b.forgetVolumes(ctx); err != nil {
		return err
	}
	if _, err := b.install(ctx, "--set", "resources.server.limits.memory="+heavyMemory, "--set", "servers.workload="+workload); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return fmt.Errorf("fill the release: %w", err)
	}
	for i := range o.runs {
		for _, way := range comebacks {
			if way.Workload != workload {
				continue
			}
			one, err := b.comeBack(ctx, way)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", way.Name, i+1, err)
			}
			found[way.Name] = append(found[way.Name], one)
			fmt.Printf("%-16s %2d of %d: all ready after %.1f s, the master sent %d MB\n", way.Name, i+1, o.runs, one.ReadyMS/1000, one.SentBytes/1e6)
		}
	}
	return nil
}

// comeBack deletes a slave, and waits until the release is whole again.
func (b *bench) comeBack(ctx context.Context, way comeback) (returned, error) {
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
		return returned{}, err
	}
	master, err := b.watcher.Master()
	if err != nil {
		return returned{}, err
	}
	servers, _ := b.watcher.Pods()
	slave := servers[0]
	if slave.UID == master.UID {
		slave = servers[1]
	}
	sent, err := b.sent(ctx, master)
	if err != nil {
		return returned{}, err
	}
	options := metav1.DeleteOptions{}
	if way.Force {
		options.GracePeriodSeconds = new(int64)
	}
	one := returned{At: time.Now()}
	if err := b.client.Kube.CoreV1().Pods(slave.Namespace).Delete(ctx, slave.Name, options); err != nil {
		return one, fmt.Errorf("delete pod %s: %w", slave.Name, err)
	}
	if err := b.awaitReplaced(ctx, &slave); err != nil {
		return one, err
	}
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, 0, recovery); err != nil {
		return one, err
	}
	one.ReadyMS = milliseconds(time.Since(one.At))
	after, err := b.sent(ctx, master)
	one.SentBytes = after - sent
	return one, err
}

// awaitReplaced waits until a pod is gone.
func (b *bench) awaitReplaced(ctx context.Context, pod *corev1.Pod) error {
	for deadline := time.Now().Add(recovery); ; time.Sleep(20 * time.Millisecond) {
		servers, _ := b.watcher.Pods()
		there := false
		for _, server := range servers {
			there = there || server.UID == pod.UID
		}
		if !there {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("waited %s for pod %s to go", recovery, pod.Name)
		}
	}
}

// sentBytes is what a Redis has sent to its replicas since it started.
var sentBytes = regexp.MustCompile(`total_net_repl_output_bytes:(\d+)`)

// sent asks the Redis of a pod what it has sent to its replicas, in bytes.
func (b *bench) sent(ctx context.Context, pod *corev1.Pod) (int64, error) {
	said, err := b.client.Execute(ctx, pod.Namespace, pod.Name, nil, "bash", "-c", `REDISCLI_AUTH="$REDIS_PASS" redis-cli info stats`)
	if err != nil {
		return 0, err
	}
	found := sentBytes.FindStringSubmatch(said)
	if found == nil {
		return 0, fmt.Errorf("the Redis of %s does not say what it has sent: %q", pod.Name, said)
	}
	return strconv.ParseInt(found[1], 10, 64)
}

// forgetVolumes removes the release and the volumes of a StatefulSet.
func (b *bench) forgetVolumes(ctx context.Context) error {
	if err := b.helm(ctx, "uninstall", b.releaseName, "--ignore-not-found", "--wait", "--timeout", "3m"); err != nil {
		return err
	}
	if err := b.awaitGone(ctx); err != nil {
		return err
	}
	claims := b.client.Kube.CoreV1().PersistentVolumeClaims(b.release.Namespace)
	err := claims.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: b.release.Selector})
	if err != nil {
		return fmt.Errorf("delete the volume claims of the release: %w", err)
	}
	return nil
}

// returnTable tells what each way costs.
func (r results) returnTable(say func(string, ...any)) {
	if len(r.Returns) == 0 {
		return
	}
	say("| a slave with 1 GB comes back | runs | all ready after, p50 | max | the master sent, p50 | max | on |")
	say("| --- | --- | --- | --- | --- | --- | --- |")
	for _, way := range comebacks {
		runs := r.Returns[way.Name]
		if len(runs) == 0 {
			continue
		}
		ready := column(runs, func(r returned) float64 { return r.ReadyMS })
		sent := column(runs, func(r returned) float64 { return float64(r.SentBytes) / 1e6 })
		say("| %s | %d | %s | %s | %.0f MB | %.0f MB | %s |", way.Title, len(runs), seconds(quantile(ready, 0.5)), seconds(quantile(ready, 1)),
			quantile(sent, 0.5), quantile(sent, 1), runs[len(runs)-1].At.UTC().Format(time.DateOnly))
	}
	say("")
}
