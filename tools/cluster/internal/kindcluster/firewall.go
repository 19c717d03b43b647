package kindcluster

import (
	"context"
	"os"
	"strings"
)

// bridgeFilter tells whether the kernel runs packets between the ports of one
// bridge through the host's firewall.
const bridgeFilter = "/proc/sys/net/bridge/bridge-nf-call-iptables"

// openForwarding accepts traffic between pods of different nodes on hosts
// whose firewall would drop it: Docker sets the policy of FORWARD to DROP,
// and Podman accepts no more than the addresses of its own networks.
func (c *Cluster) openForwarding(ctx context.Context) error {
	if value, err := os.ReadFile(bridgeFilter); err != nil || strings.TrimSpace(string(value)) != "1" {
		return nil
	}
	rules, err := c.Runner.Output(ctx, "iptables", "-w", "-S", "FORWARD")
	if err != nil || !strings.Contains(rules, "-P FORWARD DROP") || c.Runner.Run(ctx, "iptables", forwardRule("-C")...) == nil {
		return nil
	}
	return c.Runner.Run(ctx, "iptables", forwardRule("-I")...)
}

// closeForwarding takes back what openForwarding did.
func (c *Cluster) closeForwarding(ctx context.Context) {
	for c.Runner.Run(ctx, "iptables", forwardRule("-C")...) == nil {
		if c.Runner.Run(ctx, "iptables", forwardRule("-D")...) != nil {
			return
		}
	}
}

func forwardRule(action string) []string {
	return []string{
		"-w", action, "FORWARD", "-s", podSubnet, "-d", podSubnet,
		"-m", "comment", "--comment", "redis-ha kind pods", "-j", "ACCEPT",
	}
}
