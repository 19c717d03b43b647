package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

// footprint is what the launchers use, by pod.
type footprint struct {
	Pods []podFootprint `json:"pods"`
}

type podFootprint struct {
	Role string `json:"role"`
	// ResidentMiB is the launcher's resident memory after the load.
	ResidentMiB float64 `json:"residentMiB"`
	// IdleCPU and LoadCPU are its shares of a core, in percent.
	IdleCPU float64 `json:"idleCPUPercent"`
	LoadCPU float64 `json:"loadCPUPercent"`
}

// quiet is how often launchers wrote to the API while nothing happened.
type quiet struct {
	Minutes float64 `json:"minutes"`
	Writes  int     `json:"apiWrites"`
}

const (
	// idleTime is how long CPU time is counted while nothing happens.
	idleTime = time.Minute
	// ticks is the number of clock ticks in a second, as in /proc.
	ticks = 100.0
)

// measureLauncher reads the launchers' use of CPU and memory from /proc.
func measureLauncher(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
			return err
		}
		servers, others := b.watcher.Pods()
		pods := append(servers, others...)
		found := &footprint{Pods: make([]podFootprint, len(pods))}
		idle, err := b.cpuShares(ctx, pods, func() error { time.Sleep(idleTime); return nil })
		if err != nil {
			return err
		}
		target, err := b.target(ctx)
		if err != nil {
			return err
		}
		host, port, _ := strings.Cut(target, ":")
		load, err := b.cpuShares(ctx, pods, func() error {
			for range 5 {
				if _, err := b.redisBenchmark(ctx, host, port, setArgs...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, pod := range pods {
			resident, err := b.residentMiB(ctx, &pod)
			if err != nil {
				return err
			}
			found.Pods[i] = podFootprint{Role: pod.Labels[probe.RoleLabel], ResidentMiB: resident, IdleCPU: idle[i], LoadCPU: load[i]}
			fmt.Printf("launcher of %s (%s): %.1f MiB resident, %.2f %% of a core idle, %.2f %% under load\n", pod.Name, found.Pods[i].Role, resident, idle[i], load[i])
		}
		return keep(o, func(all *results) { all.Launcher = found })
	})
}

// cpuShares gives the launchers' CPU time while do runs, in percent of a core.
func (b *bench) cpuShares(ctx context.Context, pods []corev1.Pod, do func() error) ([]float64, error) {
	before, at := make([]float64, len(pods)), make([]time.Time, len(pods))
	for i := range pods {
		var err error
		if before[i], err = b.cpuSeconds(ctx, &pods[i]); err != nil {
			return nil, err
		}
		at[i] = time.Now()
	}
	if err := do(); err != nil {
		return nil, err
	}
	shares := make([]float64, len(pods))
	for i := range pods {
		now, err := b.cpuSeconds(ctx, &pods[i])
		if err != nil {
			return nil, err
		}
		shares[i] = 100 * (now - before[i]) / time.Since(at[i]).Seconds()
	}
	return shares, nil
}

// cpuSeconds is the CPU time of process 1 of a pod so far.
func (b *bench) cpuSeconds(ctx context.Context, pod *corev1.Pod) (float64, error) {
	said, err := b.client.Execute(ctx, pod.Namespace, pod.Name, nil, "cat", "/proc/1/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold spaces; user and system time are the
	// 12th and 13th field after it.
	_, rest, _ := strings.Cut(said, ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/1/stat of pod %s has too few fields: %q", pod.Name, said)
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of pod %s: %w", pod.Name, err)
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of pod %s: %w", pod.Name, err)
	}
	return (user + system) / ticks, nil
}

// residentMiB is the resident memory of process 1 of a pod.
func (b *bench) residentMiB(ctx context.Context, pod *corev1.Pod) (float64, error) {
	said, err := b.client.Execute(ctx, pod.Namespace, pod.Name, nil, "cat", "/proc/1/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(said) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/1/status of pod %s has no VmRSS", pod.Name)
}

// measureQuiet counts how often anything of the release is written.
func measureQuiet(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
			return err
		}
		start := time.Now()
		before, err := b.versions(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("watching for %s that nothing is written ...\n", o.duration)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.duration):
		}
		after, err := b.versions(ctx)
		if err != nil {
			return err
		}
		found := &quiet{Minutes: time.Since(start).Minutes()}
		for name, version := range after {
			if before[name] != version {
				found.Writes++
			}
		}
		fmt.Printf("%d of %d objects were written in %.0f minutes\n", found.Writes, len(after), found.Minutes)
		return keep(o, func(all *results) { all.Quiet = found })
	})
}

// versions are the resource versions of the pods and Leases of the namespace.
func (b *bench) versions(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	pods, err := b.client.Kube.CoreV1().Pods(b.release.Namespace).List(ctx, metav1.ListOptions{LabelSelector: b.release.Selector})
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	for _, pod := range pods.Items {
		found["pod "+pod.Name] = pod.ResourceVersion
	}
	leases, err := b.client.Kube.CoordinationV1().Leases(b.release.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the Leases: %w", err)
	}
	for _, lease := range leases.Items {
		found["lease "+lease.Name] = lease.ResourceVersion
	}
	return found, nil
}

// podIP is the address of a pod that runs.
func (b *bench) podIP(ctx context.Context, pod *corev1.Pod) (string, error) {
	found, err := b.client.Kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("find the address of pod %s: %w", pod.Name, err)
	}
	return found.Status.PodIP, nil
}
