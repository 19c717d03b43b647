// Package kube is the launcher's whole use of the Kubernetes API: the pods of
// the release, two Leases that the chart creates, and Events.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// The labels and the annotation the launcher writes on pods. They are part of
// the chart's public contract: Services and users select on them.
const (
	RoleLabel  = "redis-role"
	PodIPLabel = "podIP"
	RunIDLabel = "runID"
	// masterRole is the value of RoleLabel that the master Service selects.
	masterRole = "master"
	// DeletionCost makes a Deployment that shrinks or rolls take the master last.
	DeletionCost = "controller.kubernetes.io/pod-deletion-cost"
)

// revisionLabel is written by Kubernetes on the pods of a StatefulSet.
const revisionLabel = "controller-revision-hash"

// callTimeout bounds one API call. The API's own objective for a change of one
// object is 1 s at the 99th percentile; twice that means it is not answering.
const callTimeout = 2 * time.Second

// Pod is what the launcher needs to know of a pod of the release.
type Pod struct {
	Name, UID   string
	IP          netip.Addr // invalid until the pod has one
	Server      bool       // component=server
	Sentinel    bool       // component=sentinel
	Role        string     // the label redis-role as the API has it
	RunID       string
	PodIPLabel  string
	Cost        string
	Created     time.Time
	Terminating bool
	GraceEnds   time.Time // of a terminating pod: when its grace period ends, by the API server's clock
	Ready       bool
	Phase       corev1.PodPhase
	Node        string
	MemoryLimit int64  // bytes that the kubelet lets the container of Redis have; 0: not told
	Revision    string // of a pod of a StatefulSet: the revision of its template; else empty
	Ordinal     int    // of a pod of a StatefulSet: its number; else 0
}

// redisContainer is the name of the container of a server pod.
const redisContainer = "redis"

// overdueAfter is how long a terminating pod may exist after the end of its grace
// period. The clocks of nodes and of the API server may differ by less.
const overdueAfter = 10 * time.Second

// Overdue says whether the pod should have ended: it is terminating, and its grace
// period is over. That remains so where its node is lost, until the Node object goes.
func (p Pod) Overdue(now time.Time) bool {
	return p.Terminating && now.Sub(p.GraceEnds) > overdueAfter
}

// NeverRan says whether nothing of the pod has been started yet. Once it has,
// its phase is another for good.
func (p Pod) NeverRan() bool { return p.Phase == corev1.PodPending && !p.IP.IsValid() }

// hasEnded says whether nothing of the pod runs any more, or will.
func (p Pod) hasEnded() bool { return p.Phase == corev1.PodSucceeded || p.Phase == corev1.PodFailed }

// Client talks to the API for one pod of the release.
type Client struct {
	pods   *podClient
	events *eventClient
	leases *leaseClient
	config config.Config
	log    *slog.Logger
	known  *knownPods
	watch  *cache.Reflector

	changed  chan struct{}
	disowned chan struct{}
	gone     atomic.Bool // this pod was among the pods of the release, and is not any more

	mu      sync.Mutex
	lastErr string
	// seen are the Leases as this client has read or written them last, by name.
	seen map[string]*coordinationv1.Lease
}

