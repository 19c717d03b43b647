package kindcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
)

// network is the network that kind creates for the nodes of all its clusters.
const network = "kind"

// removeTime bounds one attempt to remove all nodes.
const removeTime = 90 * time.Second

// Remove deletes everything that belongs to the cluster, whatever state it is
// in: containers, their volumes, the network unless another cluster uses it,
// and the kubeconfig.
func (c *Cluster) Remove(ctx context.Context) error {
	containers, err := c.containers(ctx)
	if err != nil {
		return err
	}
	dead := c.describeDead(ctx, containers)
	if err := c.removeContainers(ctx, containers); err != nil {
		return err
	}
	// A volume outlives its container if the run that made both was killed
	// in between.
	for _, name := range dead.Names {
		output, err := c.Engine.Output(ctx, "volume", "ls", "--filter", "label="+name, "--quiet")
		if err != nil {
			return fmt.Errorf("list the volumes of %s: %w", name, err)
		}
		if volumes := strings.Fields(output); len(volumes) > 0 {
			if err := c.Engine.Run(ctx, append([]string{"volume", "rm", "--force"}, volumes...)...); err != nil {
				return fmt.Errorf("remove the volumes of %s: %w", name, err)
			}
		}
	}
	if err := os.Remove(c.Kubeconfig); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the kubeconfig: %w", err)
	}
	if err := c.removeNetwork(ctx); err != nil {
		return err
	}
	return c.Engine.Forget(ctx, dead)
}

// describeDead collects, while the containers can still be asked, what has to
// be forgotten once they are gone.
func (c *Cluster) describeDead(ctx context.Context, containers []string) engine.Dead {
	dead := engine.Dead{Names: c.NodeNames()}
	for _, name := range containers {
		if !slices.Contains(dead.Names, name) {
			dead.Names = append(dead.Names, name)
		}
		output, err := c.Engine.Output(ctx, "inspect", "--format", "{{.Id}} {{.NetworkSettings.SandboxKey}}", name)
		if err != nil {
			continue
		}
		id, space, _ := strings.Cut(output, " ")
		dead.IDs = append(dead.IDs, id)
		if space != "" {
			dead.Spaces = append(dead.Spaces, space)
		}
	}
	return dead
}

// removeContainers kills and removes nodes, without the time to end that
// engines grant: nothing in them is worth keeping. One whose processes are
// gone while the engine believes that they run may need a second attempt,
// after the first has found out.
func (c *Cluster) removeContainers(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	args := []string{"rm", "-f", "-v"}
	if c.Engine.Name == engine.Podman {
		args = append(args, "--time=0")
	}
	var failed error
	for range 2 {
		short, cancel := context.WithTimeout(ctx, removeTime)
		failed = c.Engine.Run(short, append(args, names...)...)
		cancel()
		left, err := c.containers(ctx)
		if err == nil && len(left) == 0 {
			return nil
		}
		failed = errors.Join(failed, err)
		names = left
	}
	return fmt.Errorf("remove the nodes %s: %w", strings.Join(names, ", "), failed)
}

// removeNetwork deletes the nodes' network if nothing uses it any more.
func (c *Cluster) removeNetwork(ctx context.Context) error {
	if c.Engine.Run(ctx, "network", "inspect", network) != nil {
		return nil
	}
	users, err := c.Engine.Output(ctx, "ps", "-a", "--filter", "network="+network, "--quiet")
	if err != nil {
		return fmt.Errorf("list the users of the network %s: %w", network, err)
	}
	if users != "" {
		return nil
	}
	c.closeForwarding(ctx)
	if err := c.Engine.Run(ctx, "network", "rm", network); err != nil {
		return fmt.Errorf("remove the network %s: %w", network, err)
	}
	return nil
}
