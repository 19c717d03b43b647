package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/redis-ha/redis-ha/internal/fault"
	"github.com/redis-ha/redis-ha/tools/internal/certfiles"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

const (
	clientPod = "client"
	// readBackTime is how long a writer may take to read its keys back.
	readBackTime = 2 * time.Minute
	// namespaceTime bounds the removal of what an earlier run left.
	namespaceTime = 2 * time.Minute
	// clientPorts are the source ports of the client's pod. A port stays taken for a minute after the client has closed its connection.
	// Linux takes the even ones first. When all even ones to an address are taken, which is at 14 116 connections by default, each
	// further connect() looks at all of them before it takes an odd one: that is 4 ms of CPU instead of 0.02 ms, and thousands of
	// clients that come back at once wait for seconds.
	clientPorts = "1024 65535"
)

// Client is a pod from which a release is used and looked at. It runs on a
// control-plane node, so that the loss of a worker does not hit it.
type Client struct {
	*fault.Cluster
	// Password of Redis, empty for none.
	Password string
}

// Connect prepares a client for the cluster of a kubeconfig, which must be named:
// faults are no fun on whatever cluster kubectl uses by default. image is one
// with bash that all nodes have; namespace is made by Start, and must be nobody
// else's.
func Connect(kubeconfig, image, namespace string) (*Client, error) {
	if kubeconfig == "" {
		return nil, errors.New("no cluster is named: set KUBECONFIG or --kubeconfig (`make up` prints it)")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	// Whoever measures is not to wait for the client's own rate limit.
	config.QPS, config.Burst = 100, 200
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	// Streams that are ended early say so in the log of the library.
	klog.SetLogger(logr.Discard())
	cluster := &fault.Cluster{Rest: config, Kube: kube, Image: image, Namespace: namespace}
	return &Client{Cluster: cluster, Password: os.Getenv("REDIS_PASS")}, nil
}

// Start makes the namespace and the pod, and copies the programs of this module
// into it. dir is a folder to build them in.
func (c *Client) Start(ctx context.Context, module, dir string) error {
	if err := c.recreateNamespace(ctx); err != nil {
		return err
	}
	pod := c.SleepingPod(clientPod)
	pod.Spec.NodeSelector = map[string]string{"node-role.kubernetes.io/control-plane": ""}
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Spec.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_local_port_range", Value: clientPorts}}
	if err := c.CreatePod(ctx, pod); err != nil {
		return err
	}
	for _, program := range []string{"writer", "roles", "lag", "crowd"} {
		if err := c.copyProgram(ctx, module, dir, program); err != nil {
			return fmt.Errorf("bring the program %s into the cluster: %w", program, err)
		}
	}
	return c.Prepare(ctx)
}

// MasterAddress is the address of a release's master Service within the cluster.
func (c *Client) MasterAddress(ctx context.Context, r Release) (string, error) {
	return c.ServiceAddress(ctx, r.Namespace, r.MasterService, r.Port)
}

// ServiceAddress is the address of a Service within the cluster, and not its
// name: the loss of a node may be that of a DNS server, too.
func (c *Client) ServiceAddress(ctx context.Context, namespace, name string, port int) (string, error) {
	service, err := c.Kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("find the address of the Service %s: %w", name, err)
	}
	return net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(port)), nil
}

// Remove removes the namespace with all that is in it, without waiting.
func (c *Client) Remove(ctx context.Context) error {
	return c.Kube.CoreV1().Namespaces().Delete(ctx, c.Namespace, metav1.DeleteOptions{})
}

func (c *Client) recreateNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, namespaceTime)
	defer cancel()
	if err := c.Remove(ctx); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the namespace %s of an earlier run: %w", c.Namespace, err)
	}
	for {
		_, err := c.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}, metav1.CreateOptions{})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("create the namespace %s: %w", c.Namespace, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (c *Client) copyProgram(ctx context.Context, module, dir, name string) error {
	path := filepath.Join(dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-C", module, "-trimpath", "-o", path, "./"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build it: %w\n%s", err, output)
	}
	program, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	defer program.Close()
	_, err = c.Execute(ctx, c.Namespace, clientPod, program, "bash", "-c", "cat > /client/"+name+" && chmod +x /client/"+name)
	return err
}

// CopyFolder copies what is in a folder of this machine to the folder /client/NAME of the client's pod. It copies what links lead to. Both
// need tar.
func (c *Client) CopyFolder(ctx context.Context, dir, name string) error {
	pack := exec.CommandContext(ctx, "tar", "--create", "--dereference", "--directory", dir, ".")
	packed, err := pack.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read from tar: %w", err)
	}
	if err := pack.Start(); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	target := "/client/" + name
	_, err = c.Execute(ctx, c.Namespace, clientPod, packed, "bash", "-c", "mkdir "+target+" && tar --extract --directory "+target)
	_ = packed.Close() // ends tar if nobody reads on
	if err := errors.Join(err, pack.Wait()); err != nil {
		return fmt.Errorf("copy %s into the client's pod: %w", dir, err)
	}
	return nil
}

