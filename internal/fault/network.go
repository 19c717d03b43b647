package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// firewall enters ($1 is I) or takes back ($1 is D) rules that drop packets, one
// for each further argument, with the tools of the node, which the pod need not
// have. Rules are taken back as often as they are there.
const firewall = `action=$1; shift
for rule; do
  if [ "$action" = I ]; then
    nsenter --target 1 --mount -- iptables -w -I $rule -m comment --comment redis-ha-fault -j DROP || exit 1
  else
    while nsenter --target 1 --mount -- iptables -w -D $rule -m comment --comment redis-ha-fault -j DROP 2>/dev/null; do :; done
  fi
done`

// Heal takes a fault back. It may be called more than once.
type Heal func(ctx context.Context) error

// CutPod cuts a pod off from other pods, on its node: packets between it and
// each of the peers are dropped in both directions, silently. Without peers it
// is cut off from everything but its own node. Pods of the same node are routed
// as well, with the CNI plugins that kind clusters have, and so cut off too.
func (c *Cluster) CutPod(ctx context.Context, pod *corev1.Pod, peers ...corev1.Pod) (Heal, error) {
	return c.CutPodAfter(ctx, 0, pod, peers...)
}

// CutPodAfter is CutPod after a delay that it does not wait for. The node waits, so that the API may stand still when the cut
// comes. Nobody is told if the cut fails then.
func (c *Cluster) CutPodAfter(ctx context.Context, delay time.Duration, pod *corev1.Pod, peers ...corev1.Pod) (Heal, error) {
	own := pod.Status.PodIP
	if len(peers) == 0 {
		return c.drop(ctx, delay, pod.Spec.NodeName, "FORWARD -s "+own, "FORWARD -d "+own)
	}
	var rules []string
	for _, peer := range peers {
		if peer.Status.PodIP == "" {
			continue // it has not started yet
		}
		rules = append(rules, "FORWARD -s "+own+" -d "+peer.Status.PodIP, "FORWARD -d "+own+" -s "+peer.Status.PodIP)
	}
	return c.drop(ctx, delay, pod.Spec.NodeName, rules...)
}

// CutPodFromAPI drops what a pod sends to the API servers, wherever they run.
func (c *Cluster) CutPodFromAPI(ctx context.Context, pod *corev1.Pod) (Heal, error) {
	slices, err := c.Kube.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx,
		metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("find the API servers: %w", err)
	}
	var rules []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			for _, port := range slice.Ports {
				to := fmt.Sprintf("-s %s -d %s -p tcp --dport %d", pod.Status.PodIP, strings.Join(endpoint.Addresses, ","), *port.Port)
				rules = append(rules, "FORWARD "+to, "INPUT "+to)
			}
		}
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("find the API servers: the Service kubernetes has no endpoints")
	}
	return c.drop(ctx, 0, pod.Spec.NodeName, rules...)
}

// CutPodsOfNode drops all that pods of a node send or get, except among those
// that are in the network of the node itself.
func (c *Cluster) CutPodsOfNode(ctx context.Context, node string) (Heal, error) {
	return c.drop(ctx, 0, node, "FORWARD")
}

// drop enters rules on a node after a delay; the same rules are taken back by the result.
func (c *Cluster) drop(ctx context.Context, delay time.Duration, node string, rules ...string) (Heal, error) {
	heal := func(ctx context.Context) error {
		_, err := c.OnNode(ctx, node, firewall, append([]string{"D"}, rules...)...)
		return err
	}
	script := firewall
	if delay > 0 {
		script = fmt.Sprintf("(sleep %.3f\n%s) </dev/null >/dev/null 2>&1 &", delay.Seconds(), firewall)
	}
	_, err := c.OnNode(ctx, node, script, append([]string{"I"}, rules...)...)
	if err != nil {
		err = errors.Join(err, heal(ctx)) // some rules may be there
	}
	return heal, err
}
