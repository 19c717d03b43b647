// Package fault does to a release on a kind cluster what can happen to one: it
// kills and freezes processes, pauses nodes and cuts the network. The
// end-to-end tests, the benchmark and the chaos runs share it.
package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

const (
	// callTime bounds one call into a pod or the start of one.
	callTime = time.Minute
	// pollEvery is the pause between two looks.
	pollEvery = 200 * time.Millisecond
)

// Cluster is the cluster that faults happen to.
type Cluster struct {
	Rest *rest.Config
	Kube kubernetes.Interface
	// Image is an image with bash that every node has, for the pods that reach
	// into nodes: the chart's own.
	Image string
	// Namespace holds those pods. It must exist, and is the caller's to remove.
	Namespace string
}

// SleepingPod is a pod of the image that does nothing by itself; it has a
// writable folder at /client.
func (c *Cluster) SleepingPod(name string) *corev1.Pod {
	no, yes, now, user := false, true, int64(0), int64(10001)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			EnableServiceLinks:            &no,
			TerminationGracePeriodSeconds: &now,
			RestartPolicy:                 corev1.RestartPolicyNever,
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, FSGroup: &user},
			Containers: []corev1.Container{{
				Name: "sleep", Image: c.Image, Command: []string{"sleep", "infinity"},
				VolumeMounts: []corev1.VolumeMount{{Name: "client", MountPath: "/client"}},
			}},
			Volumes: []corev1.Volume{{Name: "client", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
}

// CreatePod makes a pod, unless somebody else has just made it, and waits, a
// minute at most, until it runs.
func (c *Cluster) CreatePod(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	pods := c.Kube.CoreV1().Pods(pod.Namespace)
	// A namespace is there a moment before its service account is.
	for {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			break
		}
		if !apierrors.IsForbidden(err) || ctx.Err() != nil {
			return fmt.Errorf("create the pod %s: %w", pod.Name, err)
		}
		time.Sleep(pollEvery)
	}
	state := errors.New("not seen yet")
	for {
		found, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && found.Status.Phase == corev1.PodRunning {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the pod %s does not run (is the image %s on every node? `make image` loads it): %w", pod.Name, c.Image, state)
		}
		state = err
		if err == nil {
			state = errors.New(DescribePod(found))
		}
		time.Sleep(pollEvery)
	}
}

// DescribePod tells in a line how a pod is.
func DescribePod(pod *corev1.Pod) string {
	words := []string{pod.Name, string(pod.Status.Phase)}
	if pod.DeletionTimestamp != nil {
		words = append(words, "Terminating")
	}
	for _, status := range pod.Status.ContainerStatuses {
		words = append(words, fmt.Sprintf("%s ready=%t restarts=%d", status.Name, status.Ready, status.RestartCount))
		if waiting := status.State.Waiting; waiting != nil {
			words = append(words, waiting.Reason, waiting.Message)
		}
	}
	return strings.Join(words, " ")
}

// Execute runs a program in the first container of a pod and returns its
// standard output.
func (c *Cluster) Execute(ctx context.Context, namespace, pod string, stdin io.Reader, args ...string) (string, error) {
	var output bytes.Buffer
	err := c.Stream(ctx, namespace, pod, stdin, &output, args...)
	return output.String(), err
}

// Stream is Execute with the output passed on as it comes. What the program
// says on its standard error is part of the error.
func (c *Cluster) Stream(ctx context.Context, namespace, pod string, stdin io.Reader, stdout io.Writer, args ...string) error {
	request := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: args, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.Rest, "GET", request.URL().String())
	if err != nil {
		return fmt.Errorf("prepare the command in pod %s: %w", pod, err)
	}
	var stderr bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: &stderr})
	if err != nil {
		return fmt.Errorf("run %.80q in pod %s: %w: %s", args, pod, err, stderr.String())
	}
	return nil
}
