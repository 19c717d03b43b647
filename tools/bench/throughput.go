package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// throughput compares the release with the same servers without it.
type throughput struct {
	// Rounds holds requests per second, measured one after the other.
	Rounds []round `json:"rounds"`
}

type round struct {
	// Service is through the master's Service, Bare to the address of a plain
	// redis-server with as many plain replicas on the same nodes.
	Service float64 `json:"serviceRequestsPerSecond"`
	Bare    float64 `json:"bareRequestsPerSecond"`
}

// requests is the number of requests of one measurement.
const requests = 200000

// measureThroughput starts plain servers beside the release's and measures both
// in turns.
func measureThroughput(ctx context.Context, o options) error {
	return withBench(ctx, o, func(ctx context.Context, b *bench) error {
		if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
			return err
		}
		bare, err := b.bareServers(ctx)
		if err != nil {
			return err
		}
		target, err := b.target(ctx)
		if err != nil {
			return err
		}
		host, port, _ := strings.Cut(target, ":")
		found := &throughput{}
		for i := range o.runs + 1 {
			var r round
			service, err := b.redisBenchmark(ctx, host, port, setArgs...)
			if err != nil {
				return err
			}
			alone, err := b.redisBenchmark(ctx, bare, "6379", setArgs...)
			if err != nil {
				return err
			}
			r.Service, r.Bare = service.PerSecond, alone.PerSecond
			if i == 0 {
				continue // warms both up
			}
			found.Rounds = append(found.Rounds, r)
			fmt.Printf("throughput %d of %d: %.0f requests/s through the Service, %.0f bare, ratio %.3f\n", i, o.runs, r.Service, r.Bare, r.Service/r.Bare)
		}
		return keep(o, func(all *results) { all.Throughput = found })
	})
}

// bareServers starts a plain redis-server on the master's node and replicas of
// it on the others', and returns its address.
func (b *bench) bareServers(ctx context.Context) (string, error) {
	master, err := b.watcher.Master()
	if err != nil {
		return "", err
	}
	servers, _ := b.watcher.Pods()
	address := ""
	for i, like := range append([]corev1.Pod{*master}, servers...) {
		if i > 0 && like.UID == master.UID {
			continue
		}
		pod := b.client.SleepingPod(fmt.Sprintf("bare-%d", i))
		pod.Spec.NodeName = like.Spec.NodeName
		command := []string{"redis-server", "--port", "6379", "--dir", "/client", "--appendonly", "yes", "--save", "", "--protected-mode", "no"}
		if address != "" {
			command = append(command, "--replicaof", address, "6379")
		}
		pod.Spec.Containers[0].Command = command
		if err := b.client.CreatePod(ctx, pod); err != nil {
			return "", err
		}
		if address == "" {
			if address, err = b.podIP(ctx, pod); err != nil {
				return "", err
			}
		}
	}
	return address, b.awaitReplicas(ctx, address)
}

func (b *bench) awaitReplicas(ctx context.Context, address string) error {
	want := fmt.Sprintf("connected_slaves:%d", b.servers-1)
	for deadline := time.Now().Add(recovery); ; time.Sleep(200 * time.Millisecond) {
		said, err := b.client.Execute(ctx, b.client.Namespace, "client", nil, "redis-cli", "-h", address, "INFO", "replication")
		if err == nil && strings.Contains(said, want) && strings.Count(said, "state=online") == b.servers-1 {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("waited %s for %q of the plain server: %s (%w)", recovery, want, said, err)
		}
	}
}

// setResult is what redis-benchmark tells of SET.
type setResult struct {
	PerSecond float64
	LongestMS float64 // until an answer
}

// setArgs are those of a measurement of the throughput.
var setArgs = []string{"-n", strconv.Itoa(requests), "-c", "20", "-P", "4", "-r", "100000", "-d", "64"}

// redisBenchmark has redis-benchmark send SET.
func (b *bench) redisBenchmark(ctx context.Context, host, port string, args ...string) (setResult, error) {
	script := `export REDISCLI_AUTH="$REDIS_PASS"; host=$1 port=$2; shift 2; redis-benchmark -h "$host" -p "$port" -t set --csv "$@"`
	said, err := b.client.Execute(ctx, b.client.Namespace, "client", nil, append([]string{"bash", "-c", script, "bench", host, port}, args...)...)
	if err != nil {
		return setResult{}, err
	}
	for line := range strings.Lines(said) {
		fields := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), `"`, ""), ",")
		if len(fields) < 8 || fields[0] != "SET" {
			continue
		}
		var r setResult
		if r.PerSecond, err = strconv.ParseFloat(fields[1], 64); err == nil {
			r.LongestMS, err = strconv.ParseFloat(fields[7], 64)
		}
		return r, err
	}
	return setResult{}, fmt.Errorf("redis-benchmark said nothing about SET: %s", said)
}
