// Package policyengine has NetworkPolicies enforced on a kind cluster for the time of a test. The network plugin of kind does that by itself.
// The plugins of a cluster whose images were built locally do not, so the package runs kube-network-policies on each node then.
package policyengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

const (
	// account is the name of the engine's ServiceAccount, ClusterRole and ClusterRoleBinding.
	account = "redis-ha-network-policies"
	// program is where the engine is in its pods, and log is what it says.
	program, log = "/client/kube-network-policies", "/client/log"
	// queue is the number of the queue from which the engine takes packets.
	queue = "100"
	// buildTime bounds the build of the engine, most of which Go's cache has after the first time.
	buildTime = 10 * time.Minute
	// startTime bounds the start of the engine on one node.
	startTime = time.Minute
	pollEvery = 200 * time.Millisecond
)

// start runs the engine in its pod and waits until it reads its queue. The engine ends with the pod.
const start = `cat >` + program + ` && chmod +x ` + program + ` || exit 1
` + program + ` -hostname-override "$1" -nfqueue-id ` + queue + ` -disable-nri -netfilter-bug-1766-fix=false -metrics-bind-address 127.0.0.1:9080 </dev/null >` + log + ` 2>&1 &
engine=$!
until grep -q '^ *` + queue + ` ' /proc/net/netfilter/nfnetlink_queue; do
  kill -0 "$engine" && [ $SECONDS -lt "$2" ] || { tail -n 5 ` + log + ` >&2; exit 1; }
  sleep 0.1
done`

// rules have each new connection judged by the engine, as its own rules do, which need a kernel with the queues of nftables. Like them they leave out
// what the node itself sends.
const rules = `on() { nsenter --target 1 --mount -- iptables -w -t mangle "$@"; }
on -N REDIS-HA-POLICIES && on -A REDIS-HA-POLICIES -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN &&
on -A REDIS-HA-POLICIES -m owner --uid-owner 0 -j RETURN && on -A REDIS-HA-POLICIES -j NFQUEUE --queue-num ` + queue + ` && on -I POSTROUTING -j REDIS-HA-POLICIES`

// noRules takes the rules back, however many of them are there.
const noRules = `on() { nsenter --target 1 --mount -- iptables -w -t mangle "$@" 2>/dev/null; }
while on -D POSTROUTING -j REDIS-HA-POLICIES; do :; done; on -F REDIS-HA-POLICIES; on -X REDIS-HA-POLICIES; true`

// Enforce has the NetworkPolicies of the cluster enforced until stop is called. stop may be called more than once, and must be called after an error
// as well. repository is the root of this repository.
func Enforce(ctx context.Context, c *fault.Cluster, repository string) (stop fault.Heal, err error) {
	e := engine{c}
	_, err = c.Kube.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, "kindnet", metav1.GetOptions{})
	switch {
	case err == nil:
		return func(context.Context) error { return nil }, nil
	case !apierrors.IsNotFound(err):
		return e.stop, fmt.Errorf("look for kind's network plugin: %w", err)
	}
	path, err := build(ctx, repository)
	if err != nil {
		return e.stop, err
	}
	defer os.Remove(path)
	if err := errors.Join(e.stop(ctx), e.allow(ctx)); err != nil { // stop: an earlier test may have been interrupted
		return e.stop, err
	}
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return e.stop, fmt.Errorf("list the nodes: %w", err)
	}
	for _, node := range nodes.Items {
		if err := e.run(ctx, node.Name, path); err != nil {
			return e.stop, err
		}
	}
	for _, node := range nodes.Items {
		if _, err := c.OnNode(ctx, node.Name, rules); err != nil {
			return e.stop, fmt.Errorf("lead the packets of node %s to the engine: %w", node.Name, err)
		}
	}
	return e.stop, nil
}

// build builds the engine for the nodes, and gives its path.
func build(ctx context.Context, repository string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	file, err := os.CreateTemp("", "kube-network-policies-")
	if err != nil {
		return "", fmt.Errorf("make a file for the engine: %w", err)
	}
	file.Close()
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file.Name(), "sigs.k8s.io/kube-network-policies/cmd")
	command.Dir = filepath.Join(repository, "tools", "networkpolicies")
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if said, err := command.CombinedOutput(); err != nil {
		os.Remove(file.Name())
		return "", fmt.Errorf("build kube-network-policies: %w\n%s", err, said)
	}
	return file.Name(), nil
}

// engine is kube-network-policies on all nodes of a cluster.
type engine struct{ *fault.Cluster }

// allow makes the engine's account, which reads what policies select.
func (e engine) allow(ctx context.Context) error {
	meta := metav1.ObjectMeta{Name: account}
	_, err := e.Kube.CoreV1().ServiceAccounts(e.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	_, err2 := e.Kube.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "namespaces", "nodes"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: []string{"get", "list", "watch"}},
	}}, metav1.CreateOptions{})
	_, err3 := e.Kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: e.Namespace}},
	}, metav1.CreateOptions{})
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("make the account of the engine: %w", err)
	}
	return nil
}

// run starts the engine on a node.
func (e engine) run(ctx context.Context, node, path string) error {
	root, yes := int64(0), true
	pod := e.SleepingPod(podOf(node))
	pod.Spec.NodeName, pod.Spec.HostNetwork = node, true
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Spec.ServiceAccountName, pod.Spec.AutomountServiceAccountToken = account, &yes
	if err := e.CreatePod(ctx, pod); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	defer file.Close()
	err = e.Stream(ctx, e.Namespace, pod.Name, file, io.Discard, "bash", "-c", start, "start", node, fmt.Sprint(int(startTime.Seconds())))
	if err != nil {
		return fmt.Errorf("start the engine on node %s: %w", node, err)
	}
	return nil
}

func podOf(node string) string { return "network-policies-" + node }

// stop leads the packets past the engine, and removes it.
func (e engine) stop(ctx context.Context) error {
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	var problems []error
	for _, node := range nodes.Items {
		_, err := e.OnNode(ctx, node.Name, noRules)
		problems = append(problems, err, e.remove(ctx, podOf(node.Name)))
	}
	options := metav1.DeleteOptions{}
	for _, err := range []error{
		e.Kube.CoreV1().ServiceAccounts(e.Namespace).Delete(ctx, account, options),
		e.Kube.RbacV1().ClusterRoles().Delete(ctx, account, options),
		e.Kube.RbacV1().ClusterRoleBindings().Delete(ctx, account, options),
	} {
		if !apierrors.IsNotFound(err) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// remove deletes a pod of the engine and waits, for startTime at most, until it is gone.
func (e engine) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	pods := e.Kube.CoreV1().Pods(e.Namespace)
	for {
		err := pods.Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the pod %s of the engine is still there after %v: %w", name, startTime, err)
		}
		time.Sleep(pollEvery)
	}
}

// Dropped tells how many packets the engine of each node has refused; without the engine it tells nothing.
func Dropped(ctx context.Context, c *fault.Cluster) (string, error) {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list the nodes: %w", err)
	}
	var lines []string
	for _, node := range nodes.Items {
		said, err := c.OnNode(ctx, node.Name, `exec 3<>/dev/tcp/127.0.0.1/9080 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && grep verdict= <&3 | grep -v '^#'; true`)
		if err != nil {
			return "", err
		}
		lines = append(lines, node.Name+": "+strings.Join(strings.Fields(said), " "))
	}
	return strings.Join(lines, "\n"), nil
}