// TakeCertificate copies the certificate of a release from its Secret into the client's pod, and gives Release.Encryption. The certificate has name.
func (c *Client) TakeCertificate(ctx context.Context, namespace, secret, name string) ([]string, error) {
	read, err := c.Kube.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	dir := "/client/" + secret
	for _, file := range certfiles.Names {
		if _, err := c.Execute(ctx, c.Namespace, clientPod, bytes.NewReader(read.Data[file]), "bash", "-c", `mkdir -p "$1" && cat > "$1/$2"`, "take", dir, file); err != nil {
			return nil, fmt.Errorf("copy the certificate into the client's pod: %w", err)
		}
	}
	return certfiles.Arguments(dir, name), nil
}

// Run runs a bash script in the client's pod. The first line of its standard input is the password.
func (c *Client) Run(ctx context.Context, script string, args ...string) error {
	_, err := c.Execute(ctx, c.Namespace, clientPod, strings.NewReader(c.Password+"\n"), append([]string{"bash", "-c", script, "client"}, args...)...)
	return err
}

// session is a program that runs in the client's pod.
type session struct {
	stdin  *io.PipeWriter
	ended  chan error
	cancel context.CancelFunc
}

// run starts a program; each line that it prints goes to line. The password
// goes through standard input, as arguments are public.
func (c *Client) run(ctx context.Context, line func(text []byte), args ...string) (*session, error) {
	ctx, cancel := context.WithCancel(ctx)
	stdin, input := io.Pipe()
	output, stdout := io.Pipe()
	s := &session{stdin: input, ended: make(chan error, 1), cancel: cancel}
	script := `read -r REDIS_PASS; export REDIS_PASS; program=$1; shift; exec /client/$program "$@"`
	read := make(chan struct{})
	go func() {
		err := c.Stream(ctx, c.Namespace, clientPod, stdin, stdout, append([]string{"bash", "-c", script, "client"}, args...)...)
		_ = stdout.Close()
		<-read
		s.ended <- err
	}()
	go func() {
		defer close(read)
		lines := bufio.NewScanner(output)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			line(lines.Bytes())
		}
		_, _ = io.Copy(io.Discard, output)
	}()
	if _, err := io.WriteString(input, c.Password+"\n"); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s in the client's pod: %w", args[0], err)
	}
	return s, nil
}

// Writer is a client that writes.
type Writer struct {
	session *session
	mu      sync.Mutex
	last    writerLine
}

type writerLine struct {
	writer.Report
	LastFailure string `json:"lastFailure"`
}

// Write starts a client that writes to address until Finish, for limit at most.
// replicas is the number of replicas that each write waits for, and encryption that of a Release.
func (c *Client) Write(ctx context.Context, address string, replicas int, interval, limit time.Duration, encryption ...string) (*Writer, error) {
	return c.WriteWith(ctx, append([]string{"writer", "-address", address, "-interval", interval.String(), "-duration", limit.String(),
		"-replicas", strconv.Itoa(replicas), "-until-stdin-ends", "-progress"}, encryption...)...)
}

// WriteWith starts a program of the folder /client, with its arguments, that writes until Finish and prints the same as writer.
func (c *Client) WriteWith(ctx context.Context, program ...string) (*Writer, error) {
	w := &Writer{}
	var err error
	w.session, err = c.run(ctx, w.read, program...)
	return w, err
}

func (w *Writer) read(text []byte) {
	var l writerLine
	if !strings.HasPrefix(string(text), "{") || json.Unmarshal(text, &l) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = l
}

// Acknowledged is how many writes have been acknowledged, as last told.
func (w *Writer) Acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Acknowledged
}

// Advance waits until n more writes are acknowledged.
func (w *Writer) Advance(ctx context.Context, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for before := w.Acknowledged(); w.Acknowledged() < before+n; {
		select {
		case err := <-w.session.ended:
			w.session.ended <- err
			return fmt.Errorf("the writer ended early: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %d more acknowledged writes; %d came, then: %s", limit, n, w.Acknowledged()-before, w.last.LastFailure)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Finish stops the writer, which then reads back what was acknowledged.
func (w *Writer) Finish() (writer.Report, error) {
	defer w.session.cancel()
	if err := w.session.close(); err != nil {
		return writer.Report{}, err
	}
	select {
	case err := <-w.session.ended:
		if err != nil {
			return writer.Report{}, fmt.Errorf("the writer: %w", err)
		}
	case <-time.After(readBackTime):
		return writer.Report{}, fmt.Errorf("waited %s for the writer to read back what was acknowledged", readBackTime)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Report, nil
}

// Abandon ends the writer without reading back.
func (w *Writer) Abandon() { w.session.cancel() }

// close ends the program's standard input. The stream sends that under the
// time limit of the last write, a minute; the write here gives it a new one.
func (s *session) close() error {
	_, err := io.WriteString(s.stdin, "\n")
	return errors.Join(err, s.stdin.Close())
}