// New prepares the client; it does not call the API yet.
func New(c config.Config, log *slog.Logger) (*Client, error) {
	load := rest.InClusterConfig
	if c.Kubeconfig != "" {
		load = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", c.Kubeconfig) }
	}
	restConfig, err := load()
	if err != nil {
		return nil, fmt.Errorf("load the API configuration (in a pod it comes from the service account token: "+
			"check the volume at /var/run/secrets/kubernetes.io/serviceaccount): %w", err)
	}
	restConfig.QPS, restConfig.Burst = 50, 100
	restConfig.UserAgent = "redis-ha-launcher"
	connections, err := httpClient(restConfig)
	if err != nil {
		return nil, err
	}
	core, err := restClient(restConfig, connections, "/api", corev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	coordination, err := restClient(restConfig, connections, "/apis", coordinationv1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	k := &Client{
		pods:     newPodClient(core, c.Namespace),
		events:   newEventClient(core, c.Namespace),
		leases:   newLeaseClient(coordination, c.Namespace),
		config:   c,
		log:      log,
		changed:  make(chan struct{}, 1),
		disowned: make(chan struct{}, 1),
	}
	k.known = newKnownPods(k.noteChange)
	k.watch = k.newPodReflector()
	return k, nil
}

// noteProblem logs a problem with the API once, until it changes or is over.
func (k *Client) noteProblem(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	if text == k.lastErr {
		return
	}
	if text != "" {
		k.log.Warn("the API does not serve the pod list; Redis is left as it is and labels stay", "error", text)
	} else {
		k.log.Info("the API serves the pod list again")
	}
	k.lastErr = text
}

// Run watches the pods until ctx ends.
func (k *Client) Run(ctx context.Context) { k.watch.RunWithContext(ctx) }

// Synced says whether the pod list has been read once.
func (k *Client) Synced() bool { return k.known.read() }

// noteChange tells those who wait for a change of a pod.
func (k *Client) noteChange(before, after *Pod) {
	notify(k.changed)
	if k.isOwn(before) || k.isOwn(after) {
		k.gone.Store(!k.isOwn(after))
	}
	if k.disowns(before, after) {
		notify(k.disowned)
	}
}

// isOwn says whether pod is the pod of this launcher, and not a later pod of the same name.
func (k *Client) isOwn(pod *Pod) bool { return pod != nil && pod.UID == k.config.PodUID }

func notify(about chan<- struct{}) {
	select {
	case about <- struct{}{}:
	default: // it has been told
	}
}

// disowns says whether a change takes the label master off this pod, or removes this pod
// from the release.
func (k *Client) disowns(before, after *Pod) bool {
	return k.isOwn(before) && (!k.isOwn(after) || before.Role == masterRole && after.Role != masterRole)
}

// Changed receives when a pod of the release changed.
func (k *Client) Changed() <-chan struct{} { return k.changed }

// Disowned receives when this pod has lost the label master, to this launcher or to anybody else, and when this
// pod is gone.
func (k *Client) Disowned() <-chan struct{} { return k.disowned }

// Gone says whether the object of this pod has disappeared from the release. The pod was
// deleted by force then, and the kubelet is about to kill its containers. Or somebody has
// changed the labels by which the release selects it.
func (k *Client) Gone() bool { return k.gone.Load() }

// Pods gives the pods of the release as last seen. Pods that have ended are left out.
func (k *Client) Pods() []Pod { return slices.DeleteFunc(k.known.list(), Pod.hasEnded) }

// InRelease says whether an address is that of a pod of the release, as last seen. known
// is false until the pods have been read once.
func (k *Client) InRelease(ip netip.Addr) (in, known bool) {
	return slices.ContainsFunc(k.Pods(), func(p Pod) bool { return p.IP == ip }), k.Synced()
}

// LivePods reads the pods of the release from the API, for decisions that must
// not rest on a list that is seconds old.
func (k *Client) LivePods(ctx context.Context) ([]Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := k.pods.List(ctx, metav1.ListOptions{LabelSelector: k.config.PodSelector.String()})
	if err != nil {
		return nil, Explain(err, "list", "pods")
	}
	var pods []Pod
	for i := range list.Items {
		if pod := podOf(&list.Items[i]); !pod.hasEnded() {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

func podOf(p *corev1.Pod) Pod {
	out := Pod{
		Name: p.Name, UID: string(p.UID),
		Server:      p.Labels["component"] == "server",
		Sentinel:    p.Labels["component"] == "sentinel",
		Role:        p.Labels[RoleLabel],
		RunID:       p.Labels[RunIDLabel],
		PodIPLabel:  p.Labels[PodIPLabel],
		Cost:        p.Annotations[DeletionCost],
		Created:     p.CreationTimestamp.Time,
		Terminating: p.DeletionTimestamp != nil,
		Phase:       p.Status.Phase,
		Node:        p.Spec.NodeName,
		Revision:    p.Labels[revisionLabel],
	}
	if out.Revision != "" {
		out.Ordinal, _ = strconv.Atoi(p.Name[strings.LastIndex(p.Name, "-")+1:])
	}
	if p.DeletionTimestamp != nil {
		out.GraceEnds = p.DeletionTimestamp.Time
	}
	for _, container := range p.Status.ContainerStatuses {
		if container.Name == redisContainer && container.Resources != nil {
			out.MemoryLimit = container.Resources.Limits.Memory().Value()
		}
	}
	out.IP, _ = netip.ParseAddr(p.Status.PodIP)
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			out.Ready = condition.Status == corev1.ConditionTrue
		}
	}
	return out
}

// PatchLabels sets labels and annotations of this pod; an empty value removes
// the key. The UID in the patch makes it fail on a later pod of the same name.
func (k *Client) PatchLabels(ctx context.Context, labels, annotations map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": k.config.PodUID, "labels": nullable(labels), "annotations": nullable(annotations),
	}})
	if err != nil {
		return fmt.Errorf("encode the label patch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = k.pods.Patch(ctx, k.config.PodName, types.MergePatchType, patch, metav1.PatchOptions{})
	return Explain(err, "patch", "pods")
}

func nullable(m map[string]string) map[string]any {
	out := map[string]any{}
	for key, value := range m {
		if value == "" {
			out[key] = nil
		} else {
			out[key] = value
		}
	}
	return out
}

// ErrChanged says that a precondition did not hold: the object is not what it
// was when the decision was made.
var ErrChanged = errors.New("the object has changed")

// ClearMasterLabel takes redis-role=master off another pod that cannot do it
// itself. It gives ErrChanged if the pod is not the same pod any more or has
// another label by now.
func (k *Client) ClearMasterLabel(ctx context.Context, pod Pod) error {
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": pod.UID},
		{"op": "test", "path": "/metadata/labels/" + RoleLabel, "value": masterRole},
		{"op": "remove", "path": "/metadata/labels/" + RoleLabel},
	})
	if err != nil {
		return fmt.Errorf("encode the label patch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = k.pods.Patch(ctx, pod.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err) {
		return ErrChanged
	}
	return Explain(err, "patch", "pods")
}

// Event writes an Event about a pod. Name makes it unique: a second event of
// the same name is not written and reported as false.
func (k *Client) Event(ctx context.Context, name string, about Pod, warning bool, reason, message string) (bool, error) {
	now := metav1.Now()
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.config.Namespace},
		InvolvedObject: corev1.ObjectReference{
			Kind: "Pod", APIVersion: "v1", Namespace: k.config.Namespace, Name: about.Name, UID: types.UID(about.UID),
		},
		Type: kind, Reason: reason, Message: message, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source:              corev1.EventSource{Component: "redis-ha-launcher", Host: k.config.PodName},
		ReportingController: "redis-ha-launcher", ReportingInstance: k.config.PodName,
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := k.events.Create(ctx, event, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, Explain(err, "create", "events")
}

// admissionPolicy is the kind that the API server names where a policy of that kind refuses a change.
const admissionPolicy = "ValidatingAdmissionPolicy"

// Explain adds to an API error what the user can do about it.
func Explain(err error, verb, resource string) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), admissionPolicy):
		return fmt.Errorf("%s %s: an admission policy of the cluster refuses it; see \"Rights and users\" in docs/operations.md: %w", verb, resource, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s %s is forbidden: grant the verb %q on %q to the pod's service account "+
			"(the chart does with rbac.create=true): %w", verb, resource, verb, resource, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s %s: the service account token was refused; recreate the pod if it stays so: %w", verb, resource, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s %s: not there (the chart creates it; run helm upgrade if it was deleted): %w", verb, resource, err)
	case apierrors.IsConflict(err), apierrors.IsInvalid(err), errors.Is(err, context.Canceled):
		return fmt.Errorf("%s %s: %w", verb, resource, err)
	default:
		return fmt.Errorf("%s %s: the API server cannot be reached or did not answer in time; check the network between "+
			"pods and the API server (NetworkPolicy, kube-proxy): %w", verb, resource, err)
	}
}
