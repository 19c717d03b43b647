package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// smallLimit is the memory limit of the servers, and smallMemory the maxmemory that the launcher makes of it: 64 MiB stay free.
	smallLimit, smallMemory = "128Mi", "67108864"
	// doubledLimit and doubledMemory are the same after the pods are resized. A quarter stays free.
	doubledLimit, doubledMemory = "256Mi", "201326592"
	// fillTime bounds the filling, and fullTime is how long a full Redis is written to.
	fillTime, fullTime = time.Minute, 8 * time.Second
	// resizeTime is from the order to resize the pods until Redis has the new size. The kubelet takes seconds.
	resizeTime = time.Minute
	// blocksPerLook is how many blocks are set between two looks at the answers: 8 MiB.
	blocksPerLook = 512
)

// setBlocks sets values of 16 KiB on the host $1, from key $2 on, $3 of them, and prints each answer with its number.
const setBlocks = `value=$(head -c 12288 /dev/urandom | base64 -w 0)
for i in $(seq "$2" $(($2 + $3 - 1))); do echo "SET block:$i $value"; done | timeout 30 redis-cli -h "$1" 2>&1 | sort | uniq -c`

// readOn reads a key on the host $1 until there is a file $3, for $2 seconds at most.
const readOn = `rm -f "$3"; good=0
until [ -e "$3" ] || [ $SECONDS -ge "$2" ]; do
said=$(timeout 2 redis-cli -h "$1" get kept 2>&1)
if [ "$said" = here ]; then good=$((good + 1)); else echo "not answered: $said"; fi
done; echo "answered: $good"`

// stopReading is the file that ends readOn.
const stopReading = "/client/stop-reading"

// Without a maxmemory the kernel kills a Redis that is full, and then the slave that has taken over.
func TestFullRedisRefusesWritesAndFollowsItsMemoryLimit(t *testing.T) {
	r := &release{name: "full", namespace: workNamespace, servers: 3, sentinels: 3}
	r.install(t, "--set", "resources.server.limits.memory="+smallLimit, "--set", "resources.server.requests.memory=100Mi")
	eventually(t, callTime, "the servers to have the maxmemory of their limit", r.haveMaxmemory(t, smallMemory))
	require.Contains(t, r.cli(t, r.masterService(), redisPort, "set", "kept", "here"), "OK")
	before := r.lives(t)

	stop := r.readAllTheTime(t)
	blocks := 0
	took := eventually(t, fillTime, "the master to refuse writes for its memory", func(ctx context.Context) error {
		_, refused := r.setBlocks(ctx, t, blocks, blocksPerLook)
		blocks += blocksPerLook
		if refused == 0 {
			return fmt.Errorf("it has taken %d MiB", blocks*blockSize>>20)
		}
		return nil
	})
	t.Logf("full after %.1f s", took.Seconds())
	refused := 0
	for start := time.Now(); time.Since(start) < fullTime; {
		_, overwrites := r.setBlocks(t.Context(), t, 0, blocksPerLook/4)
		_, others := r.setBlocks(t.Context(), t, blocks, blocksPerLook/4)
		refused += overwrites + others
	}
	require.Positive(t, refused, "writes that a full Redis has refused")
	t.Logf("%d reads were answered meanwhile, and %d writes refused", stop(), refused)
	require.Equal(t, before, r.lives(t), "the processes and roles before and after")

	for _, pod := range r.pods(t) {
		if pod.Labels["component"] == "server" {
			r.kubectl(t, "patch", "pod", pod.Name, "--subresource", "resize", "--patch",
				`{"spec":{"containers":[{"name":"redis","resources":{"limits":{"memory":"`+doubledLimit+`"}}}]}}`)
		}
	}
	took = eventually(t, resizeTime, "the servers to follow the limit of their resized pods", r.haveMaxmemory(t, doubledMemory))
	t.Logf("Redis follows after %.1f s", took.Seconds())
	accepted, refused := r.setBlocks(t.Context(), t, blocks, blocksPerLook)
	require.Equal(t, []int{blocksPerLook, 0}, []int{accepted, refused}, "writes that the resized master accepts and refuses")
	require.Equal(t, before, r.lives(t), "the processes and roles before and after the resize")
	eventually(t, recoveryTime, "a healthy release after the resize", r.healthy)
	r.uninstall(t)
}

// lives tells which processes run in which roles. A restart or a failover changes it.
func (r *release) lives(t *testing.T) map[string]string {
	t.Helper()
	v, err := r.look(t.Context())
	require.NoError(t, err)
	found := map[string]string{}
	for _, pod := range v.pods {
		a := v.answers[pod.Status.PodIP]
		found[pod.Name] = fmt.Sprintf("%s, %d restarts, run ID %s, epoch %s", pod.Labels["redis-role"], restarts(&pod), a["run_id"], a["config-epoch"])
	}
	return found
}

// haveMaxmemory finds nothing wrong when all servers have a maxmemory, in bytes.
func (r *release) haveMaxmemory(t *testing.T, want string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for _, pod := range r.pods(t) {
			if pod.Labels["component"] != "server" {
				continue
			}
			said, err := env.Execute(ctx, r.namespace, pod.Name, nil, "redis-cli", "config", "get", "maxmemory")
			if err != nil {
				return err
			}
			if words := strings.Fields(said); len(words) != 2 || words[1] != want {
				return fmt.Errorf("%s says %v, want %s; its containers: %+v; its conditions: %+v", pod.Name, words, want, pod.Status.ContainerStatuses, pod.Status.Conditions)
			}
		}
		return nil
	}
}

// setBlocks sets so many values from block number first on, and tells how many of them Redis has accepted, and refused because it is full.
func (r *release) setBlocks(ctx context.Context, t *testing.T, first, number int) (accepted, refused int) {
	t.Helper()
	said, err := env.Execute(ctx, workNamespace, clientPod, nil, "bash", "-c", setBlocks, "set-blocks",
		r.masterService(), strconv.Itoa(first), strconv.Itoa(number))
	require.NoError(t, err)
	for line := range strings.Lines(said) {
		count, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(count)
		require.NoError(t, err, said)
		switch {
		case answer == "OK":
			accepted += n
		case strings.HasPrefix(answer, "OOM command not allowed"):
			refused += n
		default:
			require.Empty(t, answer, "what Redis says to writes:\n%s", said)
		}
	}
	require.Equal(t, number, accepted+refused, "answers to writes:\n%s", said)
	return accepted, refused
}

// readAllTheTime reads from the master, from now on until stop is called. Each read must be answered. stop tells how many were.
func (r *release) readAllTheTime(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fillTime+callTime)
	t.Cleanup(cancel)
	type result struct {
		said string
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		said, err := env.Execute(ctx, workNamespace, clientPod, nil, "bash", "-c", readOn, "reader",
			r.masterService(), strconv.Itoa(int((fillTime + callTime).Seconds())), stopReading)
		ended <- result{said, err}
	}()
	return func() int {
		t.Helper()
		_, err := env.Execute(ctx, workNamespace, clientPod, nil, "touch", stopReading)
		require.NoError(t, err)
		read := <-ended // ctx bounds it
		require.NoError(t, read.err, read.said)
		require.NotContains(t, read.said, "not answered")
		var answered int
		_, err = fmt.Sscanf(read.said, "answered: %d", &answered)
		require.NoError(t, err, read.said)
		require.Positive(t, answered, "reads that were answered")
		return answered
	}
}
