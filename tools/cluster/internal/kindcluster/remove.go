package kindcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// network is the network that kind creates for the nodes of all its clusters.
const network = "kind"

// Remove deletes everything that belongs to the cluster, whatever state it is
// in: containers, their volumes, the network unless another cluster uses it,
// and the kubeconfig.
func (c *Cluster) Remove(ctx context.Context) error {
	containers, err := c.containers(ctx)
	if err != nil {
		return err
	}
	for _, name := range containers {
		if err := c.removeContainer(ctx, name); err != nil {
			return err
		}
	}
	// A volume outlives its container if the run that made both was killed
	// in between.
	for _, name := range c.NodeNames() {
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
	c.closeForwarding(ctx)
	if err := os.Remove(c.Kubeconfig); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the kubeconfig: %w", err)
	}
	return c.removeNetwork(ctx)
}

func (c *Cluster) removeContainer(ctx context.Context, name string) error {
	short, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	err := c.Engine.Run(short, "rm", "-f", "-v", name)
	if err == nil {
		return nil
	}
	if fixed := c.forceRemove(ctx, name); fixed != nil {
		return fmt.Errorf("remove the node %s: %w", name, errors.Join(err, fixed))
	}
	return nil
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
	if err := c.Engine.Run(ctx, "network", "rm", network); err != nil {
		return fmt.Errorf("remove the network %s: %w", network, err)
	}
	return nil
}

// forceRemove gets rid of a container that the engine failed to remove.
func (c *Cluster) forceRemove(ctx context.Context, name string) error {
	return c.Engine.Run(ctx, "rm", "-f", "-v", "--time", "0", name)
}
