package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// Servers and sentinels do not run on the control plane, so the client is
	// still there when one of their nodes is lost.
	client := e.SleepingPod(clientPod)
	client.Spec.NodeSelector = map[string]string{"node-role.kubernetes.io/control-plane": ""}
	client.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if err := e.CreatePod(ctx, client); err != nil {
		return err
	}
	program, err := os.Open(writer)
	if err != nil {
		return fmt.Errorf("open the writer: %w", err)
	}
	defer program.Close()
	_, err = e.Execute(ctx, workNamespace, clientPod, program, "bash", "-c", "cat > "+writerPath+" && chmod +x "+writerPath)
	if err != nil {
		return fmt.Errorf("copy the writer into the cluster: %w", err)
	}
	return nil
}

// recreateNamespace removes what an interrupted run left.
func (e *environment) recreateNamespace(ctx context.Context) error {
	namespaces := e.Kube.CoreV1().Namespaces()
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
