// Package kindcluster creates, checks, repairs and removes the kind cluster.
package kindcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

// readyTime bounds the wait for nodes and system pods of a new cluster.
const readyTime = 5 * time.Minute

// Cluster is one kind cluster by name, existing or not.
type Cluster struct {
	// Name of the cluster and prefix of its nodes' names.
	Name string
	// Workers is the number of nodes besides the control plane.
	Workers int
	// Kubeconfig is the file that gives access to it.
	Kubeconfig string
	// Kubectl is the program to talk to it with.
	Kubectl  string
	Engine   *engine.Engine
	Runner   command.Runner
	Progress *progress.Reporter
}

// provider returns kind's library for the cluster's engine.
func (c *Cluster) provider(logger log.Logger) *cluster.Provider {
	option := cluster.ProviderWithDocker()
	if c.Engine.Name == engine.Podman {
		option = cluster.ProviderWithPodman()
	}
	return cluster.NewProvider(option, cluster.ProviderWithLogger(logger))
}

// kubectl runs a command against the cluster and returns its output.
func (c *Cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return c.Runner.Output(ctx, c.Kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
}

// Create makes the cluster from a node image. ownNetwork tells that the image
// is a local one, whose pod network is set up from here.
func (c *Cluster) Create(ctx context.Context, image string, ownNetwork bool) error {
	if err := os.MkdirAll(filepath.Dir(c.Kubeconfig), 0o755); err != nil {
		return fmt.Errorf("create the folder of the kubeconfig: %w", err)
	}
	config := Config(c.Name, image, c.Workers, ThisHost(), ownNetwork)
	logger := &stepLogger{progress: c.Progress, log: c.Runner}
	err := c.Progress.Step(fmt.Sprintf("Create the cluster %s (1 control plane, %d workers)", c.Name, c.Workers), func() error {
		// kind's library knows no context: a cancelled run returns at once, and
		// the next one removes what was begun.
		done := make(chan error, 1)
		go func() {
			done <- c.provider(logger).Create(c.Name, cluster.CreateWithV1Alpha4Config(config),
				cluster.CreateWithKubeconfigPath(c.Kubeconfig), cluster.CreateWithRetain(true),
				cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false))
		}()
		select {
		case err := <-done:
			return describe(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("create the cluster %s: %w", c.Name, err)
	}
	if ownNetwork {
		if err := c.Progress.Step("Connect the nodes' pods", func() error { return c.connect(ctx) }); err != nil {
			return err
		}
	}
	return c.Progress.Step("Wait until nodes, DNS and storage are ready", func() error {
		return c.waitReady(ctx)
	})
}

// connect gives every node a pod network.
func (c *Cluster) connect(ctx context.Context) error {
	output, err := c.kubectl(ctx, "get", "nodes", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}`)
	if err != nil {
		return fmt.Errorf("read the nodes' address ranges: %w", err)
	}
	networks, err := parseNetworks(output)
	if err != nil {
		return err
	}
	members, err := c.provider(log.NoopLogger{}).ListInternalNodes(c.Name)
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	if err := c.openForwarding(ctx); err != nil {
		return err
	}
	return eachNode(members, func(node nodes.Node) error {
		for _, network := range networks {
			if network.name != node.String() {
				continue
			}
			if err := nodeutils.WriteFile(node, "/etc/kubernetes/pod-network.sh", networkScript(network, networks)); err != nil {
				return fmt.Errorf("write the network script: %w", err)
			}
			return describe(node.Command("systemctl", "restart", "pod-network.service").Run())
		}
		return fmt.Errorf("node %s has no address range%s", node, kubeletHint())
	})
}

// parseNetworks reads lines of node name, pod range and internal address.
func parseNetworks(output string) ([]nodeNetwork, error) {
	var networks []nodeNetwork
	for _, line := range strings.Split(strings.TrimSpace(output), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("a node has no pod range or address yet: %q%s", line, kubeletHint())
		}
		networks = append(networks, nodeNetwork{name: fields[0], podCIDR: fields[1], internalIP: fields[2]})
	}
	return networks, nil
}

// waitReady waits for the nodes and for the system's deployments.
func (c *Cluster) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	limit := fmt.Sprintf("--timeout=%ds", int(readyTime.Seconds()))
	for _, args := range [][]string{
		{"wait", "--for=condition=Ready", "nodes", "--all", limit},
		{"-n", "kube-system", "rollout", "status", "deployment/coredns", limit},
		{"-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", limit},
		{"-n", "local-path-storage", "rollout", "status", "deployment/local-path-provisioner", limit},
	} {
		if _, err := c.kubectl(ctx, args...); err != nil {
			return fmt.Errorf("wait for the cluster: %w", err)
		}
	}
	return c.spreadDNS(ctx)
}

// spreadDNS moves one of two DNS pods that started on the same node, the
// first that was ready: the loss of a node must not be the loss of all names.
func (c *Cluster) spreadDNS(ctx context.Context) error {
	output, err := c.kubectl(ctx, "-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns",
		"-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}`)
	if err != nil {
		return fmt.Errorf("list the DNS pods: %w", err)
	}
	if move := crowded(output); move != "" && c.Workers > 1 {
		if _, err := c.kubectl(ctx, "-n", "kube-system", "delete", "pod", move, "--wait=false"); err != nil {
			return fmt.Errorf("move a DNS pod: %w", err)
		}
		_, err = c.kubectl(ctx, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
	}
	return err
}

// crowded reads lines of pod and node, and returns a pod that shares its node
// if all pods are on one.
func crowded(output string) string {
	nodes := map[string]bool{}
	pod, count := "", 0
	for _, line := range strings.Split(strings.TrimSpace(output), "\n") {
		name, node, found := strings.Cut(line, " ")
		if !found {
			continue
		}
		nodes[node] = true
		pod, count = name, count+1
	}
	if len(nodes) != 1 || count < 2 {
		return ""
	}
	return pod
}

// LoadImage puts an image archive on every node that does not have it yet.
// The key tells contents apart: the name of an image may stay while its
// content changes. It returns whether any node needed it.
func (c *Cluster) LoadImage(ctx context.Context, image, archive, key string) (loaded bool, err error) {
	members, err := c.provider(log.NoopLogger{}).ListInternalNodes(c.Name)
	if err != nil {
		return false, fmt.Errorf("list the nodes: %w", err)
	}
	// Each node remembers which content it has under the name.
	marker := "/kind/loaded/" + strings.NewReplacer("/", "_", ":", "_").Replace(image)
	var count atomic.Int32
	err = eachNode(members, func(node nodes.Node) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if node.Command("grep", "-qxF", key, marker).Run() == nil {
			return nil
		}
		count.Add(1)
		file, err := os.Open(archive)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := nodeutils.LoadImageArchive(node, file); err != nil {
			return fmt.Errorf("load %s into %s: %w", image, node, describe(err))
		}
		return nodeutils.WriteFile(node, marker, key+"\n")
	})
	return count.Load() > 0, err
}

// eachNode does something on all nodes at once.
func eachNode(members []nodes.Node, do func(node nodes.Node) error) error {
	var group errgroup.Group
	for _, node := range members {
		group.Go(func() error { return do(node) })
	}
	return group.Wait()
}
