package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// copyBlocks is the bulk data that a full copy has, 256 MiB.
	copyBlocks = 16 * blocksAtOnce
	// ownBlocks is what the former master writes alone, 64 MiB: more than the backlog of
	// 16 MiB, and than clients write meanwhile.
	ownBlocks = 4096
	// copyDelay is how long the present master lets a replica wait for its copy: longer
	// than the test.
	copyDelay = "3600"
)

// ownHistory are commands by which a master writes what no replica gets. The first command has the master accept the write: a Redis that wakes up
// may first find that it has no replica, and refuse the write (NOREPLICAS).
var ownHistory = "CONFIG SET min-replicas-to-write 0\r\n" + fmt.Sprintf(`EVAL "for i = 1, %d do redis.call('SET', 'own:' .. i, string.rep('o', %d)) end" 0`, ownBlocks, blockSize)

// A former master keeps its own data, and its own offset, which is the highest of all
// here, until it has the copy that it waits for. Nobody may take these for the present data.
func TestFormerMasterThatWaitsForAFullCopyIsNotPromoted(t *testing.T) {
	require.NoError(t, env.Prepare(t.Context()))
	t.Run("beside a replica in sync", func(t *testing.T) {
		r := &release{name: "copy-three", namespace: workNamespace, servers: 3, sentinels: 3}
		r.install(t)
		r.fill(t, copyBlocks)
		client := r.writeConfirmed(t)
		client.advance(100)
		former, present := r.replaceFrozenMaster(t)
		var inSync corev1.Pod
		for _, pod := range r.component(t, "server") {
			if pod.UID != former.UID && pod.UID != present.UID {
				inSync = pod
			}
		}
		eventually(t, switchTime, "the third server to be in sync", r.linked(&inSync, present, "up"))
		r.wakeToCopy(t, former, present)
		client.advance(100)

		start := time.Now()
		require.NoError(t, env.KillRedis(t.Context(), present))
		r.waitMaster(t, "another pod than "+present.Name, func(master *corev1.Pod) bool { return master.UID != present.UID })
		successor := r.master(t)
		client.advance(100)
		eventually(t, recoveryTime, "a complete release after the death of the present master", r.healthy)
		t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
		found := client.finish()
		assert.Equal(t, inSync.Name, successor.Name, "the successor is the server in sync; the former master is %s", former.Name)
		require.Zero(t, found.Lost, "lost writes that a replica had confirmed")
		require.Equal(t, copyBlocks, r.count(t, copyBlocks), "blocks of bulk data that are there")
		r.uninstall(t)
	})
	t.Run("beside nobody in sync", func(t *testing.T) {
		r := &release{name: "copy-two", namespace: workNamespace, servers: 2, sentinels: 3}
		r.install(t, "--set", "replicas.servers=2")
		r.fill(t, copyBlocks)
		former, present := r.replaceFrozenMaster(t)
		client := r.write(t)
		r.wakeToCopy(t, former, present)
		client.advance(100)
		time.Sleep(syncedAfter) // what is lost below was to be on disk
		client.advance(100)

		start := time.Now()
		require.NoError(t, env.KillRedis(t.Context(), present))
		struck := time.Now()
		eventually(t, recoveryTime, "a complete release after the death of the present master", r.healthy)
		t.Logf("complete and agreed after %.1f s:\n%s", time.Since(start).Seconds(), r.watcher.history(start))
		client.advance(100)
		found := client.finish()
		assert.Equal(t, present.Name, r.master(t).Name, "the present master comes back; the former master is %s", former.Name)
		requireLostIn(t, found, start.Add(-syncedAfter), struck)
		require.Equal(t, copyBlocks, r.count(t, copyBlocks), "blocks of bulk data that are there")
		r.uninstall(t)
	})
}

// replaceFrozenMaster has the container of the master stand still until another is
// master, with a large write in its socket that it carries out when it wakes up.
func (r *release) replaceFrozenMaster(t *testing.T) (former, present *corev1.Pod) {
	t.Helper()
	former = r.master(t)
	send := r.leaveCommand(t, former, ownHistory)
	for _, process := range []string{fault.Launcher, fault.Redis} {
		require.NoError(t, env.Signal(t.Context(), former, process, "STOP"))
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), callTime)
			defer cancel()
			_ = env.Signal(ctx, former, process, "CONT") // it is gone where the test has ended well
		})
	}
	send()
	r.waitMaster(t, "another pod than "+former.Name, func(master *corev1.Pod) bool { return master.UID != former.UID })
	return former, r.master(t)
}

