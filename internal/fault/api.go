package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// later runs the rest of the arguments in some seconds ($1), when nobody can be
// asked to any more.
const later = `after=$1; shift; (sleep "$after"; "$@") <&- >&- 2>&- &`

// standStill makes every process of a name ($1) stand still from some seconds
// ($2) on, for some more ($3), and needs nobody to end that.
const standStill = `p=$(pidof "$1") || exit 1
(sleep "$2"; kill -STOP $p; sleep "$3"; kill -CONT $p) <&- >&- 2>&- &`

// PauseAPI makes the API servers stand still after a delay, for some time: they
// answer nothing, and nothing of this package works meanwhile.
func (c *Cluster) PauseAPI(ctx context.Context, delay, span time.Duration) error {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "node-role.kubernetes.io/control-plane"})
	if err != nil {
		return fmt.Errorf("find the nodes of the API: %w", err)
	}
	if len(nodes.Items) == 0 {
		return errors.New("find the nodes of the API: no node is a control plane")
	}
	for _, node := range nodes.Items {
		if _, err := c.OnNode(ctx, node.Name, standStill, "kube-apiserver", seconds(delay), seconds(span)); err != nil {
			return fmt.Errorf("stop the API server for %s: %w", span, err)
		}
	}
	return nil
}

// KillRedisLater kills the Redis process of a pod after a delay, whether the
// API answers by then or not.
func (c *Cluster) KillRedisLater(ctx context.Context, pod *corev1.Pod, delay time.Duration) error {
	_, err := c.OnNode(ctx, pod.Spec.NodeName, inPod, string(pod.UID), Redis, "bash", "-c", later, "fault", seconds(delay), "kill", "-KILL")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
