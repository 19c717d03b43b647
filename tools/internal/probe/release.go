package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// RoleLabel is the label that Services select on.
const RoleLabel = "redis-role"

// Release is what to look at.
type Release struct {
	Namespace string
	// Selector finds all pods, Servers those of them that run Redis servers.
	Selector, Servers string
	// MasterService is the Service of the master, or empty.
	MasterService string
	Port          int
	// Encryption is what the programs in the client's pod need to connect, as Client.TakeCertificate gives it; nil: connections are plain.
	Encryption []string
}

// Kind says what an entry of a history is about.
type Kind string

// The kinds.
const (
	RoleKind     Kind = "role"     // a server plays another role; Value is master, held, slave, linked or none
	LabelKind    Kind = "label"    // the label redis-role has another value
	EndpointKind Kind = "endpoint" // an address is behind the master's Service, or no more; Value is in or out
	PodKind      Kind = "pod"      // a pod is terminating, ready, unready or gone
	WriteKind    Kind = "write"    // a launcher wrote to the API; Value is the kind of object
)

// Entry is one thing that happened.
type Entry struct {
	At    time.Time `json:"at"`
	Kind  Kind      `json:"kind"`
	Pod   string    `json:"pod"`
	Value string    `json:"value"`
	// Run, Keys and KeysInSync are those of a Role, and Master is the pod that a slave follows.
	Run        string `json:"run,omitempty"`
	Master     string `json:"master,omitempty"`
	Keys       int64  `json:"keys,omitempty"`
	KeysInSync int64  `json:"keysInSync,omitempty"`
}

// Watcher follows a release.
type Watcher struct {
	client  *Client
	release Release
	roles   *session
	// isServer selects the servers among the pods.
	isServer labels.Selector

	mu        sync.Mutex
	entries   []Entry
	pods      map[string]*corev1.Pod // by name
	servers   map[string]string      // names of server pods by address
	role      map[string]Role        // by address
	runs      map[string]string      // addresses by the run IDs that were first seen there
	endpoints map[string]bool        // addresses behind the Service
	asked     string
	lists     chan string // servers to ask for their role
	heard     time.Time   // when the program that asks the servers was last heard of
	blind     []spell
}

// spell is a time in which the program that asks the servers was not heard of.
type spell struct {
	until time.Time
	took  time.Duration
}

// blindAfter is how long the program that asks the servers may not be heard of. What is known of the servers counts for nothing then.
const blindAfter = 10 * time.Second

// Watch follows a release until ctx ends.
func Watch(ctx context.Context, client *Client, release Release) (*Watcher, error) {
	w := &Watcher{client: client, release: release, pods: map[string]*corev1.Pod{}, servers: map[string]string{},
		role: map[string]Role{}, runs: map[string]string{}, endpoints: map[string]bool{}, lists: make(chan string, 64)}
	var err error
	if w.isServer, err = labels.Parse(release.Servers); err != nil {
		return nil, fmt.Errorf("read the selector of the servers: %w", err)
	}
	if w.roles, err = client.run(ctx, w.sawRole, append([]string{"roles"}, release.Encryption...)...); err != nil {
		return nil, err
	}
	go w.passLists(ctx)
	pods := informers.NewSharedInformerFactoryWithOptions(client.Kube, 0, informers.WithNamespace(release.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = release.Selector }))
	others := informers.NewSharedInformerFactoryWithOptions(client.Kube, 0, informers.WithNamespace(release.Namespace))
	// Handlers cannot be refused: the informers have not been stopped.
	_, _ = pods.Core().V1().Pods().Informer().AddEventHandler(handler(w.sawPod))
	_, _ = others.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handler(w.sawSlice))
	_, _ = others.Coordination().V1().Leases().Informer().AddEventHandler(handler(func(before, after metav1.Object) {
		if before != nil && after != nil && before.GetResourceVersion() != after.GetResourceVersion() {
			w.note(WriteKind, after.GetName(), "lease")
		}
	}))
	for _, factory := range []informers.SharedInformerFactory{pods, others} {
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
	}
	return w, nil
}

// handler calls f with the object before and after; nil where there is none.
func handler(f func(before, after metav1.Object)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f(nil, o.(metav1.Object)) },
		UpdateFunc: func(o, n any) { f(o.(metav1.Object), n.(metav1.Object)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(metav1.Object); ok {
				f(gone, nil)
			}
		},
	}
}

func (w *Watcher) note(kind Kind, pod, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, Entry{At: time.Now(), Kind: kind, Pod: pod, Value: value})
}

