package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// inPod finds the processes of the pod with the UID $1 whose name is $2, on the
// node, and runs the rest of the arguments with the process number added. It
// prints one line for each. The control group of a process names its pod. A fork
// that saves the data of a Redis has the name of its parent, and is left out.
const inPod = `uid=$1 name=$2; shift 2
named() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$name" ]; }
for process in /proc/[0-9]*; do
  number=${process#/proc/}
  if named "$number" && grep -qs -e "$uid" -e "${uid//-/_}" "$process/cgroup" && ! named "$(sed -n 's/^PPid:[[:space:]]*//p' "$process/status" 2>/dev/null)"; then
    "$@" "$number" && echo done
  fi
done`

// The names of the processes in the pods of a release. A sentinel is a Redis, too.
const (
	Redis    = "redis-server"
	Launcher = "launcher"
)

// Signal sends a signal ("KILL", "STOP", "CONT") to the process of a pod, from
// its node.
func (c *Cluster) Signal(ctx context.Context, pod *corev1.Pod, process, signal string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*callTime)
	defer cancel()
	said, err := c.OnNode(ctx, pod.Spec.NodeName, inPod, string(pod.UID), process, "kill", "-"+signal)
	if err == nil && strings.TrimSpace(said) != "done" {
		err = fmt.Errorf("one %s of pod %s on node %s should have got the signal %s: %q", process, pod.Name, pod.Spec.NodeName, signal, said)
	}
	return err
}

// KillRedis kills the Redis process of a pod, as the kernel's OOM killer may.
func (c *Cluster) KillRedis(ctx context.Context, pod *corev1.Pod) error {
	return c.Signal(ctx, pod, Redis, "KILL")
}

// KillLauncher kills process 1 of a pod, and by that everything in its
// container, without a warning.
func (c *Cluster) KillLauncher(ctx context.Context, pod *corev1.Pod) error {
	return c.Signal(ctx, pod, Launcher, "KILL")
}

// FreezeRedis stops the Redis process of a pod for some time. It returns when
// the process stands still; the end of the freeze needs nobody.
func (c *Cluster) FreezeRedis(ctx context.Context, pod *corev1.Pod, span time.Duration) error {
	script := fmt.Sprintf("p=$(pidof redis-server) && kill -STOP $p || exit 1; (sleep %.1f; kill -CONT $p) <&- >&- 2>&- &", span.Seconds())
	_, err := c.Execute(ctx, pod.Namespace, pod.Name, nil, "bash", "-c", script)
	return err
}

// freezeWith connects a client, stops Redis for some seconds ($1), and sends a command ($2)
// through that connection, which Redis has accepted, while it stands still.
const freezeWith = `p=$(pidof redis-server) && exec 3<>/dev/tcp/127.0.0.1/6379 || exit 1
printf 'PING\r\n' >&3; read -r answer <&3
kill -STOP $p && printf '%s\r\n' "$2" >&3 || exit 1
(sleep "$1"; kill -CONT $p; sleep 1) <&- >&- 2>&- &`

// FreezeRedisWith is FreezeRedis for a Redis that asks for no password, with a command that it carries
// out when it goes on.
func (c *Cluster) FreezeRedisWith(ctx context.Context, pod *corev1.Pod, span time.Duration, command string) error {
	_, err := c.Execute(ctx, pod.Namespace, pod.Name, nil, "bash", "-c", freezeWith, "freeze", seconds(span), command)
	return err
}

// exhaust is a script for Redis that holds up to 4 GiB and writes nothing.
const exhaust = `local block, held = string.rep('x', 1048576), {}
for i = 1, 4096 do held[i] = block .. i end
return #held`

// ExhaustMemory has the Redis of a pod, which asks for no password, take more memory than
// its container may have, so that the kernel's OOM killer ends it. It does
// nothing for its clients meanwhile, for some seconds on a slow machine.
func (c *Cluster) ExhaustMemory(ctx context.Context, pod *corev1.Pod) error {
	said, err := c.Execute(ctx, pod.Namespace, pod.Name, nil, "redis-cli", "eval", exhaust, "0")
	if err == nil {
		return fmt.Errorf("the Redis of pod %s should have run out of memory and said %q: the container has no limit below 4 GiB", pod.Name, said)
	}
	return nil
}

// AtOnce does something to several pods at the same time.
func AtOnce(pods []corev1.Pod, do func(pod *corev1.Pod) error) error {
	problems := make([]error, len(pods))
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() { problems[i] = do(&pods[i]) })
	}
	all.Wait()
	return errors.Join(problems...)
}