// wakeToCopy lets the former master go on, and waits until it follows the present one
// and waits for its copy, and until all sentinels have heard of that.
func (r *release) wakeToCopy(t *testing.T, former, present *corev1.Pod) {
	t.Helper()
	require.Contains(t, r.cli(t, present.Status.PodIP, redisPort, "config", "set", "repl-diskless-sync-delay", copyDelay), "OK")
	require.NoError(t, env.Signal(t.Context(), former, fault.Redis, "CONT"))
	// The launcher would hold back the write that waits in the connection.
	eventually(t, switchTime, "the former master to carry out the write that waited", func(ctx context.Context) error {
		answers, err := r.ask(ctx, []corev1.Pod{*former, *present})
		if err != nil {
			return err
		}
		own, presents := answers[former.Status.PodIP].number("master_repl_offset"), answers[present.Status.PodIP].number("master_repl_offset")
		if own < presents+ownBlocks*blockSize/2 { // a client may have written a little to either
			return fmt.Errorf("its offset is %d, that of the present master %d", own, presents)
		}
		return nil
	})
	require.NoError(t, env.Signal(t.Context(), former, fault.Launcher, "CONT"))
	took := eventually(t, switchTime, "the former master to wait for a copy", r.linked(former, present, "down"))
	t.Logf("the former master waits for a copy of the present one %.1f s after it woke up", took.Seconds())
	took = eventually(t, switchTime, "the sentinels to take the former master for a replica of the present one", func(ctx context.Context) error {
		return r.knownReplica(ctx, former, present)
	})
	t.Logf("all sentinels know that %.1f s later", took.Seconds())
	answers, err := r.ask(t.Context(), []corev1.Pod{*former, *present})
	require.NoError(t, err)
	own, presents := answers[former.Status.PodIP], answers[present.Status.PodIP]
	require.Equal(t, "down", own["master_link_status"], "the link of the former master")
	require.Greater(t, own.number("slave_repl_offset"), presents.number("master_repl_offset"), "the offset of the former master and of the present one")
}

// linked wants a server to be a replica of another, with a link that is up or down.
func (r *release) linked(pod, master *corev1.Pod, link string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		answers, err := r.ask(ctx, []corev1.Pod{*pod})
		if err != nil {
			return err
		}
		if a := answers[pod.Status.PodIP]; a["role"] != "slave" || a["master_host"] != master.Status.PodIP || a["master_link_status"] != link {
			return fmt.Errorf("%s says role %q of %q, link %q, want a replica of %s, link %s",
				pod.Name, a["role"], a["master_host"], a["master_link_status"], master.Status.PodIP, link)
		}
		return nil
	}
}

// knownReplica wants every sentinel to know that a server is a replica of a master, and lives.
func (r *release) knownReplica(ctx context.Context, pod, master *corev1.Pod) error {
	pods, err := env.Kube.CoreV1().Pods(r.namespace).List(ctx, r.listOptions())
	if err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	var problems []error
	for _, sentinel := range (&view{pods: pods.Items}).component("sentinel") {
		said, err := env.Execute(ctx, workNamespace, clientPod, nil,
			"redis-cli", "-h", sentinel.Status.PodIP, "-p", fmt.Sprint(sentinelPort), "sentinel", "replicas", masterName)
		if err == nil {
			err = replicaProblem(said, pod.Status.PodIP, master.Status.PodIP)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("sentinel %s: %w", sentinel.Name, err))
		}
	}
	return errors.Join(problems...)
}

// replicaProblem reads what SENTINEL REPLICAS says of a replica: fields and values on alternate lines.
func replicaProblem(said, address, master string) error {
	lines := strings.Fields(strings.ReplaceAll(said, "\n\n", "\n-\n"))
	replica := answer{}
	for i := 0; i+1 < len(lines); i += 2 {
		if lines[i] == "name" {
			replica = answer{}
		}
		replica[lines[i]] = lines[i+1]
		if lines[i] == "master-host" && replica["ip"] == address {
			if replica["flags"] == "slave" && replica["master-host"] == master {
				return nil
			}
			return fmt.Errorf("replica %s has the flags %q and follows %q, want slave and %s", address, replica["flags"], replica["master-host"], master)
		}
	}
	return fmt.Errorf("it does not know the replica %s", address)
}

// leaveCommand connects a client to a server, and returns what sends commands through
// that connection without waiting for an answer. A line end, "\r\n", separates two commands.
func (r *release) leaveCommand(t *testing.T, pod *corev1.Pod, command string) (send func()) {
	t.Helper()
	pipe := "/client/command-" + string(pod.UID)
	script := `mkfifo "$2" && exec 3<>"/dev/tcp/$1/6379" || exit 1
printf 'PING\r\n' >&3; read -r answer <&3; echo "$answer"
(cat "$2" >&3; sleep 120) <&- >&- 2>&- &`
	said, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "bash", "-c", script, "command", pod.Status.PodIP, pipe)
	require.NoError(t, err)
	require.Contains(t, said, "PONG")
	return func() {
		t.Helper()
		_, err := env.Execute(t.Context(), workNamespace, clientPod, strings.NewReader(command+"\r\n"), "bash", "-c", `cat >"$1"`, "send", pipe)
		require.NoError(t, err)
	}
}
