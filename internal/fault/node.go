package fault

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OnNode runs a bash script as root among the processes and in the network of a
// node, with the given arguments, and returns what it prints. The first call
// for a node starts a pod there; Prepare does that beforehand.
func (c *Cluster) OnNode(ctx context.Context, node, script string, args ...string) (string, error) {
	pod, err := c.nodePod(ctx, node)
	if err != nil {
		return "", err
	}
	return c.Execute(ctx, c.Namespace, pod, nil, append([]string{"bash", "-c", script, "fault"}, args...)...)
}

// Prepare starts what OnNode needs on every node, so that later calls are quick.
func (c *Cluster) Prepare(ctx context.Context) error {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	for _, node := range nodes.Items {
		if _, err := c.nodePod(ctx, node.Name); err != nil {
			return err
		}
	}
	return nil
}

// nodePod makes a pod that sees and may end every process of a node, and may
// change its network; one a node.
func (c *Cluster) nodePod(ctx context.Context, node string) (string, error) {
	root, yes := int64(0), true
	pod := c.SleepingPod("node-" + node)
	pod.Spec.NodeName = node
	pod.Spec.HostPID, pod.Spec.HostNetwork = true, true
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	found, err := c.Kube.CoreV1().Pods(c.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err == nil && found.Status.Phase == corev1.PodRunning {
		return pod.Name, nil
	}
	return pod.Name, c.CreatePod(ctx, pod)
}

// engineConfig names Podman's configuration.
const engineConfig = "CONTAINERS_CONF"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// PauseNode stops a node of a kind cluster with all that runs on it, as if the
// machine were lost, and returns what lets it go on.
func PauseNode(ctx context.Context, node string) (resume func(context.Context) error, err error) {
	engine, err := engineOf(ctx, node)
	if err != nil {
		return nil, err
	}
	resume = func(ctx context.Context) error { return run(ctx, engine, "unpause", node) }
	return resume, run(ctx, engine, "pause", node)
}

// engineOf gives the container engine that runs the node.
func engineOf(ctx context.Context, node string) (string, error) {
	for _, engine := range []string{"docker", "podman"} {
		if run(ctx, engine, "container", "inspect", node) == nil {
			return engine, nil
		}
	}
	return "", fmt.Errorf("neither docker nor podman on this machine has a container %s: run this where the kind cluster runs", node)
}

// run runs the engine, with the private configuration that `make up` gives to
// Podman where it needs one.
func run(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv(engineConfig) == "" {
		if path := filepath.Join(cache, "redis-ha", "containers.conf"); exists(path) {
			command.Env = append(os.Environ(), engineConfig+"="+path)
		}
	}
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, output)
	}
	return nil
}
