package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// largeNamespace holds the release with much data, and nothing else.
	largeNamespace = "redis-ha-e2e-large"
	// blockSize is the size of one value of bulk data, blocksAtOnce how many of them one
	// script writes: 16 MiB, far below what Redis lets a replica be behind (256 MiB).
	blockSize    = 16 << 10
	blocksAtOnce = 1024
	// rollOutTime bounds a roll-out of servers with much data.
	rollOutTime = 4 * time.Minute
)

// eachBlock is a script for Redis that does something with blocksAtOnce blocks of
// bulk data, from block ARGV[1] on. A block cannot be compressed, and differs from
// all others. Redis goes on with the random numbers of the script before, unless a script begins anew.
const eachBlock = `math.randomseed(1); local noise, done = {}, 0; for i = 1, %d do noise[i] = string.char(math.random(0, 255)) end; noise = table.concat(noise); ` +
	`for i = ARGV[1], ARGV[1] + %d do local key, value = 'block:' .. i, i .. noise; %s end; return done`

var (
	writeBlocks = fmt.Sprintf(eachBlock, blockSize, blocksAtOnce-1, `redis.call('SET', key, value); done = done + 1`)
	countBlocks = fmt.Sprintf(eachBlock, blockSize, blocksAtOnce-1, `if redis.call('GET', key) == value then done = done + 1 end`)
)

// A new pod has a full copy in memory before it has the data in its files. If it counted
// as complete in between, a roll-out would remove the last files that have everything.
func TestGigabyteSurvivesThatAllContainersEndRightAfterARollOut(t *testing.T) {
	const blocks = 64 * blocksAtOnce
	r := &release{name: "large", namespace: largeNamespace, servers: 3, sentinels: 3}
	require.NoError(t, env.Prepare(t.Context()))
	removeNamespace(t, r.namespace)
	t.Cleanup(func() { removeNamespace(t, r.namespace) })
	// Nothing is rewritten while the data grow, which takes less time so.
	r.install(t, "--create-namespace", "--set", "resources.server.limits.memory=4Gi,servers.config.auto-aof-rewrite-percentage=0")
	start := time.Now()
	r.fill(t, blocks)
	t.Logf("%d MiB are on all servers after %.1f s", blocks*blockSize>>20, time.Since(start).Seconds())

	client := r.writeConfirmed(t)
	client.advance(100)
	start = time.Now()
	r.kubectl(t, "rollout", "restart", r.serverWorkload())
	bash(t, fmt.Sprintf("kubectl rollout status %s --namespace %s --timeout %s", r.serverWorkload(), r.namespace, rollOutTime))
	t.Logf("rolled out after %.1f s", time.Since(start).Seconds())
	pods := r.pods(t)
	killed := time.Now()
	require.NoError(t, fault.AtOnce(pods, r.endContainer(t)))
	struck := time.Now()

	for _, pod := range pods {
		if pod.Labels["component"] == "server" && pod.DeletionTimestamp == nil {
			took, ended := r.firstRewrite(t, &pod)
			t.Logf("%s was ready %s after its start; its first rewrite of the append-only file took %.1f s, ended: %t", pod.Name, startOf(t, &pod), took.Seconds(), ended)
			assert.True(t, ended, "the files of %s had all data when the roll-out was complete", pod.Name)
		}
	}
	eventually(t, 2*recoveryTime, "a complete release after the end of all containers", r.healthy)
	t.Logf("complete and agreed %.1f s after the end of all containers:\n%s", time.Since(killed).Seconds(), r.watcher.history(start))
	client.advance(100)
	found := client.finish()
	require.Equal(t, blocks, r.count(t, blocks), "blocks of bulk data that are there")
	requireLostIn(t, found, killed.Add(-syncedAfter), struck)
}

// fill writes blocks of bulk data and waits until all replicas have them.
func (r *release) fill(t *testing.T, blocks int) {
	t.Helper()
	require.Equal(t, blocks, r.eachBlock(t, writeBlocks, blocks), "blocks of bulk data that were written")
}

// count tells how many of the blocks of bulk data the master has.
func (r *release) count(t *testing.T, blocks int) int {
	t.Helper()
	return r.eachBlock(t, countBlocks, blocks)
}

// eachBlock runs a script for every blocksAtOnce blocks, waits each time until all
// replicas have followed, and gives the sum of what the scripts return.
func (r *release) eachBlock(t *testing.T, script string, blocks int) int {
	t.Helper()
	var commands strings.Builder
	for first := 0; first < blocks; first += blocksAtOnce {
		fmt.Fprintf(&commands, "EVAL %q 0 %d\nWAIT %d 30000\n", script, first, r.servers-1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), recoveryTime)
	defer cancel()
	said, err := env.Execute(ctx, workNamespace, clientPod, strings.NewReader(commands.String()), "redis-cli", "-h", r.masterService())
	require.NoError(t, err)
	sum := 0
	for i, reply := range strings.Fields(said) {
		n, err := strconv.Atoi(reply)
		require.NoError(t, err, said)
		if i%2 == 0 {
			sum += n
		} else {
			require.Equal(t, r.servers-1, n, "replicas that followed the script")
		}
	}
	return sum
}

// endContainer ends the container of a pod without a warning; a pod that is
// leaving may have ended already.
func (r *release) endContainer(t *testing.T) func(pod *corev1.Pod) error {
	return func(pod *corev1.Pod) error {
		err := env.KillLauncher(t.Context(), pod)
		if pod.DeletionTimestamp != nil {
			return nil
		}
		return err
	}
}

// startOf tells how long a ready pod took from the start of its container. The API counts
// in full seconds.
func startOf(t *testing.T, pod *corev1.Pod) time.Duration {
	t.Helper()
	running := pod.Status.ContainerStatuses[0].State.Running
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && running != nil {
			return c.LastTransitionTime.Sub(running.StartedAt.Time)
		}
	}
	require.Fail(t, "a pod is not ready after the roll-out", fault.DescribePod(pod))
	return 0
}

// firstRewrite tells from the log of a pod's first container, which has been killed, how long
// Redis wrote its first append-only file, and whether it had ended that.
func (r *release) firstRewrite(t *testing.T, pod *corev1.Pod) (took time.Duration, ended bool) {
	t.Helper()
	file, err := os.Open(filepath.Join(r.watcher.dir, pod.Name+"-0.log"))
	require.NoError(t, err)
	defer file.Close()
	var began, last time.Time
	for lines := bufio.NewScanner(file); lines.Scan() && !ended; {
		at, text, _ := strings.Cut(lines.Text(), " ")
		now, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err, lines.Text())
		if last = now; began.IsZero() && strings.Contains(text, "Background append only file rewriting started") {
			began = now
		}
		ended = strings.Contains(text, "Background AOF rewrite terminated with success")
	}
	require.False(t, began.IsZero(), "%s does not log that it writes its first append-only file", pod.Name)
	return last.Sub(began), ended
}

// requireLostIn allows the loss of writes that were acknowledged in a span only.
func requireLostIn(t *testing.T, found report, from, until time.Time) {
	t.Helper()
	if found.Lost > 0 {
		require.WithinRange(t, *found.FirstLostAt, from, until, "acknowledged, and then lost (%d in all)", found.Lost)
		require.WithinRange(t, *found.LastLostAt, from, until, "acknowledged, and then lost (%d in all)", found.Lost)
	}
}

// removeNamespace removes a namespace with all that is in it, and waits for that.
func removeNamespace(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), removalTime)
	defer cancel()
	require.NoError(t, command(ctx, "kubectl", "delete", "namespace", name, "--ignore-not-found"))
}