func (w *Watcher) sawRole(text []byte) {
	var r Role
	if json.Unmarshal(text, &r) != nil {
		return
	}
	host, _, _ := strings.Cut(r.Address, ":")
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if took := now.Sub(w.heard); !w.heard.IsZero() && took > blindAfter {
		w.blind = append(w.blind, spell{until: now, took: took})
	}
	if w.heard = now; host == "" {
		return
	}
	if home, known := w.runs[r.Run]; known && home != host {
		r.Role, r.Held, r.Linked = "", false, false // another server answers, as its connections are passed on
	} else if r.Run != "" {
		w.runs[r.Run] = host
	}
	w.role[host] = r
	value := r.Role
	switch {
	case value == "":
		value = "none"
	case r.Held:
		value = "held"
	case r.Linked:
		value = "linked"
	}
	w.entries = append(w.entries, Entry{
		At: r.At, Kind: RoleKind, Pod: w.servers[host], Value: value, Run: r.Run, Master: w.servers[r.Master], Keys: r.Keys, KeysInSync: r.KeysInSync,
	})
}

func (w *Watcher) sawPod(before, after metav1.Object) {
	old, _ := before.(*corev1.Pod)
	pod, _ := after.(*corev1.Pod)
	if pod == nil {
		w.note(PodKind, old.Name, "gone")
		if old.Labels[RoleLabel] != "" {
			w.note(LabelKind, old.Name, "")
		}
		w.mu.Lock()
		delete(w.pods, old.Name)
		// The last state of a pod may have no address any more.
		for address, name := range w.servers {
			if name == old.Name {
				delete(w.servers, address)
				delete(w.role, address)
			}
		}
		w.mu.Unlock()
		w.askRoles()
		return
	}
	if old == nil {
		old = &corev1.Pod{}
	}
	if old.Labels[RoleLabel] != pod.Labels[RoleLabel] {
		w.note(LabelKind, pod.Name, pod.Labels[RoleLabel])
	}
	for _, label := range []string{RoleLabel, "runID", "podIP"} {
		if old.Name != "" && old.Labels[label] != pod.Labels[label] {
			w.note(WriteKind, pod.Name, "pod")
			break
		}
	}
	if old.DeletionTimestamp == nil && pod.DeletionTimestamp != nil {
		w.note(PodKind, pod.Name, "terminating")
	}
	if ready(old) != ready(pod) {
		w.note(PodKind, pod.Name, map[bool]string{true: "ready", false: "unready"}[ready(pod)])
	}
	w.mu.Lock()
	w.pods[pod.Name] = pod
	w.mu.Unlock()
	w.askRoles()
}

func (w *Watcher) sawSlice(before, after metav1.Object) {
	if w.release.MasterService == "" {
		return
	}
	slice, _ := after.(*discoveryv1.EndpointSlice)
	if slice == nil || slice.Labels[discoveryv1.LabelServiceName] != w.release.MasterService {
		return
	}
	now := map[string]bool{}
	for _, endpoint := range slice.Endpoints {
		if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
			for _, address := range endpoint.Addresses {
				now[address] = true
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, change := range []struct {
		in, than map[string]bool
		value    string
	}{{now, w.endpoints, "in"}, {w.endpoints, now, "out"}} {
		for address := range change.in {
			if !change.than[address] {
				w.entries = append(w.entries, Entry{At: time.Now(), Kind: EndpointKind, Pod: w.servers[address], Value: change.value})
			}
		}
	}
	w.endpoints = now
}

// askRoles tells the program in the client's pod which servers there are.
func (w *Watcher) askRoles() {
	w.mu.Lock()
	var addresses []string
	for _, pod := range w.pods {
		if pod.Status.PodIP != "" && w.isServer.Matches(labels.Set(pod.Labels)) {
			w.servers[pod.Status.PodIP] = pod.Name
			addresses = append(addresses, fmt.Sprintf("%s:%d", pod.Status.PodIP, w.release.Port))
		}
	}
	slices.Sort(addresses)
	list := strings.Join(addresses, " ")
	changed := list != w.asked
	w.asked = list
	w.mu.Unlock()
	if changed {
		w.lists <- list
	}
}

// passLists tells the program in the client's pod which servers there are, in
// the order in which that changed.
func (w *Watcher) passLists(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case list := <-w.lists:
			_, _ = w.roles.stdin.Write([]byte(list + "\n"))
		}
	}
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
