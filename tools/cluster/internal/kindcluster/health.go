package kindcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/cluster/constants"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
)

const (
	// clusterLabel is how kind marks the containers of a cluster.
	clusterLabel = "io.x-k8s.kind.cluster"
	// settleTime is how long an existing cluster may take to answer well: a
	// machine that was asleep needs a moment.
	settleTime = 30 * time.Second
)

// errSilent is an API server that cannot be reached from the host.
var errSilent = errors.New("its API server does not answer")

// Exists tells whether any container of the cluster is there, running or not.
func (c *Cluster) Exists(ctx context.Context) bool {
	containers, err := c.containers(ctx)
	return err == nil && len(containers) > 0
}

// containers lists the names of the cluster's containers in any state.
func (c *Cluster) containers(ctx context.Context) ([]string, error) {
	output, err := c.Engine.Output(ctx, "ps", "-a", "--filter", "label="+clusterLabel+"="+c.Name, "--format", "{{.Names}}")
	if err != nil {
		return nil, fmt.Errorf("list the cluster's containers: %w", err)
	}
	return strings.Fields(output), nil
}

// NodeNames are the names that kind gives to the nodes.
func (c *Cluster) NodeNames() []string {
	names := []string{c.Name + "-" + constants.ControlPlaneNodeRoleValue}
	for i := range c.Workers {
		name := c.Name + "-" + constants.WorkerNodeRoleValue
		if i > 0 {
			name += fmt.Sprint(i + 1)
		}
		names = append(names, name)
	}
	return names
}

// Check returns nil if the cluster can be used as it is, and writes its
// kubeconfig; else it says what is wrong with it.
func (c *Cluster) Check(ctx context.Context) error {
	if err := c.checkContainers(ctx); err != nil {
		return err
	}
	if err := c.checkNames(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(settleTime)
	for attempt := 0; ; attempt++ {
		err := c.checkKubernetes(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if errors.Is(err, errSilent) && attempt == 1 && c.Engine.Name == engine.Podman {
			// A firewall that was loaded anew has lost the engine's rules.
			_ = c.Engine.Run(ctx, append([]string{"network", "reload"}, c.NodeNames()...)...)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// checkContainers runs something in every node: what the engine believes of a
// container whose processes were killed is not evidence.
func (c *Cluster) checkContainers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	present, err := c.containers(ctx)
	if err != nil {
		return err
	}
	wanted := c.NodeNames()
	if len(present) != len(wanted) {
		return fmt.Errorf("it has %d nodes instead of %d", len(present), len(wanted))
	}
	for _, name := range wanted {
		if err := c.Engine.Run(ctx, "exec", name, "systemctl", "is-active", "--quiet", "containerd.service", "kubelet.service"); err != nil {
			return fmt.Errorf("node %s does not run", name)
		}
	}
	return nil
}

// checkNames finds out whether nodes find each other by name, and revives the
// engine's DNS server if it died: Podman starts it with the next container
// that joins the network.
func (c *Cluster) checkNames(ctx context.Context) error {
	names := c.NodeNames()
	resolve := func() error {
		return c.Engine.Run(ctx, "exec", names[len(names)-1], "getent", "hosts", names[0])
	}
	if resolve() == nil {
		return nil
	}
	image, err := c.Engine.Output(ctx, "inspect", "--format", "{{.Config.Image}}", names[0])
	if err != nil {
		return fmt.Errorf("inspect the node %s: %w", names[0], err)
	}
	if err := c.Engine.Run(ctx, "run", "--rm", "--network", network, "--entrypoint=true", image); err != nil {
		return fmt.Errorf("its nodes do not find each other by name")
	}
	if err := resolve(); err != nil {
		return fmt.Errorf("its nodes do not find each other by name")
	}
	c.Progress.Line("the engine's DNS server was dead and runs again")
	return nil
}

// checkKubernetes asks the API server for all nodes and system pods.
func (c *Cluster) checkKubernetes(ctx context.Context) error {
	config, err := c.provider(log.NoopLogger{}).KubeConfig(c.Name, false)
	if err != nil {
		return fmt.Errorf("its address is unknown: %w", describe(err))
	}
	if err := os.WriteFile(c.Kubeconfig, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	const limit = "--request-timeout=10s"
	if _, err := c.kubectl(ctx, "get", "--raw", "/readyz", limit); err != nil {
		return errSilent
	}
	output, err := c.kubectl(ctx, "get", "nodes", limit, "-o",
		`jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
	if err != nil {
		return fmt.Errorf("its nodes cannot be listed: %w", err)
	}
	if bad := notReady(output, c.NodeNames()); len(bad) > 0 {
		return fmt.Errorf("not ready: %s", strings.Join(bad, ", "))
	}
	for _, workload := range []string{
		"kube-system deployment/coredns", "kube-system daemonset/kube-proxy", "local-path-storage deployment/local-path-provisioner",
	} {
		namespace, name, _ := strings.Cut(workload, " ")
		if _, err := c.kubectl(ctx, "-n", namespace, "rollout", "status", name, "--timeout=5s"); err != nil {
			return fmt.Errorf("%s is not ready", name)
		}
	}
	return nil
}

// notReady returns the wanted nodes that a listing of name=status lines does
// not show as ready.
func notReady(output string, wanted []string) []string {
	ready := map[string]bool{}
	for _, line := range strings.Fields(output) {
		name, status, _ := strings.Cut(line, "=")
		ready[name] = status == "True"
	}
	var bad []string
	for _, name := range wanted {
		if !ready[name] {
			bad = append(bad, name)
		}
	}
	return bad
}
