package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/redis-ha/redis-ha/internal/fault"
)

var reuse = flag.Bool("reuse", false, "take the release redis-ha in kube-public as it is if there is one, and leave it")

// workload is the kind of the servers' workload in the release that most tests share.
var workload = flag.String("workload", "Deployment", "kind of the servers' workload of the release redis-ha: Deployment or StatefulSet")

// repositoryRoot is the folder of the repository, from this package.
const repositoryRoot = "../.."

// environment is what all tests share.
type environment struct {
	// Cluster does to the releases what can happen to them, with the image that
	// the chart uses by default.
	fault.Cluster
	// charts is the address of a chart repository with the chart.
	charts string
	// dir is a folder for everything the tests write.
	dir string
}

// env is set before the first test.
var env = environment{Cluster: fault.Cluster{Namespace: workNamespace}}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := env.connect(ctx); err != nil {
		return 1, err
	}
	if env.dir, err = os.MkdirTemp("", "redis-ha-e2e-"); err != nil {
		return 1, fmt.Errorf("make a folder for the tests: %w", err)
	}
	defer func() {
		// Logs of failed tests stay.
		if code == 0 && err == nil {
			_ = os.RemoveAll(env.dir)
		}
	}()
	stop, err := env.serveChart(ctx)
	if err != nil {
		return 1, err
	}
	defer stop()
	if err := env.startClient(ctx); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, env.tearDown()
}

// connect finds the tools and the cluster. KUBECONFIG must name it: the tests
// remove things, which should not happen to whatever cluster kubectl uses by
// default.
func (e *environment) connect(ctx context.Context) error {
	const remedy = "run `make e2e`, or `make up` and then set KUBECONFIG and PATH as it says"
	for _, tool := range []string{"kubectl", "helm", "helm4", "bash", "go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed and not in PATH: %s", tool, remedy)
		}
	}
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return errors.New("KUBECONFIG is not set, so there is no cluster to test on: " + remedy)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("find the kubeconfig: %w", err)
	}
	if err := os.Setenv("KUBECONFIG", path); err != nil {
		return fmt.Errorf("set KUBECONFIG: %w", err)
	}
	if e.Rest, err = clientcmd.BuildConfigFromFlags("", path); err != nil {
		return fmt.Errorf("read KUBECONFIG (%s): %w", remedy, err)
	}
	// Tests poll; they are not to wait for their own rate limit.
	e.Rest.QPS, e.Rest.Burst = 100, 200
	client, err := kubernetes.NewForConfig(e.Rest)
	if err != nil {
		return fmt.Errorf("use KUBECONFIG (%s): %w", remedy, err)
	}
	e.Kube = client
	nodes, err := listNodes(ctx, client)
	if err != nil {
		return fmt.Errorf("the cluster of %s does not answer (%s): %w", path, remedy, err)
	}
	if len(nodes.Items) == 0 {
		return fmt.Errorf("the cluster of %s has no nodes: %s", path, remedy)
	}
	return nil
}

// listNodes asks again for a while, unless nobody listens: a cluster on a busy
// machine may be slow to answer.
func listNodes(ctx context.Context, client kubernetes.Interface) (*corev1.NodeList, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err == nil || ctx.Err() != nil || errors.Is(err, syscall.ECONNREFUSED) {
			return nodes, err
		}
		time.Sleep(pollEvery)
	}
}

// tearDown removes what the tests made.
func (e *environment) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), removalTime)
	defer cancel()
	var problems []error
	if shared.installed && !*reuse {
		problems = append(problems, command(ctx, "helm", "uninstall", shared.name, "--namespace", shared.namespace, "--wait"),
			command(ctx, "kubectl", "delete", "persistentvolumeclaims", "--namespace", shared.namespace, "-l", shared.selector()))
	}
	err := e.Kube.CoreV1().Namespaces().Delete(ctx, workNamespace, metav1.DeleteOptions{})
	if err != nil {
		problems = append(problems, fmt.Errorf("remove the namespace %s: %w", workNamespace, err))
	}
	return errors.Join(problems...)
}

// command runs a program outside a test; its output is part of the error.
func command(ctx context.Context, name string, args ...string) error {
	output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, output)
	}
	return nil
}

// output runs a program outside a test and returns its standard output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	var failure *exec.ExitError
	text, err := exec.CommandContext(ctx, name, args...).Output()
	if errors.As(err, &failure) {
		err = fmt.Errorf("%s %q: %w\n%s", name, args, err, failure.Stderr)
	}
	return string(text), err
}
