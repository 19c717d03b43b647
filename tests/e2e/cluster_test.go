package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

const (
	// workNamespace holds the client, the pods that reach into nodes, and the
	// releases that are not the documented one.
	workNamespace = "redis-ha-e2e"
	clientPod     = "client"
	writerPath    = "/client/writer"
)

// startClient makes a pod from which the tests look at Redis and write to it,
// as an application would: nothing but Service names.
func (e *environment) startClient(ctx context.Context) error {
	writer := filepath.Join(e.dir, "writer")
	err := command(ctx, "env", "CGO_ENABLED=0", "GOOS=linux", "go", "build",
		"-C", filepath.Join(repositoryRoot, "tools"), "-trimpath", "-o", writer, "./writer")
	if err != nil {
		return fmt.Errorf("build the writer: %w", err)
	}
	if err := e.recreateNamespace(ctx); err != nil {
		return err
	}
	if err := e.createPod(ctx, e.sleepingPod(clientPod)); err != nil {
		return err
	}
	program, err := os.Open(writer)
	if err != nil {
		return fmt.Errorf("open the writer: %w", err)
	}
	defer program.Close()
	_, err = e.execute(ctx, workNamespace, clientPod, program, "bash", "-c", "cat > "+writerPath+" && chmod +x "+writerPath)
	if err != nil {
		return fmt.Errorf("copy the writer into the cluster: %w", err)
	}
	return nil
}

// recreateNamespace removes what an interrupted run left.
func (e *environment) recreateNamespace(ctx context.Context) error {
	namespaces := e.kube.CoreV1().Namespaces()
	err := namespaces.Delete(ctx, workNamespace, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the namespace %s of an earlier run: %w", workNamespace, err)
	}
	for {
		_, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: workNamespace}}, metav1.CreateOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("create the namespace %s: %w", workNamespace, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the namespace %s of an earlier run to go: %w", workNamespace, err)
		}
		time.Sleep(pollEvery)
	}
}

// sleepingPod is a pod of the chart's image that does nothing by itself.
func (e *environment) sleepingPod(name string) *corev1.Pod {
	no, yes, now, user := false, true, int64(0), int64(10001)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: workNamespace},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			EnableServiceLinks:            &no,
			TerminationGracePeriodSeconds: &now,
			RestartPolicy:                 corev1.RestartPolicyNever,
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, FSGroup: &user},
			Containers: []corev1.Container{{
				Name: "sleep", Image: e.image, Command: []string{"sleep", "infinity"},
				VolumeMounts: []corev1.VolumeMount{{Name: "client", MountPath: "/client"}},
			}},
			Volumes: []corev1.Volume{{Name: "client", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
}

// nodePod makes a pod that sees and may end every process of a node, as the
// kernel's OOM killer may; it is needed once per node.
func (e *environment) nodePod(ctx context.Context, node string) (string, error) {
	root, yes := int64(0), true
	pod := e.sleepingPod("node-" + node)
	pod.Spec.NodeName = node
	pod.Spec.HostPID = true
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if _, err := e.kube.CoreV1().Pods(workNamespace).Get(ctx, pod.Name, metav1.GetOptions{}); err == nil {
		return pod.Name, nil
	}
	return pod.Name, e.createPod(ctx, pod)
}

// createPod makes a pod and waits until it runs.
func (e *environment) createPod(ctx context.Context, pod *corev1.Pod) error {
	pods := e.kube.CoreV1().Pods(pod.Namespace)
	// A namespace is there a moment before its service account is.
	for {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if err == nil {
			break
		}
		if !apierrors.IsForbidden(err) || ctx.Err() != nil {
			return fmt.Errorf("create the pod %s: %w", pod.Name, err)
		}
		time.Sleep(pollEvery)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	state := errors.New("not seen yet")
	for {
		found, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && found.Status.Phase == corev1.PodRunning {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the pod %s does not run (is the image %s on every node? `make image` loads it): %w", pod.Name, e.image, state)
		}
		state = err
		if err == nil {
			state = errors.New(describePod(found))
		}
		time.Sleep(pollEvery)
	}
}

// describePod tells in a line how a pod is.
func describePod(pod *corev1.Pod) string {
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

// execute runs a program in the first container of a pod.
func (e *environment) execute(ctx context.Context, namespace, pod string, stdin io.Reader, args ...string) (string, error) {
	var output bytes.Buffer
	err := e.stream(ctx, namespace, pod, stdin, &output, args...)
	return output.String(), err
}

// stream is execute with the output passed on as it comes. What the program
// says on its standard error is part of the error.
func (e *environment) stream(ctx context.Context, namespace, pod string, stdin io.Reader, stdout io.Writer, args ...string) error {
	request := e.kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: args, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(e.rest, "GET", request.URL().String())
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
